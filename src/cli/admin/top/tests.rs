//! The screen and its keys, drawn into a terminal that is none.

use std::time::Duration;

use ::admin::live::{By, Wanted};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::style::Color;
use serde_json::{Value, json};

use super::draw::text;
use super::link::path;
use super::screen::{Look, Screen, Wish};

const COLOURED: Look = Look { has_colours: true };

/// A server with sessions of these users, each of which carries half as much as the one before.
fn server(users: &[&str]) -> Value {
    let mut bits = 4_000_000.0;
    let sessions = users.iter().enumerate().map(|(at, user)| {
        bits /= 2.0;
        talker(&format!("{at}.0000000{at}"), user, bits)
    });
    let top: Vec<Value> = sessions.collect();
    json!({
        "moment": {
            "time": 1_790_000_000, "seconds": 2.0, "sessions": users.len(), "draining": false,
            "opened": 1.5, "ended": 0.0,
            "sent": { "bits": 4_000_000.0, "packets": 400.0 },
            "received": { "bits": 3_000_000.0, "packets": 300.0 },
            "limits": [{ "name": "relay ports", "used": 95, "most": 100 }],
            "refused": [
                { "cause": "unknown-user", "code": 401, "rate": 0.0, "total": 7 },
                { "cause": "bad-integrity", "code": 401, "rate": 6.2, "total": 31 },
            ],
            "dropped": [], "lost": [], "shards": [{ "name": "shard-0", "busy": 0.25 }],
            "certificates": [{ "name": "turn.example.org", "key": "ECDSA", "days": 5 }],
            "memory": 1_000_000,
            "quality": { "measured": 3, "bad_clients": 1, "bad_peers": 0 },
        },
        "top": { "seconds": 2.0, "talkers": users.len(), "top": top },
        "points": [],
    })
}

fn talker(id: &str, user: &str, bits: f64) -> Value {
    let traffic = json!({ "packets": 10, "bytes": 1000 });
    let rate = json!({ "bits": bits, "packets": 1.0 });
    json!({
        "name": id, "sessions": 1, "sent": rate, "received": rate, "bytes": 2000, "age": 61,
        "session": {
            "id": id, "realm": "example.org", "user": user, "credential": user, "transport": "udp",
            "client": "198.51.100.2:40000", "relayed": ["203.0.113.7:56819"], "peers": [], "age": 61,
            "sent": traffic, "received": traffic,
        },
    })
}

fn screen_of(users: &[&str], look: Look) -> Screen {
    let mut screen = Screen::new(Wanted::default(), look);
    see(&mut screen, server(users));
    screen
}

fn see(screen: &mut Screen, seen: Value) -> Option<Wish> {
    screen.see(serde_json::from_value(seen).unwrap())
}

fn drawn(screen: &Screen, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| frame.render_widget(screen, frame.area());
    terminal.draw(draw).unwrap();
    terminal.backend().buffer().clone()
}

fn shown(screen: &Screen) -> String {
    text(&drawn(screen, 80, 24))
}

fn press(screen: &mut Screen, code: KeyCode) -> Option<Wish> {
    screen.press(KeyEvent::from(code))
}

fn letter(screen: &mut Screen, letter: char) -> Option<Wish> {
    press(screen, KeyCode::Char(letter))
}

