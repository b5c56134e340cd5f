//! The test page, in real browsers: it names the fault of each server, and finds none where there is
//! none.

mod scenes;

use std::{net::Ipv4Addr, time::Duration};

use lab::{
    authority::SERVER_NAME,
    board::Board,
    browser::Browser,
    daemons::nginx,
    driven::Driven,
    internet::{WEB, on_the_internet, server_v4},
    machine::{name_hosts, resolve_by},
    modules::run_modules,
    nat::Nat,
    server::PASSWORD,
    servers::hairpin,
    setup::Setup,
    wait_for,
    world::{CLIENT_V4, SERVER_V4, World, in_own_world},
};
use serde_json::{Value, json};

use self::scenes::{
    BEHIND, CLOSED, ELSEWHERE, OTHER_NAME, PROXY, REFUSING, Scene, WITHOUT_UDP, faults, healthy,
    refusing,
};

#[test]
fn the_test_page_names_each_fault_in_chromium() {
    in_own_world(|world| each_fault_is_named(world, Browser::Chromium));
}

#[test]
fn the_test_page_names_each_fault_in_firefox() {
    in_own_world(|world| each_fault_is_named(world, Browser::Firefox));
}

#[test]
fn the_test_page_tells_a_symmetric_nat_from_one_mapping_for_all_servers() {
    on_the_internet(|internet| {
        let pages = (server_v4(31), PAGES);
        let more = format!("http.listen = ['{}:{PAGES}']\ndemo.enabled = true", pages.0);
        let _servers = hairpin(&[31, 32], &more);
        let text = [31, 32]
            .map(|last| format!("stun:{} ", server_v4(last)))
            .concat();
        let nats = [
            (1, Nat::PortRestricted, "Direct calls work with most peers."),
            (2, Nat::Symmetric, "(a symmetric NAT)"),
        ];
        let homes = nats.map(|(number, nat, words)| (internet.home(number, nat), words));
        let browsers = [Browser::Chromium, Browser::Firefox];
        let visitors = homes
            .iter()
            .flat_map(|home| browsers.map(|browser| (home, browser)));
        let visitors = visitors.map(|((home, words), browser)| {
            let board = visits(pages, server_v4(WEB));
            board.pin("scenes", json!([[{ "name": "network", "text": text }]]));
            let window = browser.open_at(|program| home.host.command(program), board.url());
            (board, window, browser, words)
        });
        for (board, mut window, browser, words) in visitors.collect::<Vec<_>>() {
            let said = wait_for("the network", CALL, || {
                assert_eq!(window.ended(), None, "the browser ended");
                board.read("network")
            });
            assert_eq!(said["problems"], json!([]), "{browser:?}: {said:#}");
            assert!(
                text_of(&said, "network").contains(words),
                "{browser:?}: {said:#}"
            );
        }
    });
}

#[test]
fn a_page_of_which_a_part_does_not_come_says_so() {
    in_own_world(|world| {
        let _server = world.serve(good());
        for browser in [Browser::Chromium, Browser::Firefox] {
            let board = visits((SERVER_V4, PAGES), CLIENT_V4);
            let mut page = Driven::open(browser, world.server_host(), None);
            page.visit(&format!("{}test", board.url()));
            page.wait_until("document.getElementById('unfinished') === null");
            board.leave_out("/verdict.js");
            page.visit(&format!("{}test?again", board.url()));
            page.wait_until("document.body.innerText.includes('has not come')");
        }
    });
}

#[test]
fn the_modules_of_the_test_page_hold_their_promises() {
    run_modules(
        ["crates/httpd/static", "tests/demo/test_page"],
        &["ice-servers", "judging", "turn-uri", "verdict"],
    );
}

