//! The evidence for a second NAT: a router of a carrier reports itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use probe::DoubleNat;

use wire::attributes::XorMappedAddress;
use wire::{Class, Message, Method, Writer};

use crate::script::{LOCAL, answer, discovery, run};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn behind(routers: &[&str]) -> Option<DoubleNat> {
    let mut now = Instant::now();
    let mut discovery = discovery(now, None);
    while let Some(deadline) = discovery.poll_timeout() {
        while let Some(transmit) = discovery.poll_transmit() {
            let router = transmit
                .ttl
                .and_then(|ttl| routers.get(usize::from(ttl) - 1));
            match router {
                Some(router) => discovery.handle_hop(now, ip(router), &transmit.payload[..20]),
                None => {
                    let answer = answer(&transmit, false);
                    discovery.handle_input(now, transmit.from, transmit.to, &answer);
                }
            }
        }
        now = now.max(deadline);
        discovery.handle_timeout(now);
    }
    let findings = discovery.findings();
    let distances: Vec<u8> = findings
        .hops
        .iter()
        .map(|(distance, _)| *distance)
        .collect();
    let expected: Vec<u8> = (1..=5).take(routers.len()).collect();
    assert_eq!(distances, expected);
    findings.double_nat
}

#[test]
fn a_router_with_a_carriers_address_beyond_our_own_is_a_second_nat() {
    let found = behind(&["192.168.1.1", "100.64.0.1", "198.51.100.1"]);
    let expected = DoubleNat::CarrierRouter {
        distance: 2,
        address: ip("100.64.0.1"),
    };
    assert_eq!(found, Some(expected));
}

#[test]
fn routers_with_private_or_public_addresses_prove_no_second_nat() {
    assert_eq!(behind(&["192.168.1.1", "10.0.0.1", "198.51.100.1"]), None);
    assert_eq!(behind(&["192.168.1.1"]), None);
    assert_eq!(behind(&[]), None);
    // The first router is the near side of the only NAT.
    assert_eq!(behind(&["100.64.0.1", "198.51.100.1"]), None);
}

#[test]
fn a_router_that_quotes_nonsense_is_not_believed() {
    let now = Instant::now();
    let mut discovery = discovery(now, None);
    for packet in [&b""[..], &[0; 19], &[0xFF; 64]] {
        discovery.handle_hop(now, ip("100.64.0.1"), packet);
    }
    assert!(discovery.findings().hops.is_empty());
}

#[test]
fn a_server_that_sees_a_private_address_shows_a_second_nat() {
    for (seen, is_second) in [
        ("100.64.0.9", true),
        ("10.0.0.9", true),
        ("198.51.100.7", false),
        // Without a NAT: the server is in the same net.
        (LOCAL, false),
    ] {
        let mapped = SocketAddr::new(ip(seen), 50_000);
        let (findings, _) = run(None, |_, transmit| {
            let transaction = Message::parse(&transmit.payload).unwrap().transaction();
            let mut answer = Vec::new();
            Writer::new(&mut answer, Method::Binding, Class::Success, transaction)
                .put(&XorMappedAddress(mapped));
            vec![(transmit.from, transmit.to, answer)]
        });
        let second = is_second.then_some(DoubleNat::PrivateMapping(mapped));
        assert_eq!(findings.double_nat, second, "{seen}");
    }
}
