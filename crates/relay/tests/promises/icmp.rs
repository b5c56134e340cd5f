//! ICMP errors about a client's datagrams: it is told, if the peer has a permission.
//! RFC 8656 §11.5.

use std::net::{IpAddr, SocketAddr};

use relay::DropReason::{self, NoPeerPermission};
use relay::{Icmp, IcmpTold, PeerAddr, RelayAddress, Sha256, Verdict};
use sim::Outcome::{Lost, NoSocket};
use sim::{
    Client, EXTERNAL, LOCAL, Outcome, Peer, Proof, Request, World, assert_lost, minutes, seconds,
};
use wire::attributes::{PasswordAlgorithm, XorRelayedAddress};

const PORT_UNREACHABLE: Icmp = Icmp {
    kind: 3,
    code: 3,
    data: 0,
};

/// The addresses of a dual allocation.
#[track_caller]
pub(crate) fn allocate_both(world: &mut World, client: Client) -> [SocketAddr; 2] {
    let answer = client.ask(world, Request::allocate().dual());
    let both = answer.get_all::<XorRelayedAddress>();
    let both: Vec<SocketAddr> = both.into_iter().map(|it| it.0).collect();
    both.try_into().unwrap()
}

/// A datagram from a relayed address finds the port of a peer closed.
fn closed(world: &mut World, peer: Peer, relayed: SocketAddr) -> Outcome {
    peer.is_lost(world, relayed, PORT_UNREACHABLE)
}

#[track_caller]
fn assert_told(world: &mut World, client: Client, peer: Peer) {
    let outcome = closed(world, peer, client.relayed(world));
    assert_eq!(outcome, client.is_told(peer, PORT_UNREACHABLE));
}

/// A server where every client is told.
fn world() -> World {
    World::with(|config| config.rules_mut().icmp = IcmpTold::Always)
}

/// pion and webrtc-rs stop reading at a Data indication without DATA. None of them signs with an
/// algorithm of RFC 8489.
#[test]
fn an_old_client_hears_nothing_of_icmp_and_a_new_one_does() {
    for (told, hears_old, hears_new) in [
        (IcmpTold::default(), false, true),
        (IcmpTold::Always, true, true),
        (IcmpTold::Never, false, false),
    ] {
        let mut world = World::ruled(|rules| {
            rules.sha256 = Sha256::Offer;
            rules.icmp = told;
        });
        let (old, new, peer) = (world.client("alice"), world.client("bob"), world.peer());
        let request = Request::allocate().proof(Proof::New(PasswordAlgorithm::SHA256));
        assert!(new.ask(&mut world, request).is_success());
        old.allocate(&mut world, minutes(10));
        for (client, hears) in [(old, hears_old), (new, hears_new)] {
            let relayed = client.relayed(&world);
            client.permit(&mut world, peer);
            let expected = if hears {
                client.is_told(peer, PORT_UNREACHABLE)
            } else {
                Lost(DropReason::IcmpUnasked)
            };
            assert_eq!(closed(&mut world, peer, relayed), expected);
        }
    }
}

/// Where SHA-256 is switched off, attributes behind MESSAGE-INTEGRITY are not read.
#[test]
fn what_nobody_signed_makes_no_client_new() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    let request = Request::allocate().behind_integrity(MESSAGE_INTEGRITY_SHA256, &[0; 32]);
    assert!(alice.ask(&mut world, request).is_success());
    let relayed = alice.relayed(&world);
    alice.permit(&mut world, peer);
    assert_lost(closed(&mut world, peer, relayed), DropReason::IcmpUnasked);
}

/// A client that names MD5 has read RFC 8489 all the same.
#[test]
fn an_algorithm_that_is_named_is_enough_to_be_told() {
    let mut world = World::ruled(|rules| rules.sha256 = Sha256::Offer);
    let (alice, peer) = (world.client("alice"), world.peer());
    let request = Request::allocate().proof(Proof::New(PasswordAlgorithm::MD5));
    assert!(alice.ask(&mut world, request).is_success());
    alice.bind(&mut world, peer);
    for _ in 0..2 {
        assert_told(&mut world, alice, peer);
        // The channel is enough when the permission has lapsed.
        world.advance(seconds(300));
    }
}

#[test]
fn a_client_is_told_that_its_datagram_was_lost() {
    let mut world = world();
    let peer = world.peer();
    for client in [world.client("alice"), world.tcp_client("bob")] {
        client.allocate(&mut world, minutes(10));
        client.permit(&mut world, peer);
        assert_told(&mut world, client, peer);
    }
    assert_eq!(world.counters().icmp, 2);
}

