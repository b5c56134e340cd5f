//! Allocate. RFC 8656 §7.

use std::net::SocketAddr;

use relay::DropReason::{NoAllocation, NoPermission};
use relay::{AddressFamily, ClientTuple, Reject, Report, Transport};
use sim::{
    Answer, LISTENER, LOCAL, LOCAL_V6, Request, World, assert_lost, minutes, password, seconds,
};
use wire::attributes::{
    Lifetime, RequestedAddressFamily, RequestedTransport, XorMappedAddress, XorRelayedAddress,
};
use wire::{Attribute, Method, TransactionId};

const ONCE: TransactionId = TransactionId::new(*b"the same one");

pub(crate) fn relayed(answer: &Answer) -> SocketAddr {
    answer.get::<XorRelayedAddress>().unwrap().0
}

#[test]
fn a_success_says_where_for_how_long_and_who_the_client_is() {
    let (mut world, alice) = World::of_alice();
    let answer = alice.ask(&mut world, Request::allocate());
    assert!(answer.is_success() && answer.is_signed());
    let relayed = relayed(&answer);
    assert_eq!(relayed.ip(), LOCAL);
    assert!((49_152..=65_535).contains(&relayed.port()));
    assert_eq!(answer.get(), Some(Lifetime(600)));
    let mapped = alice.tuple(&world).client;
    assert_eq!(answer.get(), Some(XorMappedAddress(mapped)));
}

#[test]
fn an_opened_allocation_is_reported() {
    let (mut world, alice) = World::of_alice();
    let relay_address = alice.allocate(&mut world, minutes(20));
    let reports = world.reports();
    let [
        Report::Opened {
            client,
            user,
            relayed,
            lifetime,
            ..
        },
    ] = &reports[..]
    else {
        panic!("{reports:?}");
    };
    assert_eq!(*client, alice.tuple(&world));
    assert_eq!(
        (&**user, &relayed[..], *lifetime),
        ("alice", &[relay_address][..], 1200)
    );
}

#[test]
fn the_family_is_ipv4_unless_asked_otherwise_whatever_the_client_speaks() {
    let mut world = World::new();
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: "[2620:fe::77]:1234".parse().unwrap(),
        server: LISTENER,
    };
    let alice = world.client_at(0, tuple, "alice", &password("alice"));
    let answer = alice.ask(&mut world, Request::allocate());
    assert_eq!(relayed(&answer).ip(), LOCAL);
    assert_eq!(answer.get(), Some(XorMappedAddress(tuple.client)));

    let bob = world.client("bob");
    let v6 = Request::allocate().family(AddressFamily::V6);
    let answer = bob.ask(&mut world, v6);
    assert_eq!(relayed(&answer).ip(), LOCAL_V6);
}

#[test]
fn a_family_that_the_server_does_not_have_is_refused() {
    let mut world = World::with(|config| config.rules_mut().relays.truncate(1));
    let alice = world.client("alice");
    let v6 = Request::allocate().family(AddressFamily::V6);
    assert_eq!(alice.ask(&mut world, v6).code(), Some(440));
    let v4 = Request::allocate().family(AddressFamily::V4);
    assert!(alice.ask(&mut world, v4).is_success());
}

#[test]
fn a_family_that_nobody_knows_is_refused() {
    let (mut world, alice) = World::of_alice();
    for number in [0, 3, 255] {
        let request = Request::allocate().put(RequestedAddressFamily(Err(number)));
        assert_eq!(alice.ask(&mut world, request).code(), Some(440));
    }
}

