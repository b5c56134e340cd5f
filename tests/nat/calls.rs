//! Calls between browsers of two homes: the reason why this project exists.

use std::time::Duration;

use lab::{
    browser::{Browser, Window},
    internet::{Internet, on_the_internet, server_v4},
    nat::Nat,
    server::{PASSWORD, USER},
    servers::hairpin,
    wait_for,
};
use serde_json::{Value, json};

use crate::meeting::Meeting;

#[test]
fn two_peers_behind_symmetric_nats_call_each_other_through_hairpin() {
    on_the_internet(|internet| {
        let results = call(internet, [Nat::Symmetric; 2], Help::Turn);
        assert_connected(&results);
        assert_relayed(&results);
    });
}

#[test]
fn two_peers_behind_symmetric_nats_cannot_call_each_other_without_turn() {
    on_the_internet(|internet| {
        for result in call(internet, [Nat::Symmetric; 2], Help::Stun) {
            assert_eq!(result["state"], "failed", "{result:#}");
            // STUN gives them reflexive addresses, and these do not help.
            let gathered = result["gathered"].as_array().expect("candidates");
            assert!(gathered.contains(&json!("srflx")), "{result:#}");
        }
    });
}

/// The probe's verdict is `mostly-direct`.
#[test]
fn two_peers_behind_port_restricted_nats_call_each_other_without_turn() {
    on_the_internet(|internet| {
        assert_connected(&call(internet, [Nat::PortRestricted; 2], Help::Stun));
    });
}

/// The probe's verdict is `direct`: whatever the other side has.
#[test]
fn a_peer_behind_a_restricted_cone_calls_one_behind_a_symmetric_nat_without_turn() {
    on_the_internet(|internet| {
        let nats = [Nat::Restricted, Nat::Symmetric];
        assert_connected(&call(internet, nats, Help::Stun));
    });
}

/// The probe's verdict is `needs-turn-over-tcp`.
#[test]
fn a_peer_whose_firewall_refuses_udp_calls_through_hairpin_over_tcp() {
    on_the_internet(|internet| {
        let nats = [Nat::UdpBlocked, Nat::Symmetric];
        let results = call(internet, nats, Help::TurnOverTcp);
        assert_connected(&results);
        assert_relayed(&results);
    });
}

/// Asserts that both report a connection, and that the caller got its own message back.
#[track_caller]
fn assert_connected(results: &[Value; 2]) {
    for result in results {
        assert_eq!(result["state"], "connected", "{results:#?}");
    }
    assert_ne!(results[0]["said"], Value::Null, "{results:#?}");
    assert_eq!(results[0]["heard"], results[0]["said"], "{results:#?}");
}

/// Asserts that the call passes a relay in both directions.
#[track_caller]
fn assert_relayed(results: &[Value; 2]) {
    for result in results {
        let way = result["way"].as_array().expect("two candidates");
        assert!(way.contains(&json!("relay")), "{results:#?}");
    }
}

/// The servers that the peers can use.
#[derive(Clone, Copy)]
enum Help {
    Stun,
    Turn,
    TurnOverTcp,
}

impl Help {
    fn ice_servers(self) -> Value {
        let server = server_v4(1);
        let url = match self {
            Self::Stun => return json!([{ "urls": format!("stun:{server}") }]),
            Self::Turn => format!("turn:{server}?transport=udp"),
            Self::TurnOverTcp => format!("turn:{server}?transport=tcp"),
        };
        json!([{ "urls": url, "username": USER, "credential": PASSWORD }])
    }
}

/// The final results of caller and callee, each behind a NAT of its own.
fn call(internet: &Internet, nats: [Nat; 2], help: Help) -> [Value; 2] {
    let _server = hairpin(&[1], "");
    let meeting = Meeting::open(help.ice_servers());
    let homes = [(1, nats[0]), (2, nats[1])].map(|(number, nat)| internet.home(number, nat));
    let roles = ["caller", "callee"];
    let mut peers: Vec<Window> = homes
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

/// Browsers need seconds to start, and then some more to give up.
const CALL: Duration = Duration::from_secs(80);
