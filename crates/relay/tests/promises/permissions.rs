//! CreatePermission and permissions. RFC 8656 §9, §10.

use relay::DropReason::{NoPeerPermission, NoPermission, PeerDenied};
use relay::policy::{Mode, Own, Policy};
use relay::{AddressFamily, Reject};
use sim::{LISTENER, LOCAL, Peer, Request, World, assert_lost, minutes, seconds};
use wire::attributes::XorPeerAddress;
use wire::{Attribute, Method};

#[test]
fn a_permission_lets_data_pass_both_ways() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    assert_lost(peer.send(&mut world, relayed, b"knock"), NoPeerPermission);
    assert_lost(alice.send(&mut world, peer, b"hi"), NoPermission);
    alice.permit(&mut world, peer);
    alice.reaches(&mut world, peer, b"hi");
    peer.reaches(&mut world, alice, b"ho");
}

#[test]
fn a_permission_is_for_an_address_and_not_for_a_port() {
    let mut world = World::new();
    let (alice, peer, stranger) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer.on_port(0));
    for port in [1, 4000, 65_535] {
        let peer = peer.on_port(port);
        peer.reaches(&mut world, alice, b"x");
        alice.reaches(&mut world, peer, b"y");
    }
    assert_lost(stranger.send(&mut world, relayed, b"x"), NoPeerPermission);
}

#[test]
fn a_permission_is_for_one_allocation() {
    let mut world = World::new();
    let (alice, bob, peer) = (world.client("alice"), world.client("bob"), world.peer());
    alice.allocate(&mut world, minutes(10));
    let relayed = bob.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
    assert_lost(bob.send(&mut world, peer, b"x"), NoPermission);
}

#[test]
fn a_permission_lasts_300_seconds_to_the_second() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, peer);
    world.advance(seconds(299));
    peer.reaches(&mut world, alice, b"x");
    world.advance(seconds(1));
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
    assert_lost(alice.send(&mut world, peer, b"x"), NoPermission);
}

#[test]
fn a_permission_asked_for_again_lasts_300_seconds_more() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, peer);
    world.advance(seconds(200));
    alice.permit(&mut world, peer);
    world.advance(seconds(299));
    peer.reaches(&mut world, alice, b"x");
    world.advance(seconds(1));
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
}

#[test]
fn neither_data_nor_a_refresh_prolongs_a_permission() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, peer);
    for _ in 0..3 {
        world.advance(seconds(99));
        alice.send(&mut world, peer, b"out");
        peer.send(&mut world, relayed, b"in");
        alice.refresh(&mut world, minutes(60));
    }
    world.advance(seconds(3));
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
}

#[test]
fn several_peers_are_granted_at_once() {
    let mut world = World::new();
    let (alice, one, two) = (world.client("alice"), world.peer(), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.succeeds(&mut world, Request::create_permission([one, two, one]));
    for peer in [one, two] {
        peer.reaches(&mut world, alice, b"x");
    }
}

#[test]
fn all_peers_are_granted_or_none() {
    let mut world = World::new();
    let (alice, good) = (world.client("alice"), world.peer());
    let v6 = world.peer_v6();
    alice.allocate(&mut world, minutes(10));
    let with_good = || Request::create_permission([good]);
    let bad: [(u16, Request); 5] = [
        (443, with_good().peer(v6).peer(good)),
        (403, with_good().peer(Peer::at("10.0.0.1:80")).peer(good)),
        (
            400,
            with_good().put_raw(XorPeerAddress::TYPE, b"").peer(good),
        ),
        (
            400,
            with_good().put_raw(XorPeerAddress::TYPE, &[0, 3, 0, 0, 1, 2, 3, 4]),
        ),
        (
            400,
            with_good().put_raw(XorPeerAddress::TYPE, &[0, 1, 0, 0, 1, 2, 3]),
        ),
    ];
    for (code, request) in bad {
        assert_eq!(alice.ask(&mut world, request).code(), Some(code));
        assert_lost(alice.send(&mut world, good, b"x"), NoPermission);
    }
}

#[test]
fn what_cannot_be_read_is_a_bad_request_whatever_stands_before_it() {
    let mut world = World::new();
    let (alice, v6) = (world.client("alice"), world.peer_v6());
    alice.allocate(&mut world, minutes(10));
    for peer in [v6, Peer::at("10.0.0.1:80")] {
        let request = Request::create_permission([peer]).put_raw(XorPeerAddress::TYPE, b"");
        assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    }
}

#[test]
fn nobody_in_particular_is_a_bad_request() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    alice.hears_error(&mut world, 400, Request::new(Method::CreatePermission));
}

#[test]
fn a_peer_of_the_other_family_is_refused() {
    let mut world = World::new();
    let (v4, v6) = (world.peer(), world.peer_v6());
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    alice.allocate(&mut world, minutes(10));
    bob.succeeds(&mut world, Request::allocate().family(AddressFamily::V6));
    for (client, good, bad) in [(alice, v4, v6), (bob, v6, v4)] {
        client.relayed(&world);
        client.permit(&mut world, good);
        client.reaches(&mut world, good, b"x");
        client.hears_error(&mut world, 443, Request::create_permission([bad]));
        client.hears_error(&mut world, 443, Request::channel_bind(0x4000, bad));
    }
}

