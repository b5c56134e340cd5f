//! Calls between browsers of two homes: the reason why this project exists.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    browser::{Browser, Running},
    lab::{
        server::{PASSWORD, USER},
        wait_for,
    },
    meeting::Meeting,
    nats::Nat,
    net::{Internet, on_the_internet, server_v4},
    servers::hairpin,
};

#[test]
fn two_peers_behind_symmetric_nats_call_each_other_through_hairpin() {
    on_the_internet(|internet| {
        let results = call(internet, Nat::Symmetric, Help::Turn);
        for result in &results {
            assert_eq!(result["state"], "connected", "{results:#?}");
            let way = result["way"].as_array().expect("two candidates");
            assert!(way.contains(&json!("relay")), "{results:#?}");
        }
        assert_eq!(results[0]["heard"], results[0]["said"], "{results:#?}");
    });
}

#[test]
fn two_peers_behind_symmetric_nats_cannot_call_each_other_without_turn() {
    on_the_internet(|internet| {
        for result in call(internet, Nat::Symmetric, Help::Stun) {
            assert_eq!(result["state"], "failed", "{result:#}");
            // They know what STUN can tell them, and it does not help.
            let gathered = result["gathered"].as_array().expect("candidates");
            assert!(gathered.contains(&json!("srflx")), "{result:#}");
        }
    });
}

#[test]
fn two_peers_behind_port_restricted_nats_call_each_other_without_turn() {
    on_the_internet(|internet| {
        let results = call(internet, Nat::PortRestricted, Help::Stun);
        for result in &results {
            assert_eq!(result["state"], "connected", "{results:#?}");
        }
        assert_eq!(results[0]["heard"], results[0]["said"], "{results:#?}");
    });
}

/// What the peers have beside each other.
#[derive(Clone, Copy)]
enum Help {
    Stun,
    Turn,
}

impl Help {
    fn ice_servers(self) -> Value {
        let server = server_v4(1);
        match self {
            Self::Stun => json!([{ "urls": format!("stun:{server}") }]),
            Self::Turn => json!([{
                "urls": format!("turn:{server}"),
                "username": USER,
                "credential": PASSWORD,
            }]),
        }
    }
}

/// What caller and callee say in the end, each behind a NAT of its own.
fn call(internet: &Internet, nat: Nat, help: Help) -> [Value; 2] {
    let _server = hairpin(&[1], "");
    let meeting = Meeting::open(help.ice_servers());
    let homes = [1, 2].map(|number| internet.home(number, nat));
    let roles = ["caller", "callee"];
    let mut peers: Vec<Running> = homes
        .iter()
        .zip(roles)
        .map(|(home, role)| {
            let at = |program: &str| home.host.command(program);
            Browser::Chromium.open_at(at, &meeting.url(role))
        })
        .collect();
    roles.map(|role| {
        wait_for("the peers' results", CALL, || {
            for peer in &mut peers {
                if let Some(status) = peer.ended() {
                    panic!("a browser ended with {status}");
                }
            }
            meeting.result(role)
        })
    })
}

/// Browsers need seconds to start, and then some to give up.
const CALL: Duration = Duration::from_secs(80);
