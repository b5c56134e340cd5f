//! Peers that the server refuses, beside the one that it grants.
//!
//! A partner has candidates of all kinds, private addresses among them, and a browser asks for
//! permissions for them all.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use lab::{
    browser::Browser,
    setup::Setup,
    talks::{End, Plan, Stranger, Talks},
    world::{PEER_V4, World, in_own_world},
};

#[test]
fn a_peer_that_is_refused_does_not_end_a_call_in_chromium() {
    in_own_world(|world| refuse(world, Browser::Chromium));
}

/// Firefox gives up the whole server at any refusal of a permission but 403.
#[test]
fn a_peer_that_is_refused_does_not_end_a_call_in_firefox() {
    in_own_world(|world| refuse(world, Browser::Firefox));
}

/// Lets a browser call itself. Its partner also has an address that the server denies, and one more
/// than the limit allows.
#[track_caller]
fn refuse(world: &World, browser: Browser) {
    let mut server = world.serve(Setup::default().with("allocation.permissions = 1"));
    let call = |transport| [End { browser, transport }; 2];
    let strangers = [(DENIED, true), (PEER_V4, false)].map(|(ip, is_first)| Stranger {
        at: SocketAddrV4::new(ip, 9999),
        is_first,
    });
    Talks::begin(Plan {
        calls: &[call("udp"), call("tcp")],
        strangers: &strangers,
        meets_again: false,
        duration: Duration::from_secs(3),
    })
    .assert_went_on();
    let log = server.stop().output;
    for cause in ["peer-denied", "too-many-permissions"] {
        let refused = format!(r#" code=403 cause="{cause}" "#);
        assert!(log.contains(&refused), "{cause}: {log}");
    }
}

/// A private address, and so denied by default.
const DENIED: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 7);
