//! A server that drains: it grants nothing new and serves what it has granted to the end.

use std::net::SocketAddr;

use relay::{DropReason, Redirect, Reject, Target, Transport, When};
use sim::Outcome::Lost;
use sim::{Request, World, minutes};

use crate::mobility;

#[test]
fn a_draining_server_grants_nothing_new_on_any_shard() {
    let mut world = World::sharded(2, |_| {});
    world.drain();
    for shard in [0, 1] {
        let alice = world.client_on(shard, "alice");
        let answer = alice.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), Some(508));
        assert!(answer.is_signed());
        assert_eq!(world.refusal(), Reject::Draining);
    }
    // Strangers are answered as before.
    let stranger = world.client("alice");
    assert!(stranger.ask(&mut world, Request::binding()).is_success());
    let answer = stranger.ask(&mut world, Request::allocate().unsigned());
    assert_eq!(answer.code(), Some(401));
}

#[test]
fn a_server_that_no_longer_drains_grants_again_and_has_lost_nothing() {
    let mut world = World::sharded(2, |_| {});
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    world.drain();
    let late = world.client_on(1, "bob");
    let refused = late.ask(&mut world, Request::allocate());
    assert_eq!(refused.code(), Some(508));
    world.undrain();
    assert!(!world.is_drained());
    late.allocate(&mut world, minutes(10));
    let heard = peer.hears(relayed, b"hi");
    assert_eq!(alice.send(&mut world, peer, b"hi"), heard);
    for client in [alice, late] {
        client.delete(&mut world);
    }
    assert!(!world.is_drained(), "an empty server that does not drain");
}

#[test]
fn what_was_granted_is_served_to_its_end() {
    let mut world = World::new();
    let (alice, peer, late) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    world.drain();
    assert!(!world.is_drained());
    let heard = peer.hears(relayed, b"hi");
    assert_eq!(alice.send(&mut world, peer, b"hi"), heard);
    alice.refresh(&mut world, minutes(10));
    alice.bind(&mut world, late);
    world.advance(minutes(10));
    assert!(world.is_drained());
    let gone = Lost(DropReason::NoChannel);
    assert_eq!(alice.send(&mut world, peer, b"hi"), gone);
    // It does not come back.
    let answer = alice.ask(&mut world, Request::allocate());
    assert_ne!(answer.code(), None);
}

#[test]
fn a_client_of_a_draining_server_may_still_move_and_is_waited_for_on_the_way() {
    let mut world = World::sharded(2, |_| {});
    let home = world.client_on(0, "alice");
    let ticket = mobility::allocate(home, &mut world);
    world.drain();
    let away = world.roam(home, 1, Transport::Udp);
    world.hold_mail();
    away.tell(&mut world, mobility::shown(&ticket));
    while world.deliver_one() {
        assert!(!world.is_drained());
    }
    world.release_mail();
    assert!(away.inbox(&mut world)[0].is_success());
    away.delete(&mut world);
    assert!(world.is_drained());
}

#[test]
fn a_server_without_allocations_is_drained_at_once_and_not_before() {
    let mut world = World::new();
    assert!(!world.is_drained());
    world.drain();
    assert!(world.is_drained());
}

#[test]
fn an_allocation_that_is_being_opened_is_waited_for() {
    let mut world = World::new();
    let alice = world.client("alice");
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    world.drain();
    assert!(!world.is_drained());
    world.open_sockets();
    assert!(alice.inbox(&mut world)[0].is_success());
    alice.delete(&mut world);
    assert!(world.is_drained());
}

#[test]
fn a_reserved_port_is_no_longer_available() {
    let mut world = World::new();
    let (first, second) = (world.client("alice"), world.client("alice"));
    let reserved = first.ask(&mut world, Request::allocate().reserve_next());
    world.drain();
    let request = Request::allocate().reserved(reserved.get().unwrap());
    assert_eq!(second.ask(&mut world, request).code(), Some(508));
}

#[test]
fn a_rule_sends_clients_elsewhere_while_the_server_drains_and_not_before() {
    let other: SocketAddr = "203.0.113.9:3478".parse().unwrap();
    let mut world = World::with(|config| {
        config.rules_mut().redirects = vec![Redirect {
            to: vec![Target::from(other)],
            when: When::Draining,
            realm: None,
            domain: None,
        }];
    });
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    alice.allocate(&mut world, minutes(10));
    world.drain();
    let answer = bob.ask(&mut world, Request::allocate().unsigned());
    assert_eq!(answer.code(), Some(300));
    alice.refresh(&mut world, minutes(10));
}
