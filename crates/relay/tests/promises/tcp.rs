//! TCP allocations. RFC 6062.

mod connections;
mod data;
mod endings;
mod shards;

use relay::{ConnectionId, DropReason, Reject, Rules, Transport};
use sim::{Client, EXTERNAL, Request, World, assert_lost, minutes};
use wire::Method;
use wire::attributes::{
    EvenPort, Lifetime, RequestedTransport, ReservationToken, XorMappedAddress, XorRelayedAddress,
};

/// A world that relays TCP.
fn world() -> World {
    sharded(1, |_| {})
}

/// The same with other rules, in so many shards.
fn sharded(shards: u8, change: impl FnOnce(&mut Rules)) -> World {
    World::sharded(shards, |config| {
        let rules = config.rules_mut();
        rules.tcp = true;
        change(rules);
    })
}

/// Rules to change to, by which TCP is relayed.
fn rules() -> Rules {
    let mut rules = crate::rules::rules(&["alice", "bob"]);
    rules.tcp = true;
    rules
}

/// Alice with a TCP allocation.
fn alice(world: &mut World) -> Client {
    let alice = world.tcp_client("alice");
    alice.allocate_tcp(world, minutes(10));
    alice
}

#[test]
fn a_client_over_tcp_or_tls_is_granted_a_tcp_allocation() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = world();
        let alice = world.client_over(transport, "alice");
        let answer = alice.ask(&mut world, Request::allocate_tcp().lifetime(minutes(10)));
        let relayed = answer.get().map(|XorRelayedAddress(relayed)| relayed);
        assert_eq!(relayed, Some(alice.relayed(&world)), "{answer:?}");
        assert_eq!(answer.get(), Some(Lifetime(600)));
        let mapped = alice.tuple(&world).client;
        assert_eq!(answer.get(), Some(XorMappedAddress(mapped)));
        assert_eq!(answer.get::<ReservationToken>(), None);
        alice.delete(&mut world);
        assert!(world.is_idle());
    }
}

#[test]
fn no_other_client_is_and_over_udp_and_dtls_the_request_is_bad() {
    for transport in [Transport::Udp, Transport::Dtls] {
        let mut world = world();
        let alice = world.client_over(transport, "alice");
        alice.hears_error(&mut world, 400, Request::allocate_tcp());
        assert_eq!(world.refusal(), Reject::NotAStream);
        assert!(world.is_idle());
    }
}

#[test]
fn where_tcp_is_not_relayed_it_is_forbidden_and_udp_is_not() {
    let mut world = World::new();
    let alice = world.tcp_client("alice");
    alice.hears_error(&mut world, 403, Request::allocate_tcp());
    assert_eq!(world.refusal(), Reject::TcpForbidden);
    alice.allocate(&mut world, minutes(10));
}

#[test]
fn attributes_of_datagrams_and_of_ports_in_pairs_have_no_place_in_it() {
    let mut world = world();
    let alice = world.tcp_client("alice");
    let token = ReservationToken([7; 8]);
    let even = EvenPort {
        reserve_next: false,
    };
    for request in [
        Request::allocate_tcp().dont_fragment(),
        Request::allocate_tcp().put(even),
        Request::allocate_tcp().reserve_next(),
        Request::allocate_tcp().reserved(token),
    ] {
        alice.hears_error(&mut world, 400, request);
        let refusal = world.refusal();
        assert!(matches!(refusal, Reject::NotForTcp(_)), "{refusal:?}");
    }
    alice.hears_error(&mut world, 405, Request::allocate_tcp().ticket(b""));
    assert_eq!(world.refusal(), Reject::TcpCannotMove);
    let other = Request::new(Method::Allocate).put(RequestedTransport(33));
    alice.hears_error(&mut world, 442, other);
    assert!(world.is_idle());
}

