//! Browsers nobody here wrote, each calling itself through the built server.

#[path = "../lab/mod.rs"]
mod lab;

mod browser;
mod page;

use std::time::Duration;

use browser::Browser;
use lab::{
    server::{PASSWORD, Setup, USER},
    wait_for,
    world::{SERVER_V4, World, in_own_world},
};
use page::Page;
use serde_json::json;

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

fn a_call_is_relayed(browser: Browser, transport: &str, world: &World) {
    // The relayed addresses are the server's own: no rule has to allow them.
    let setup = Setup {
        allow_peers: false,
        ..Setup::default()
    };
    let port = setup.port;
    let _server = world.serve(setup);
    let page = Page::serve(json!([{
        "urls": format!("turn:{SERVER_V4}:{port}?transport={transport}"),
        "username": USER,
        "credential": PASSWORD,
    }]));

    let mut running = browser.open(page.url());
    let result = wait_for("the page's result", PATIENCE, || {
        if let Some(status) = running.ended() {
            panic!("the browser ended with {status}");
        }
        page.result()
    });

    assert_eq!(result["same"], true, "the echo differs: {result:#}");
    assert_eq!(result["bytes"], 1024 * 1024, "{result:#}");
    let pairs = result["pairs"].as_array().expect("a pair of each peer");
    assert_eq!(pairs.len(), 2, "{result:#}");
    for pair in pairs {
        assert_eq!(pair["local"]["candidateType"], "relay", "{result:#}");
        assert_eq!(pair["remote"]["candidateType"], "relay", "{result:#}");
        assert_eq!(pair["local"]["relayProtocol"], transport, "{result:#}");
    }
}

/// A browser needs seconds to start, more when two start at once on a small machine; the page
/// itself gives up before this.
const PATIENCE: Duration = Duration::from_secs(80);