#[test]
fn a_terminal_of_80_columns_has_the_server_its_sessions_and_the_keys() {
    let text = shown(&screen_of(&["alice", "bob"], COLOURED));
    for words in [
        "2 sessions  live  1.5/s opened",
        "to peers 4.0 Mbit/s, 400 packets/s  from peers 3.0 Mbit/s",
        "relay ports 95 %!  shard-0 25 %  memory 1.0 MB",
        "refused 6.2/s: bad-integrity (401) 6.2/s; since the start unknown-user (401) 7",
        "dropped 0/s",
        "quality of 3: client legs 1 bad!  peer legs good  turn.example.org 5 days left",
        "2 SESSIONS",
        "198.51.100.2:40000      2.0 Mbit/s   2.0 Mbit/s",
        "q quit  ? help",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn the_number_of_rows_is_whole_in_80_columns() {
    let mut seen = server(&["alice"]);
    seen["top"]["talkers"] = json!(10_003);
    let mut screen = Screen::new(Wanted::default(), Look::plain());
    see(&mut screen, seen);
    assert!(
        shown(&screen).contains("\n10003 SESSIO"),
        "{}",
        shown(&screen)
    );
}

#[test]
fn every_size_of_a_terminal_is_drawn_and_a_narrow_one_has_users_and_rates() {
    let mut screen = screen_of(&["alice", "bob"], COLOURED);
    let narrow = text(&drawn(&screen, 40, 12));
    let row = narrow.lines().find(|line| line.starts_with("alice"));
    assert_eq!(row, Some("alice            2.0 Mbit/s   2.0 Mbit/s"));
    for line in [
        "2 sessions  live  1.5/s opened, 0/s…",
        "to peers 4.0 Mbit/s  from 3.0 Mbit/s",
        "relay ports 95 %!  shard-0 25 %  memory…",
        "refused 6.2/s: bad-integrity (401)…",
    ] {
        let heading = text(&drawn(&screen, 40, 24));
        assert!(heading.lines().any(|it| it == line), "{line} in\n{heading}");
    }
    for mode in ['l', '?', '/'] {
        letter(&mut screen, mode);
        for (width, height) in [(1, 1), (2, 40), (200, 1), (10, 3), (300, 100)] {
            drawn(&screen, width, height);
        }
        press(&mut screen, KeyCode::Enter);
    }
}

#[test]
fn a_wide_terminal_says_which_leg_is_bad_by_what() {
    let mut seen = server(&["alice"]);
    let leg = |bad: Value| {
        let mut leg = json!({
            "round_trip_ms": 61.0, "bitrate": 0, "bad": bad != json!([]), "bad_measures": bad, "expected": 0,
            "lost": 0, "reordered": 0, "streams": 0, "loss": 0.07,
            "contents": { "stun": 0, "dtls": 0, "quic": 0, "rtp": 0, "rtcp": 0, "turn": 0, "other": 0 },
        });
        leg["jitter_ms"] = Value::Null;
        leg
    };
    seen["top"]["top"][0]["session"]["quality"] =
        json!({ "client": leg(json!(["loss"])), "peer": leg(json!([])) });
    let mut screen = Screen::new(Wanted::default(), Look::plain());
    see(&mut screen, seen);
    assert!(shown(&screen).contains("client!"));
    let wide = text(&drawn(&screen, 160, 24));
    assert!(
        wide.contains("61ms 7.0%!") && wide.contains("61ms 7.0% "),
        "{wide}"
    );
}

#[test]
fn names_that_clients_chose_move_no_cursor() {
    let screen = screen_of(&["\u{1b}[2Jalice\u{202e}", "<b>"], COLOURED);
    let text = text(&drawn(&screen, 120, 24));
    assert!(text.contains(r"\u{1b}[2Jalice\u{202e}"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn without_colours_the_words_and_marks_say_the_same() {
    let users = ["alice", "bob"];
    let [plain, coloured] = [Look::plain(), COLOURED].map(|look| {
        let buffer = drawn(&screen_of(&users, look), 80, 24);
        let is_coloured = buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        (text(&buffer), is_coloured)
    });
    assert_eq!(plain.0, coloured.0);
    assert!(!plain.1 && coloured.1);
}

#[test]
fn the_chosen_session_stays_chosen_wherever_it_moves() {
    let mut screen = screen_of(&["alice", "bob", "carol"], COLOURED);
    press(&mut screen, KeyCode::Down);
    assert_eq!(screen.place(), 1);
    let mut seen = server(&["alice", "bob", "carol"]);
    let rows = seen["top"]["top"].as_array_mut().unwrap();
    rows.swap(1, 2);
    see(&mut screen, seen);
    assert_eq!(screen.place(), 2);
    see(&mut screen, server(&["alice"]));
    assert_eq!(screen.place(), 0);
    see(&mut screen, server(&[]));
    assert!(shown(&screen).contains("nobody"));
    for key in [KeyCode::Down, KeyCode::PageUp, KeyCode::End, KeyCode::Enter] {
        assert!(press(&mut screen, key).is_none());
    }
    assert!(letter(&mut screen, 'e').is_none());
}

#[test]
fn a_session_is_ended_after_a_yes_and_after_nothing_else() {
    let mut screen = screen_of(&["alice"], COLOURED);
    assert!(letter(&mut screen, 'e').is_none());
    let question = "End session 0.00000000 of alice? y: yes, any other key: no";
    assert!(shown(&screen).contains(question));
    assert!(letter(&mut screen, 'n').is_none());
    letter(&mut screen, 'e');
    assert!(press(&mut screen, KeyCode::Enter).is_none());
    assert!(letter(&mut screen, 'y').is_none());
    letter(&mut screen, 'e');
    let Some(Wish::End(end)) = letter(&mut screen, 'y') else {
        panic!("an end was wished for");
    };
    assert_eq!(end.id.as_deref(), Some("0.00000000"));
    assert!(!end.all && end.user.is_none());
    screen.note("1 session ended".to_owned());
    assert!(shown(&screen).contains("1 session ended"));
}

#[test]
fn a_user_is_ended_with_all_sessions_of_the_realm_and_shown_by_them() {
    let mut screen = screen_of(&["alice"], COLOURED);
    assert!(
        matches!(letter(&mut screen, '2'), Some(Wish::Watch(wanted)) if wanted.by == By::Users)
    );
    let mut seen = server(&[]);
    let rate = json!({ "bits": 1.0, "packets": 1.0 });
    seen["top"]["top"] = json!([{
        "name": "alice", "realm": "example.org", "sessions": 3, "sent": rate, "received": rate,
        "bytes": 0, "age": 1,
    }]);
    see(&mut screen, seen);
    letter(&mut screen, 'e');
    assert!(shown(&screen).contains("End all 3 sessions of the user alice?"));
    let Some(Wish::End(end)) = letter(&mut screen, 'y') else {
        panic!("an end was wished for");
    };
    let named = [end.user, end.realm].map(Option::unwrap);
    assert_eq!(named, ["alice", "example.org"]);
    let Some(Wish::Watch(wanted)) = press(&mut screen, KeyCode::Enter) else {
        panic!("sessions were wished for");
    };
    assert_eq!((wanted.by, wanted.filter.as_str()), (By::Sessions, "alice"));
}

#[test]
fn a_filter_is_asked_for_when_nothing_more_is_typed() {
    let mut screen = screen_of(&["alice"], COLOURED);
    letter(&mut screen, '/');
    let quarter = Duration::from_millis(250);
    for typed in ['b', 'q'] {
        assert!(letter(&mut screen, typed).is_none());
    }
    assert!(shown(&screen).contains("filter: bq"));
    press(&mut screen, KeyCode::Backspace);
    let Some(Wish::Watch(wanted)) = screen.pass(quarter) else {
        panic!("the filter was wished for");
    };
    assert_eq!(wanted.filter, "b");
    assert!(screen.pass(quarter).is_none());
    assert!(press(&mut screen, KeyCode::Enter).is_some());
    assert!(shown(&screen).contains("filter: b"));
    letter(&mut screen, '/');
    let without = press(&mut screen, KeyCode::Esc);
    assert!(matches!(without, Some(Wish::Watch(wanted)) if wanted.filter.is_empty()));
}

#[test]
fn a_filter_acts_on_the_sessions_that_are_shown_while_it_is_typed() {
    let mut screen = screen_of(&["alice", "bob", "Carol"], COLOURED);
    letter(&mut screen, '/');
    letter(&mut screen, 'c');
    let text = shown(&screen);
    assert!(text.contains("alice") && text.contains("Carol"), "{text}");
    assert!(
        !text.contains("bob") && text.contains("2 SESSIONS"),
        "{text}"
    );
    letter(&mut screen, 'a');
    // The server does not know of it yet.
    see(&mut screen, server(&["alice", "bob", "Carol"]));
    let text = shown(&screen);
    assert!(
        !text.contains("alice") && text.contains("1 SESSIONS"),
        "{text}"
    );
}

#[test]
fn a_wide_terminal_has_the_throughput_until_now_and_says_of_how_long() {
    let mut seen = server(&["alice"]);
    let point = |time: u64| {
        json!({
            "time": time, "sessions": 1, "sent": 1.0, "received": 2.0, "opened": 0.0, "refused": 0.0,
            "dropped": 0.0,
        })
    };
    seen["points"] = (0..100).map(|at| point(1000 + at * 5)).collect();
    let mut screen = Screen::new(Wanted::default(), Look::plain());
    see(&mut screen, seen);
    assert!(!shown(&screen).contains("last"));
    let wide = text(&drawn(&screen, 120, 24));
    let line = wide.lines().nth(1).unwrap();
    let (left, bars) = line
        .split_once("both, last 1 min 20 s ")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(left.contains("300 packets/s"), "{line}");
    assert!(
        bars.chars().count() == 17 && bars.chars().all(|it| it == '█'),
        "{line}"
    );
}

#[test]
fn a_server_that_goes_away_is_missed_until_it_comes_back() {
    let mut screen = screen_of(&["alice"], COLOURED);
    screen.lose("cannot reach the server".to_owned());
    let text = shown(&screen);
    assert!(
        text.contains("NO ANSWER: cannot reach the server"),
        "{text}"
    );
    assert!(text.contains("alice"), "what was seen last stays");
    see(&mut screen, server(&["bob"]));
    assert!(shown(&screen).contains("live"));
    screen.pass(Duration::from_secs(7));
    assert!(shown(&screen).contains("NO NEWS for 7 s"));
}

#[test]
fn a_paused_screen_stands_still_until_something_else_is_wanted() {
    let mut screen = screen_of(&["alice"], COLOURED);
    letter(&mut screen, ' ');
    see(&mut screen, server(&["bob"]));
    let text = shown(&screen);
    assert!(text.contains("PAUSED") && text.contains("alice"), "{text}");
    assert!(letter(&mut screen, 's').is_some());
    see(&mut screen, server(&["bob"]));
    let text = shown(&screen);
    assert!(!text.contains("PAUSED") && text.contains("bob"), "{text}");
}

#[test]
fn the_key_s_asks_the_server_for_each_order_in_turn_and_the_screen_says_which_it_is() {
    let mut screen = screen_of(&["alice", "bob"], COLOURED);
    assert!(shown(&screen).contains("sorted by rate"));
    for (sort, words) in [
        ("sent", "sorted by rate to peers"),
        ("received", "sorted by rate from peers"),
        ("bytes", "sorted by data until now"),
        ("age", "sorted by age"),
        ("rate", "sorted by rate"),
    ] {
        let Some(Wish::Watch(wanted)) = letter(&mut screen, 's') else {
            panic!("{sort} was wished for");
        };
        let asked = path(&wanted);
        assert!(asked.contains(&format!("&sort={sort}&")), "{asked}");
        assert!(shown(&screen).contains(words), "{}", shown(&screen));
    }
    // Rows stand as the server orders them.
    letter(&mut screen, 's');
    let mut seen = server(&["alice", "bob"]);
    seen["top"]["top"].as_array_mut().unwrap().reverse();
    see(&mut screen, seen);
    let text = shown(&screen);
    let [alice, bob] = ["alice", "bob"].map(|user| text.find(user).expect(user));
    assert!(bob < alice, "{text}");
}

#[test]
fn details_are_asked_for_again_with_each_look_while_they_are_shown() {
    let mut screen = screen_of(&["alice"], COLOURED);
    let asked = press(&mut screen, KeyCode::Enter);
    assert!(matches!(asked, Some(Wish::Details(id)) if id == "0.00000000"));
    screen.show("0.00000000", "channel 0x4000".to_owned());
    screen.show("another", "of another session".to_owned());
    assert!(shown(&screen).contains("channel 0x4000"));
    let mut seen = server(&["alice"]);
    seen["top"]["top"][0] = talker("1.11111111", "bob", 1.0);
    assert!(matches!(see(&mut screen, seen), Some(Wish::Details(_))));
    letter(&mut screen, 'e');
    let ended = letter(&mut screen, 'y');
    assert!(matches!(ended, Some(Wish::End(end)) if end.id.as_deref() == Some("0.00000000")));
    see(&mut screen, server(&["alice"]));
    press(&mut screen, KeyCode::Enter);
    press(&mut screen, KeyCode::Esc);
    assert!(see(&mut screen, server(&["alice"])).is_none());
    assert!(matches!(press(&mut screen, KeyCode::Esc), Some(Wish::Quit)));
}