#[test]
fn nothing_is_sent_to_port_zero() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer().on_port(0));
    alice.allocate(&mut world, minutes(10));
    alice.hears_error(&mut world, 403, Request::channel_bind(0x4000, peer));
    alice.permit(&mut world, peer);
    assert_lost(alice.send(&mut world, peer, b"x"), PeerDenied);
}

/// The relay's own address among them: a socket that took it would send IPv4.
#[test]
fn an_ipv4_mapped_peer_is_of_no_family() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    alice.allocate(&mut world, minutes(10));
    let request = Request::allocate().family(AddressFamily::V6);
    assert!(bob.ask(&mut world, request).is_success());
    for address in ["[::ffff:9.9.9.9]:4000", "[::ffff:198.41.0.5]:50000"] {
        let mapped = Peer::at(address);
        for client in [alice, bob] {
            for request in [
                Request::create_permission([mapped]),
                Request::channel_bind(0x4000, mapped),
            ] {
                assert_eq!(client.ask(&mut world, request).code(), Some(443));
            }
        }
    }
}

#[test]
fn a_peer_that_the_policy_denies_is_forbidden_and_the_reason_reported() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    world.reports();
    for address in ["127.0.0.1:22", "169.254.169.254:80", "192.168.1.1:443"] {
        let peer = Peer::at(address);
        for request in [
            Request::create_permission([peer]),
            Request::channel_bind(0x4000, peer),
        ] {
            assert_eq!(alice.ask(&mut world, request).code(), Some(403));
            let reject = world.refusal();
            assert!(
                matches!(reject, Reject::PeerDenied { peer: denied, .. } if denied.0 == peer.0)
            );
        }
        assert_lost(alice.send(&mut world, peer, b"x"), NoPermission);
    }
}

/// Only a range of ports of 10.1.2.3 is open.
fn world_with_some_ports() -> World {
    World::ruled(|rules| {
        let own = Own {
            listeners: vec![LISTENER],
            addresses: vec![LOCAL.into()],
            relays: vec![LOCAL],
            relay_ports: 49_152..=65_535,
        };
        let allow = vec!["10.1.2.0/24:5000-6000".parse().unwrap()];
        rules.policy = Policy::new(Mode::Closed, allow, vec![], own);
    })
}

#[test]
fn where_the_policy_opens_some_ports_each_datagram_is_judged() {
    let mut world = world_with_some_ports();
    let (alice, host) = (world.client("alice"), Peer::at("10.1.2.3:5000"));
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, host);
    for port in [5000, 6000] {
        let peer = host.on_port(port);
        alice.reaches(&mut world, peer, b"x");
        peer.reaches(&mut world, alice, b"x");
    }
    for port in [4999, 6001, 22] {
        let peer = host.on_port(port);
        assert_lost(alice.send(&mut world, peer, b"x"), PeerDenied);
        assert_lost(peer.send(&mut world, relayed, b"x"), PeerDenied);
    }
}

#[test]
fn a_channel_is_judged_by_its_port() {
    let mut world = world_with_some_ports();
    let (alice, host) = (world.client("alice"), Peer::at("10.1.2.3:5000"));
    let relayed = alice.allocate(&mut world, minutes(10));
    let closed = Request::channel_bind(0x4000, host.on_port(22));
    assert_eq!(alice.ask(&mut world, closed).code(), Some(403));
    // It has left no permission behind.
    assert_lost(alice.send(&mut world, host, b"x"), NoPermission);
    alice.bind(&mut world, host);
    alice.reaches(&mut world, host, b"x");
    let beside = host.on_port(22);
    assert_lost(beside.send(&mut world, relayed, b"x"), PeerDenied);
}

#[test]
fn more_permissions_than_allowed_are_refused_and_none_is_installed() {
    let mut world = World::ruled(|rules| rules.limits.permissions = 2);
    let (alice, one, two, three) = (
        world.client("alice"),
        world.peer(),
        world.peer(),
        world.peer(),
    );
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.permit(&mut world, one);
    let both = || Request::create_permission([two, three]);
    assert_eq!(alice.ask(&mut world, both()).code(), Some(403));
    assert_lost(alice.send(&mut world, two, b"x"), NoPermission);
    // The same peer on another port, and the same peer again, are no more than one.
    for twice in [[one, one.on_port(1)], [two, two]] {
        alice.succeeds(&mut world, Request::create_permission(twice));
    }
    let bind = Request::channel_bind(0x4000, three);
    assert_eq!(alice.ask(&mut world, bind).code(), Some(403));
    assert_lost(three.send(&mut world, relayed, b"x"), NoPeerPermission);
    // Permissions that have lapsed make room.
    world.advance(minutes(5));
    assert!(alice.ask(&mut world, both()).is_success());
}
