//! Real browsers, each calling itself through the built server.

mod dashboard;
mod disturbances;
mod mixed;
mod quality;
mod refusals;
mod video;

use std::{net::Ipv4Addr, time::Duration};

use lab::{
    board::Board,
    browser::{Browser, Window},
    server::{PASSWORD, REALM, USER},
    setup::Setup,
    wait_for,
    world::{SERVER_V4, World, in_own_world},
};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn a_call_in_chromium_is_relayed_over_udp() {
    in_own_world(|world| a_call_is_relayed(Browser::Chromium, "udp", world));
}

#[test]
fn a_call_in_chromium_is_relayed_over_tcp() {
    in_own_world(|world| a_call_is_relayed(Browser::Chromium, "tcp", world));
}

#[test]
fn a_call_in_firefox_is_relayed_over_udp() {
    in_own_world(|world| a_call_is_relayed(Browser::Firefox, "udp", world));
}

#[test]
fn a_call_in_firefox_is_relayed_over_tcp() {
    in_own_world(|world| a_call_is_relayed(Browser::Firefox, "tcp", world));
}

#[test]
fn a_call_in_chromium_follows_a_redirect_over_udp() {
    in_own_world(|world| a_redirect_is_followed(Browser::Chromium, "udp", world));
}

#[test]
fn a_call_in_chromium_follows_a_redirect_over_tcp() {
    in_own_world(|world| a_redirect_is_followed(Browser::Chromium, "tcp", world));
}

#[test]
fn a_call_in_firefox_follows_a_redirect_over_udp() {
    in_own_world(|world| a_redirect_is_followed(Browser::Firefox, "udp", world));
}

#[test]
fn a_call_in_firefox_follows_a_redirect_over_tcp() {
    in_own_world(|world| a_redirect_is_followed(Browser::Firefox, "tcp", world));
}

#[test]
fn a_call_in_chromium_is_relayed_for_a_user_of_another_realm() {
    in_own_world(|world| {
        let setup = Setup::closed()
            .with("[[auth.realm]]\nname = 'example.net'\nusers.alice = 'looking-glass'");
        let url = format!("turn:{SERVER_V4}?transport=udp");
        let _server = world.serve(setup);
        let credentials = ["alice@example.net", "looking-glass"];
        call(Browser::Chromium, ice_servers(&url, credentials));
    });
}

#[test]
fn the_ice_servers_of_a_server_without_configuration_are_ready_to_paste() {
    in_own_world(|world| {
        let home = TempDir::new().expect("a temporary directory");
        let server = world.serve_unconfigured(home.path());
        call(Browser::Chromium, server.printed_ice_servers());
    });
}

fn a_call_is_relayed(browser: Browser, transport: &str, world: &World) {
    let url = format!("turn:{SERVER_V4}?transport={transport}");
    let _server = world.serve(Setup::closed());
    let result = call(browser, ice_servers(&url, [USER, PASSWORD]));
    for end in 0..2 {
        let way = &result["pairs"][end]["local"]["relayProtocol"];
        assert_eq!(way, transport, "{result:#}");
    }
}

/// By the first request, before there is a nonce; and by the signed one, with a nonce that the next
/// server takes.
fn a_redirect_is_followed(browser: Browser, transport: &str, world: &World) {
    const FROM: u16 = 51_000;
    let server = |port: u16, first: u16| {
        let ports = format!("relay.ports = '{first}-{}'\npeers.allow = []", first + 999);
        let setup = Setup::on_port(port).with(&ports);
        setup.nonce_secret("a secret shared by all nodes")
    };
    let _second = world.serve(server(3479, FROM));
    for (port, whose) in [(3480, String::new()), (3481, format!("realm = '{REALM}'"))] {
        let to = format!("{SERVER_V4}:3479/{transport}");
        let rule = format!("when = 'always'\n{whose}");
        let first = world.serve(server(port, 50_000).redirecting(&to, &rule));
        let url = format!("turn:{SERVER_V4}:{port}?transport={transport}");
        let result = call(browser, ice_servers(&url, [USER, PASSWORD]));
        for end in 0..2 {
            let local = &result["pairs"][end]["local"];
            assert_eq!(local["relayProtocol"], transport, "{result:#}");
            let port = local["port"].as_u64().expect("a port");
            assert!(port >= FROM.into(), "{result:#}");
        }
        assert!(!first.log().contains("allocation.opened"));
    }
}

fn ice_servers(url: &str, [username, credential]: [&str; 2]) -> Value {
    json!([{ "urls": url, "username": username, "credential": credential }])
}

/// Lets the browser call itself, and returns the page's report of a call that was relayed.
fn call(browser: Browser, ice_servers: Value) -> Value {
    let mut page = Page::open(
        browser,
        json!({ "ends": [&ice_servers, &ice_servers], "seconds": 0 }),
    );
    page.result()
}

/// A browser that calls itself.
struct Page {
    board: Board,
    browser: Window,
}

impl Page {
    /// The plan says which servers each end uses, and for how many seconds they see each other.
    fn open(browser: Browser, plan: Value) -> Self {
        let board = Board::serve((Ipv4Addr::LOCALHOST, 0), include_str!("../pages/call.html"));
        board.pin("plan", plan);
        let browser = browser.open(board.url());
        Self { board, browser }
    }

    /// Waits for something that the page leaves on its board.
    #[track_caller]
    fn read(&mut self, name: &str) -> Value {
        wait_for(name, CALL, || {
            if let Some(status) = self.browser.ended() {
                panic!("the browser ended with {status}");
            }
            if name != "result" {
                let early = self.board.read("result");
                assert_eq!(early, None, "before there was {name}");
            }
            self.board.read(name)
        })
    }

    /// The report of a call that was relayed.
    #[track_caller]
    fn result(&mut self) -> Value {
        let result = self.read("result");
        assert!(
            !self.browser.is_favoured(),
            "a browser takes the processor from the server, as only root's can"
        );
        assert_relayed(&result);
        result
    }
}

#[track_caller]
fn assert_relayed(result: &Value) {
    assert_eq!(result["same"], true, "the echo differs: {result:#}");
    assert_eq!(result["bytes"], 1024 * 1024, "{result:#}");
    for (end, side) in [(0, "local"), (0, "remote"), (1, "local"), (1, "remote")] {
        let candidate = &result["pairs"][end][side]["candidateType"];
        assert_eq!(candidate, "relay", "{result:#}");
    }
}

/// A browser needs seconds to start, more when two start at once on a small machine; the page
/// itself gives up before this, unless its call is held.
const CALL: Duration = Duration::from_secs(80);
