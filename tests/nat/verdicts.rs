//! The probe's findings about each NAT, with every kind of server.

use lab::{
    internet::{Home, INSIDE_V6, on_the_internet},
    nat::Nat,
    servers::Kind,
};
use serde_json::{Value, json};

use crate::probe::{self, Told};

/// The expected findings about a NAT.
struct Expected {
    rfc3489: &'static str,
    mapping: &'static str,
    filtering: &'static str,
    /// `None` without a NAT.
    hairpinning: Option<bool>,
    verdict: &'static str,
    code: i32,
}

#[test]
fn without_a_nat_calls_are_direct() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::None);
        let told = told_by_all(
            &home,
            &Expected {
                rfc3489: "open Internet",
                mapping: "none",
                filtering: "endpoint-independent",
                hairpinning: None,
                verdict: "direct",
                code: 0,
            },
        );
        assert_eq!(told.v4()["ports"], Value::Null);
        assert_eq!(told.v4()["unknown"]["hairpinning"], "there is no NAT");
    });
}

#[test]
fn behind_a_full_cone_calls_are_direct() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::FullCone);
        told_by_all(
            &home,
            &Expected {
                rfc3489: "full cone NAT",
                mapping: "endpoint-independent",
                filtering: "endpoint-independent",
                hairpinning: Some(true),
                verdict: "direct",
                code: 0,
            },
        );
    });
}

#[test]
fn behind_a_restricted_cone_calls_are_direct() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Restricted);
        told_by_all(
            &home,
            &Expected {
                rfc3489: "restricted cone NAT",
                mapping: "endpoint-independent",
                filtering: "address-dependent",
                hairpinning: Some(false),
                verdict: "direct",
                code: 0,
            },
        );
    });
}

#[test]
fn behind_a_port_restricted_cone_calls_are_mostly_direct() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let told = told_by_all(&home, &PORT_RESTRICTED);
        let ports = &told.v4()["ports"];
        assert_eq!(ports["preserved"], ports["seen"], "{ports}");
        assert_eq!(told.v4()["double_nat"], Value::Null);
    });
}

#[test]
fn behind_a_symmetric_nat_calls_need_turn() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Symmetric);
        let told = told_by_all(
            &home,
            &Expected {
                rfc3489: "symmetric NAT",
                mapping: "address-and-port-dependent",
                filtering: "address-and-port-dependent",
                hairpinning: Some(false),
                verdict: "needs-turn",
                code: 10,
            },
        );
        assert_eq!(told.v4()["ports"]["preserved"], 0);
    });
}

#[test]
fn behind_a_carriers_nat_the_second_nat_is_seen() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Carrier);
        let told = told_by_all(&home, &PORT_RESTRICTED);
        let carrier = json!({ "carrier_router": "100.64.0.1", "distance": 2 });
        assert_eq!(told.v4()["double_nat"], carrier);
        let home_router = json!({ "router": "192.168.1.1", "distance": 1 });
        assert_eq!(told.v4()["hops"][0], home_router);
    });
}

#[test]
fn where_only_tcp_passes_calls_need_turn_over_tcp() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::UdpBlocked);
        for (kind, told) in probe_by(&home, &Kind::ALL) {
            assert_eq!(
                told.report["verdict"], "needs-turn-over-tcp",
                "{kind:?} {told:#?}"
            );
            assert_eq!(told.code, 10);
            let unknown = &told.v4()["unknown"];
            for finding in ["mapping", "filtering", "hairpinning", "largest_payload"] {
                assert_eq!(told.v4()[finding], Value::Null, "{kind:?} {told:#?}");
                assert_eq!(unknown[finding], "no server answered", "{kind:?} {told:#?}");
            }
            let stream = &told.report["streams"][0];
            let mapped = stream["answer"]["mapped"].as_str().expect("an address");
            assert!(
                mapped.starts_with(&format!("{}:", home.outside)),
                "{stream}"
            );
        }
    });
}

#[test]
fn where_nothing_passes_no_server_is_reached() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Blocked);
        for (kind, told) in probe_by(&home, &[Kind::Alternate, Kind::Ordinary]) {
            assert_eq!(told.report["verdict"], "blocked", "{kind:?} {told:#?}");
            assert_eq!(told.code, 20);
            assert_eq!(told.v4()["rfc3489"], Value::Null);
        }
    });
}