#[test]
fn a_port_is_one_allocations_whether_for_udp_or_tcp() {
    let mut world = World::sharded(1, |config| {
        config.rules_mut().tcp = true;
        config.ports = relay::PortRange::new(50_000, 50_001).unwrap();
    });
    let (alice, bob, carol) = (
        world.tcp_client("alice"),
        world.client("bob"),
        world.tcp_client("carol"),
    );
    alice.allocate_tcp(&mut world, minutes(10));
    bob.allocate(&mut world, minutes(10));
    assert_ne!(alice.relayed(&world), bob.relayed(&world));
    carol.hears_error(&mut world, 508, Request::allocate_tcp());
    alice.delete(&mut world);
    carol.allocate_tcp(&mut world, minutes(10));
}

#[test]
fn it_counts_in_the_quota_of_its_user() {
    let mut world = sharded(1, |rules| rules.limits.per_user = Some(2));
    let [one, two, three] = [(); 3].map(|()| world.tcp_client("alice"));
    one.allocate_tcp(&mut world, minutes(10));
    two.allocate(&mut world, minutes(10));
    three.hears_error(&mut world, 486, Request::allocate_tcp());
}

#[test]
fn it_has_no_channels_and_passes_no_indications() {
    let mut world = world();
    let (alice, peer) = (alice(&mut world), world.peer());
    alice.permit(&mut world, peer);
    world.reports();
    let bind = Request::channel_bind(0x4000, peer);
    alice.hears_error(&mut world, 403, bind);
    assert_eq!(world.refusal(), Reject::ChannelOfTcp);
    let sent = alice.send(&mut world, peer, b"hi");
    assert_lost(sent, DropReason::TcpAllocation);
}

#[test]
fn datagrams_to_its_port_reach_nobody() {
    let mut world = world();
    let (alice, bob) = (alice(&mut world), world.client("bob"));
    bob.allocate(&mut world, minutes(10));
    let relayed = alice.relayed(&world);
    let own = bob.relayed(&world);
    bob.permit(&mut world, relayed);
    alice.permit(&mut world, own);
    let sent = bob.send(&mut world, relayed, b"hi");
    assert_lost(sent, DropReason::NoRelay);
}

#[test]
fn an_allocation_for_udp_connects_to_nobody() {
    let mut world = world();
    let (alice, peer) = (world.tcp_client("alice"), world.peer());
    alice.hears_error(&mut world, 437, Request::connect(peer));
    alice.allocate(&mut world, minutes(10));
    world.reports();
    alice.hears_error(&mut world, 437, Request::connect(peer));
    assert_eq!(world.refusal(), Reject::NoTcpAllocation);
}

#[test]
fn peers_know_it_by_its_external_address_and_it_connects_from_the_local_one() {
    let mut world = sharded(1, |rules| rules.relays[0].external = EXTERNAL);
    let (alice, peer) = (alice(&mut world), world.peer());
    let relayed = alice.relayed(&world);
    assert_eq!(relayed.ip(), EXTERNAL);
    world.peers_hesitate();
    let asked = alice.tell(&mut world, Request::connect(peer));
    assert_eq!(asked, sim::Outcome::Silent);
    let (from, to) = world.answer_connect(Ok(())).unwrap();
    assert_eq!(from, std::net::SocketAddr::new(sim::LOCAL, relayed.port()));
    assert_eq!(to, peer.into());
}

#[test]
fn both_families_of_a_dual_allocation_listen_and_connect() {
    let mut world = world();
    let alice = world.tcp_client("alice");
    alice.succeeds(&mut world, Request::allocate_tcp().dual());
    let (v4, v6) = (world.peer(), world.peer_v6());
    for peer in [v4, v6] {
        let connection = alice.connect(&mut world, peer);
        alice.carry(&mut world, 0, connection);
    }
    assert_eq!(world.peer_sockets(), 2);
    let only_v6 = Request::refresh(minutes(0)).family(relay::AddressFamily::V6);
    alice.succeeds(&mut world, only_v6);
    assert_eq!(world.peer_sockets(), 1);
    alice.hears_error(&mut world, 443, Request::connect(v6));
}

#[test]
fn ids_of_connections_are_not_given_in_order() {
    let mut world = world();
    let alice = alice(&mut world);
    let ids: Vec<ConnectionId> = (0..8)
        .map(|_| {
            let peer = world.peer();
            alice.connect(&mut world, peer)
        })
        .collect();
    assert!(!ids.is_sorted() && !ids.iter().rev().is_sorted(), "{ids:?}");
}