/// RFC 8656 §21.4.
#[test]
fn a_client_behind_a_tunnel_gets_no_allocation() {
    let mut world = World::new();
    let mut allocate = |client: &str| {
        let tuple = ClientTuple {
            transport: Transport::Udp,
            client: client.parse().unwrap(),
            server: LISTENER,
        };
        let client = world.client_at(0, tuple, "alice", &password("alice"));
        let answer = client.ask(&mut world, Request::allocate());
        assert!(answer.is_signed());
        answer.code()
    };
    // 6to4, Teredo, ISATAP; and a neighbour of the first.
    assert_eq!(allocate("[2002:909:909::1]:4000"), Some(403));
    assert_eq!(allocate("[2001:0:4136:e378::1]:4000"), Some(403));
    assert_eq!(allocate("[2620:fe::5efe:909:909]:4000"), Some(403));
    assert_eq!(allocate("[2003:909:909::1]:4000"), None);
    assert_eq!(world.allocations(), 1);
}

#[test]
fn a_missing_or_unreadable_transport_is_a_bad_request() {
    let (mut world, alice) = World::of_alice();
    let missing = Request::new(Method::Allocate);
    assert_eq!(alice.ask(&mut world, missing).code(), Some(400));
    let short = Request::new(Method::Allocate).put_raw(RequestedTransport::TYPE, &[17]);
    assert_eq!(alice.ask(&mut world, short).code(), Some(400));
    assert!(world.is_idle());
}

#[test]
fn a_transport_other_than_udp_and_tcp_is_refused() {
    let (mut world, alice) = World::of_alice();
    for protocol in [0, 33, 255] {
        let request = Request::new(Method::Allocate).put(RequestedTransport(protocol));
        assert_eq!(alice.ask(&mut world, request).code(), Some(442));
    }
}

#[test]
fn an_unreadable_attribute_is_a_bad_request() {
    let (mut world, alice) = World::of_alice();
    for (kind, value) in [
        (Lifetime::TYPE, &[0; 3][..]),
        (Lifetime::TYPE, &[0; 8]),
        (RequestedAddressFamily::TYPE, &[1]),
    ] {
        let request = Request::allocate().put_raw(kind, value);
        assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    }
    assert!(world.is_idle());
}

#[test]
fn a_lifetime_is_held_between_the_default_and_the_maximum() {
    for (asked, granted) in [
        (0, 600),
        (1, 600),
        (600, 600),
        (601, 601),
        (3600, 3600),
        (3601, 3600),
        (u64::from(u32::MAX), 3600),
    ] {
        let mut world = World::new();
        let alice = world.client("alice");
        let answer = alice.ask(&mut world, Request::allocate().lifetime(seconds(asked)));
        assert_eq!(answer.get(), Some(Lifetime(granted)), "asked {asked}");
    }
}

#[test]
fn the_configured_lifetimes_are_those_granted() {
    let mut world = World::ruled(|rules| {
        rules.limits.default_lifetime = seconds(30);
        rules.limits.max_lifetime = seconds(90);
    });
    for (asked, granted) in [(1, 30), (60, 60), (600, 90)] {
        let alice = world.client("alice");
        let answer = alice.ask(&mut world, Request::allocate().lifetime(seconds(asked)));
        assert_eq!(answer.get(), Some(Lifetime(granted)));
    }
    let bob = world.client("bob");
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(answer.get(), Some(Lifetime(30)));
}

#[test]
fn a_retransmission_hears_the_remembered_success() {
    let (mut world, alice) = World::of_alice();
    let request = Request::allocate().in_transaction(ONCE);
    let packet = alice.write(&mut world, &request);
    let first = alice.packet(&mut world, &packet).answer();
    world.advance(seconds(1));
    assert_eq!(alice.packet(&mut world, &packet).answer(), first);
    alice.refresh(&mut world, minutes(60));
    assert_eq!(alice.packet(&mut world, &packet).answer(), first);
    assert_eq!(world.allocations(), 1);
}

/// The client gave up the nonce, not the transaction: the transaction id decides.
#[test]
fn a_retransmission_under_a_fresh_nonce_hears_it_too() {
    let (mut world, alice) = World::of_alice();
    let request = || Request::allocate().in_transaction(ONCE);
    let first = alice.ask(&mut world, request());
    world.advance(seconds(599));
    alice.ask(&mut world, Request::allocate().unsigned());
    let again = alice.ask(&mut world, request());
    assert_eq!(relayed(&again), relayed(&first));
}