fn each_fault_is_named(world: &World, browser: Browser) {
    // Chromium asks resolvers in any case: these refuse at once.
    resolve_by(&[]);
    let server = SERVER_V4.into();
    name_hosts(&[(server, SERVER_NAME), (server, OTHER_NAME)]);
    world.filter_server(&format!(
        "table inet closed {{ chain in {{ type filter hook input priority 0; \
         iifname server0 udp dport {{ 51000-51999, {WITHOUT_UDP} }} drop; }}; }}"
    ));
    let _good = world.serve(good());
    let _closed = world.serve(relaying(CLOSED, 51_000));
    let _refusing = world.serve(relaying(REFUSING, 52_000).with("peers.allow = []"));
    let elsewhere =
        relaying(ELSEWHERE, 53_000).with("relay.external = ['203.0.113.77', '2001:db8:203::77']");
    let _elsewhere = world.serve(elsewhere);
    let behind = format!("proxy_pass 127.0.0.1:{BEHIND};");
    let _proxy = nginx(
        |program| world.on_server_host(program),
        &format!(
            "stream {{ server {{ listen {SERVER_V4}:{PROXY} udp; {behind} }} \
             server {{ listen {SERVER_V4}:{PROXY}; {behind} }} }}"
        ),
    );
    let board = visits((SERVER_V4, PAGES), Ipv4Addr::LOCALHOST);
    let (well, refusing, faults) = (healthy(), refusing(), faults(browser));
    let others = [
        json!({ "name": "own", "presses": "own" }),
        json!({ "name": "nonsense", "text": "const x = y;" }),
    ];
    let pasted = |scene: &Scene| json!({ "name": scene.name, "text": scene.text });
    let faulty: Vec<Value> = faults.iter().map(pasted).chain(others).collect();
    // Losses and round trips are measured where nothing else is.
    let quiet = [&well, &refusing].map(pasted);
    board.pin("scenes", json!([quiet, faulty]));
    let mut window = browser.open(board.url());
    let mut said = |name: &str| {
        let said = wait_for(name, CALL, || {
            assert_eq!(window.ended(), None, "the browser ended");
            board.read(name)
        });
        assert_eq!(said["problems"], json!([]), "{name}: {said:#}");
        said
    };
    refusing.assert(&said(refusing.name));
    let works = said(well.name);
    well.assert(&works);
    for url in works["codes"].as_array().expect("a list") {
        for code in ["D045 ok", "D055 ok", "D059 ok"] {
            assert!(has(url, code), "{code}: {works:#}");
        }
    }
    assert_masked(&works);
    for scene in &faults {
        let said = said(scene.name);
        scene.assert(&said);
        if scene.errors.iter().all(|errors| is_answer(errors)) {
            // Sooner than the page would give up on an answer.
            let first = said["first"].as_f64().expect("a finding before the end");
            println!("{}: a finding after {first:.0} ms", scene.name);
            assert!(first < 4000.0, "{said:#}");
        }
    }
    for (name, words) in [
        ("udp-blocked-alone", "No answer over UDP within a second"),
        ("udp-blocked-alone", "UDP seems to be blocked"),
        ("relay-ports-closed", "A relayed address came after"),
    ] {
        let hints = &said(name)["hints"];
        assert!(has_hint(hints, words), "{name}: {hints:#}");
    }
    // No timer comes before its time. On a busy machine it may come late, but not by the time that the page had.
    let silent = said("udp-blocked-alone");
    let silent = hint(&silent["hints"], "No answer over UDP within a second").expect("a hint");
    println!("after a second: {silent}");
    assert!(silent["since"].as_f64() >= Some(1000.0), "{silent:#}");
    assert!(silent["own"].as_f64() < Some(2000.0), "{silent:#}");
    let own = said("own");
    assert!(text_of(&own, "report").contains("D045"), "{own:#}");
    let nonsense = text_of(&said("nonsense"), "mistake").to_owned();
    assert!(
        nonsense.contains("Paste what your page gives"),
        "{nonsense}"
    );
}

/// A board that visits the test page of this server. It is served at the other address.
fn visits(pages: (Ipv4Addr, u16), at: Ipv4Addr) -> Board {
    Board::in_front_of(
        pages.into(),
        (at, 0),
        include_str!("../pages/test_page.html"),
    )
}

/// A report without addresses has the findings, and nothing that tells who and where.
#[track_caller]
fn assert_masked(said: &Value) {
    let [all, masked] = ["report", "masked"].map(|name| text_of(said, name));
    for secret in [&SERVER_V4.to_string(), &CLIENT_V4.to_string(), SERVER_NAME] {
        assert!(all.contains(secret), "{all}");
        assert!(!masked.contains(secret), "{masked}");
    }
    for report in [all, masked] {
        assert!(
            report.contains("D059") && !report.contains(PASSWORD),
            "{report}"
        );
    }
}

/// Whether the server answers with these errors, so that nothing has to be waited for.
fn is_answer(errors: &[&str]) -> bool {
    errors.iter().any(|code| matches!(*code, "D030" | "D032"))
}

fn has(codes: &Value, code: &str) -> bool {
    codes
        .as_array()
        .expect("a list")
        .iter()
        .any(|it| it == code)
}

/// Whether the page says this of a URL before its outcome is known, sooner than it would give up.
fn has_hint(hints: &Value, words: &str) -> bool {
    hint(hints, words).is_some_and(|hint| hint["since"].as_f64() < Some(5000.0))
}

/// What the page says of a URL before its outcome is known.
fn hint<'h>(hints: &'h Value, words: &str) -> Option<&'h Value> {
    let mut hints = hints.as_array().expect("a list").iter();
    hints.find(|hint| text_of(hint, "sentence").contains(words))
}

fn text_of<'a>(said: &'a Value, name: &str) -> &'a str {
    said[name].as_str().expect("a text")
}

/// The server that has all but the relays of the others, and the pages.
fn good() -> Setup {
    let mut setup = relaying(3478, 50_000).with_tls().with(&format!(
        "http.listen = ['{SERVER_V4}:{PAGES}']\ndemo.enabled = true"
    ));
    for listen in [
        format!("{SERVER_V4}:{WITHOUT_UDP}"),
        format!("127.0.0.1:{BEHIND}"),
    ] {
        for transport in ["udp", "tcp"] {
            setup = setup.with(&format!(
                "[[listener]]\ntransport = '{transport}'\nlisten = '{listen}'"
            ));
        }
    }
    setup
}

/// A server that relays to the browser, from a thousand ports.
fn relaying(port: u16, first: u16) -> Setup {
    Setup::on_port(port).with(&format!(
        "relay.ports = '{first}-{}'\npeers.allow = ['{CLIENT_V4}']",
        first + 999
    ))
}

const PAGES: u16 = 8080;

/// A browser needs seconds to start, more when two start at once on a small machine; the page
/// itself gives up before this.
const CALL: Duration = Duration::from_secs(80);