#[test]
fn a_firewall_of_ipv6_is_not_taken_for_a_nat() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Ipv6Firewall);
        let _servers = Kind::ALL.map(Kind::start);
        let probes = Kind::ALL.map(|kind| (kind, probe::start(&home, &kind.uris_v6(), &[])));
        for (kind, running) in probes {
            let told = running.told();
            let v6 = told.v6();
            assert_eq!(
                told.report["verdict"], "mostly-direct",
                "{kind:?} {told:#?}"
            );
            assert_eq!(told.code, 0);
            assert_eq!(v6["mapping"], "none", "{kind:?} {told:#?}");
            assert_eq!(v6["local"], v6["mapped"], "{kind:?} {told:#?}");
            let local = v6["local"].as_str().unwrap_or_default();
            assert!(local.starts_with(&format!("[{INSIDE_V6}]:")), "{told:#?}");
            assert_eq!(told.v4()["state"], "no-server");
            if kind.tells_all() {
                assert_eq!(
                    v6["filtering"], "address-and-port-dependent",
                    "{kind:?} {told:#?}"
                );
                assert_eq!(
                    v6["rfc3489"], "symmetric UDP firewall",
                    "{kind:?} {told:#?}"
                );
            }
        }
    });
}

const PORT_RESTRICTED: Expected = Expected {
    rfc3489: "port-restricted cone NAT",
    mapping: "endpoint-independent",
    filtering: "address-and-port-dependent",
    hairpinning: Some(false),
    verdict: "mostly-direct",
    code: 0,
};

/// Asks each kind of server, and returns the result of the first.
#[track_caller]
fn told_by_all(home: &Home, expected: &Expected) -> Told {
    let mut all = probe_by(home, &Kind::ALL);
    for (kind, told) in &all {
        assert_as_expected(home, *kind, told, expected);
    }
    all.swap_remove(0).1
}

#[track_caller]
fn assert_as_expected(home: &Home, kind: Kind, told: &Told, expected: &Expected) {
    let v4 = told.v4();
    let mapped = v4["mapped"].as_str().unwrap_or_default();
    let seen = format!("{}:", home.outside);
    assert!(mapped.starts_with(&seen), "{kind:?} {told:#?}");
    let hairpinning = expected.hairpinning.map_or(Value::Null, Value::from);
    assert_eq!(v4["hairpinning"], hairpinning, "{kind:?} {told:#?}");
    assert_eq!(v4["strays"], Value::Null, "{kind:?} {told:#?}");
    if kind.tells_all() {
        assert_eq!(v4["rfc3489"], expected.rfc3489, "{kind:?} {told:#?}");
        assert_eq!(v4["mapping"], expected.mapping, "{kind:?} {told:#?}");
        assert_eq!(v4["filtering"], expected.filtering, "{kind:?} {told:#?}");
        assert_eq!(
            told.report["verdict"], expected.verdict,
            "{kind:?} {told:#?}"
        );
        assert_eq!(v4["largest_payload"], 4_000, "{kind:?} {told:#?}");
        assert_eq!(v4["fragments"], true, "{kind:?} {told:#?}");
    } else {
        let unknown = "no server that answered speaks RFC 5780";
        assert_eq!(v4["filtering"], Value::Null, "{kind:?} {told:#?}");
        assert_eq!(v4["unknown"]["filtering"], unknown, "{kind:?} {told:#?}");
        // Whether a peer can come from another port is not known.
        let (mapping, verdict) = match expected.mapping {
            "address-and-port-dependent" => ("destination-dependent", "needs-turn"),
            same => (same, "mostly-direct"),
        };
        assert_eq!(v4["mapping"], mapping, "{kind:?} {told:#?}");
        assert_eq!(told.report["verdict"], verdict, "{kind:?} {told:#?}");
    }
    assert_eq!(told.code, expected.code, "{kind:?} {told:#?}");
}

/// Starts the servers and asks each kind, all at the same time.
fn probe_by(home: &Home, kinds: &[Kind]) -> Vec<(Kind, Told)> {
    let _servers: Vec<_> = kinds.iter().map(|kind| kind.start()).collect();
    let probes: Vec<_> = kinds
        .iter()
        .map(|kind| (*kind, probe::start(home, &kind.uris(), &[])))
        .collect();
    probes
        .into_iter()
        .map(|(kind, running)| (kind, running.told()))
        .collect()
}