#[test]
fn an_error_comes_in_an_indication_even_where_a_channel_is_bound() {
    let mut world = world();
    let (alice, peer) = (world.client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    assert_told(&mut world, alice, peer);
}

#[test]
fn of_a_peer_without_permission_nothing_is_told() {
    let mut world = world();
    let (alice, peer, other) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, peer);
    assert_lost(closed(&mut world, other, relayed), NoPeerPermission);
    world.advance(seconds(300));
    assert_eq!(
        closed(&mut world, peer, relayed),
        Lost(NoPeerPermission),
        "lapsed"
    );
    assert_eq!(world.counters().icmp, 0);
}

#[test]
fn of_a_permission_the_address_alone_counts_and_the_port_may_be_unknown() {
    let mut world = world();
    let (alice, peer) = (world.client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    for beside in [peer.on_port(9), peer.on_port(0)] {
        assert_told(&mut world, alice, beside);
    }
}

#[test]
fn errors_of_the_types_that_the_rfc_names_are_told_and_no_others() {
    let mut world = world();
    let alice = world.client("alice");
    let [v4, v6] = allocate_both(&mut world, alice);
    let families: [(_, _, &[u8]); 2] = [
        (world.peer(), v4, &[3, 11]),
        (world.peer_v6(), v6, &[1, 2, 3]),
    ];
    for (peer, relayed, told) in families {
        alice.permit(&mut world, peer);
        for kind in 0..=255 {
            let icmp = Icmp {
                kind,
                code: 1,
                data: 0,
            };
            let outcome = peer.is_lost(&mut world, relayed, icmp);
            let expected = if told.contains(&kind) {
                alice.is_told(peer, icmp)
            } else {
                Lost(DropReason::IcmpType)
            };
            assert_eq!(outcome, expected, "{kind} about {peer:?}");
        }
    }
}

#[test]
fn the_mtu_is_told_where_a_datagram_was_too_big_and_else_zero() {
    let mut world = world();
    let alice = world.client("alice");
    let [at_v4, at_v6] = allocate_both(&mut world, alice);
    let (v4, v6) = (world.peer(), world.peer_v6());
    alice.permit(&mut world, v4);
    alice.permit(&mut world, v6);
    for (peer, kind, code, data) in [
        (v4, 3, 4, 1400),
        (v4, 3, 3, 0),
        (v4, 11, 0, 0),
        (v6, 2, 0, 1400),
        (v6, 1, 4, 0),
        (v6, 3, 0, 0),
    ] {
        let relayed = if peer == v4 { at_v4 } else { at_v6 };
        let arrived = Icmp {
            kind,
            code,
            data: 1400,
        };
        assert_eq!(
            peer.is_lost(&mut world, relayed, arrived),
            alice.is_told(peer, Icmp { kind, code, data })
        );
    }
}

/// A shard reaches another's relay by its local address. A client knows the external one.
#[test]
fn an_error_about_another_relay_names_its_external_address() {
    let mut world = World::sharded(2, |config| {
        config.rules_mut().icmp = IcmpTold::Always;
        config.rules_mut().relays = vec![RelayAddress {
            local: LOCAL,
            external: EXTERNAL,
        }];
    });
    let (alice, bob) = (world.client("alice"), world.client_on(1, "bob"));
    let at_alice = alice.allocate(&mut world, minutes(10));
    let at_bob = bob.allocate(&mut world, minutes(10));
    alice.permit(&mut world, at_bob);
    let local = |ip: IpAddr| Peer(SocketAddr::new(ip, at_bob.port()));
    assert_eq!(
        local(LOCAL).is_lost(&mut world, at_alice, PORT_UNREACHABLE),
        alice.is_told(local(EXTERNAL), PORT_UNREACHABLE)
    );
}

#[test]
fn an_error_prolongs_nothing_and_counts_as_no_traffic() {
    let mut world = world();
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, peer);
    world.advance(seconds(299));
    closed(&mut world, peer, relayed);
    world.advance(seconds(1));
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
    assert_eq!(world.counters().received.packets, 0);
}

#[test]
fn an_error_for_an_allocation_that_is_gone_reaches_nobody() {
    let mut world = world();
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    let relay = world.relay_of(alice);
    alice.permit(&mut world, peer);
    alice.delete(&mut world);
    assert_eq!(closed(&mut world, peer, relayed), NoSocket);
    // An error that was under way when the socket closed.
    let now = world.now();
    let late = world
        .server(0)
        .handle_icmp(now, relay, PeerAddr(peer.0), PORT_UNREACHABLE);
    assert!(matches!(late, Verdict::Drop(DropReason::RelayGone)));
}
