//! `hairpin top`, in a terminal and without one.

use std::time::Duration;

use lab::{
    live::{Code, LiveClient},
    server::{PASSWORD, USER, binary, serving},
    terminal::Terminal,
    traffic::{Exchange, Traffic},
};

use crate::admin::{Asked, operated, place};

#[test]
fn top_shows_who_uses_the_relay_in_a_terminal_and_says_how_programs_ask() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (_alice, _) = LiveClient::udp().allocated();
        let once = asked.succeed(&["top", "--once"]);
        assert!(once.contains("1 sessions  live"), "{once}");
        assert!(once.contains("\nalice "), "{once}");
        let told = asked.json(&["top", "--by", "users", "--limit", "5"]);
        assert_eq!(told["top"]["top"][0]["name"], "alice");
        assert_eq!(told["moment"]["sessions"], 1);
        let none = asked.json(&["top", "--filter", "nobody"]);
        assert_eq!(none["top"]["talkers"], 0);
        let piped = asked.command(&["top"]).output().expect("the binary");
        assert_eq!(piped.status.code(), Some(2));
        let why = String::from_utf8_lossy(&piped.stderr).into_owned();
        assert!(why.contains("`hairpin sessions --json`"), "{why}");

        let mut terminal = top(asked);
        terminal.wait_for_words("\nalice");
        terminal.press("/xyz");
        terminal.wait_for_words("nobody to whom the filter applies");
        terminal.press("\rq");
        let ended = terminal.wait();
        assert!(ended.status.success(), "{ended:?}");
        // The terminal is as it was: the other screen is left, and the cursor is seen.
        for restored in ["\u{1b}[?1049l", "\u{1b}[?25h"] {
            assert!(ended.output.contains(restored), "{ended:?}");
        }
    });
}

#[test]
fn the_key_s_puts_the_rows_of_top_in_another_order_and_the_screen_says_by_what() {
    let place = place();
    serving(operated(&place, &bob_too()), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        // One is older and is sent more, the other sends, and has sent the most until now.
        let bob = Exchange::begin(bob(), [0, 200]);
        let is_old = || {
            let old = asked.json(&["sessions", "--min-age", "2s"]);
            (old.as_array().map(Vec::len) == Some(1)).then_some(())
        };
        lab::wait_for("a session of some age", lab::PATIENCE, is_old);
        let mut alice = Exchange::begin(LiveClient::udp(), [100, 0]);
        alice.burst(4_000_000);
        let _traffic = Traffic::of(vec![bob, alice]);
        let mut terminal = top(asked);
        for (words, first) in [
            ("sorted by rate", ["bob", USER]),
            ("sorted by rate to peers", [USER, "bob"]),
            ("sorted by rate from peers", ["bob", USER]),
            ("sorted by data until now", [USER, "bob"]),
            ("sorted by age", ["bob", USER]),
        ] {
            let heading = format!("{words}\n");
            terminal.wait_until(&format!("{words}: {first:?}"), |screen| {
                screen.contains(&heading) && users(screen) == first
            });
            terminal.press("s");
        }
        terminal.wait_for_words("sorted by rate\n");
    });
}

#[test]
fn a_person_at_top_filters_looks_closer_and_ends_after_a_question() {
    let place = place();
    serving(operated(&place, &bob_too()), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let traffic = Traffic::of(vec![
            Exchange::begin(LiveClient::udp(), [100, 100]),
            Exchange::begin(bob(), [100, 100]),
        ]);
        let mut terminal = top(asked);
        terminal.wait_for_words("2 SESSIONS");
        terminal.press("/bob");
        terminal.wait_until("one row", |screen| {
            screen.contains("1 SESSIONS") && users(screen) == ["bob"]
        });
        terminal.press("\r\r");
        terminal.wait_for_words("0x4000");
        terminal.press(ESCAPE);
        terminal.wait_until("the list", |screen| !screen.contains("0x4000"));
        for answer in ["n", "\r"] {
            terminal.press("e");
            let question = "of bob? y: yes, any other key: no";
            terminal.wait_for_words(question);
            terminal.press(answer);
            terminal.wait_until("the question to go", |screen| !screen.contains(question));
        }
        assert_eq!(asked.json(&["status"])["allocations"], 2);
        terminal.press("e");
        terminal.wait_for_words("? y: yes");
        terminal.press("y");
        terminal.wait_for_words("1 session ended");
        terminal.press("/");
        terminal.press(ESCAPE);
        terminal.wait_until("the other row", |screen| {
            screen.contains("1 SESSIONS") && users(screen) == [USER]
        });
        terminal.press("q");
        assert!(terminal.wait().status.success());
        let mut exchanges = traffic.end();
        let answers: Vec<_> = exchanges
            .iter_mut()
            .map(|exchange| exchange.client().refresh(Duration::from_secs(60)))
            .collect();
        assert_eq!(answers, [Ok(()), Err(Code(437))]);
    });
}

fn top(asked: &Asked<'_>) -> Terminal {
    let socket = asked.socket().display().to_string();
    let at = |program: &str| asked.on_host(program);
    Terminal::open(at, &binary(), &["top", "--socket", &socket])
}

/// The users of the rows on a screen, in their order.
fn users(screen: &str) -> Vec<&str> {
    let rows = screen.lines().filter_map(|line| line.split(' ').next());
    rows.filter(|name| [USER, "bob"].contains(name)).collect()
}

fn bob() -> LiveClient {
    LiveClient::udp().login("bob", PASSWORD)
}

fn bob_too() -> String {
    format!("auth.users.bob = '{PASSWORD}'")
}

const ESCAPE: &str = "\u{1b}";