#[test]
fn a_second_allocate_is_a_mismatch() {
    let (mut world, alice) = World::of_alice();
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.hears_error(&mut world, 437, Request::allocate());
    // The 5-tuple is checked first, whatever else is wrong with the request.
    alice.hears_error(&mut world, 437, Request::new(Method::Allocate));
    let bob = Request::allocate().as_user("bob", &password("bob"));
    assert_eq!(alice.ask(&mut world, bob).code(), Some(437));
    assert_eq!(world.allocations(), 1);
    assert_eq!(alice.relayed(&world), relayed);
}

#[test]
fn another_user_does_not_hear_the_remembered_success() {
    let (mut world, alice) = World::of_alice();
    let request = || Request::allocate().in_transaction(ONCE);
    assert!(alice.ask(&mut world, request()).is_success());
    let bob = request().as_user("bob", &password("bob"));
    assert_eq!(alice.ask(&mut world, bob).code(), Some(437));
}

#[test]
fn each_5_tuple_has_an_allocation_of_its_own() {
    let (mut world, alice) = World::of_alice();
    let first = alice.allocate(&mut world, minutes(10));
    let tuple = alice.tuple(&world);
    let others = [
        ClientTuple {
            transport: Transport::Tcp,
            ..tuple
        },
        ClientTuple {
            server: "[2620:fe::5]:3478".parse().unwrap(),
            ..tuple
        },
        ClientTuple {
            client: SocketAddr::new(tuple.client.ip(), 50_001),
            ..tuple
        },
    ];
    for (count, tuple) in (2..).zip(others) {
        let other = world.client_at(0, tuple, "alice", &password("alice"));
        assert_ne!(other.allocate(&mut world, minutes(10)), first);
        assert_eq!(world.allocations(), count);
    }
}

#[test]
fn an_allocation_expires_to_the_second() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    world.advance(seconds(599));
    alice.permit(&mut world, peer);
    alice.reaches(&mut world, peer, b"hi");
    world.advance(seconds(1));
    assert!(world.is_idle());
    assert_lost(alice.send(&mut world, peer, b"hi"), NoAllocation);
    alice.hears_error(&mut world, 438, Request::refresh(minutes(10)).nonce("old"));
    alice.hears_error(&mut world, 437, Request::refresh(minutes(10)));
}

#[test]
fn no_packet_meets_an_allocation_that_is_over_even_if_the_shard_overslept() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    world.advance(minutes(5));
    alice.permit(&mut world, peer);
    world.oversleep(minutes(5));
    assert_lost(alice.send(&mut world, peer, b"hi"), NoAllocation);
    assert!(world.is_idle());
}

#[test]
fn the_time_of_an_allocation_counts_from_its_success() {
    let (mut world, alice) = World::of_alice();
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    world.advance(minutes(3));
    world.open_sockets();
    world.advance(seconds(599));
    assert_eq!(world.allocations(), 1);
    world.advance(seconds(1));
    assert_eq!(world.allocations(), 0);
}

#[test]
fn requests_beside_allocate_need_an_allocation() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    for request in [
        Request::refresh(minutes(10)),
        Request::refresh(seconds(0)),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        assert_eq!(alice.ask(&mut world, request).code(), Some(437));
    }
    let refused = world.reports();
    assert!(refused.iter().all(|report| matches!(
        report,
        Report::Refused {
            reject: Reject::NoAllocation,
            ..
        }
    )));
}

#[test]
fn requests_on_the_allocation_of_another_user_are_refused() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    for request in [
        Request::refresh(seconds(0)),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        let request = request.as_user("bob", &password("bob"));
        assert_eq!(alice.ask(&mut world, request).code(), Some(441));
    }
    assert_lost(alice.send(&mut world, peer, b"hi"), NoPermission);
    assert_eq!(world.allocations(), 1);
}
