//! A server that drains: it grants nothing new and serves what it has granted to the end.

use std::net::SocketAddr;

use relay::{
    Answer, Command, DropReason, EndCause, Places, Redirect, Reject, Selection, Survey, Target,
    Transport, When,
};
use sim::Outcome::Lost;
use sim::{REALM, Request, World, minutes};

use crate::mobility;
use crate::rules::rules;

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

#[test]
fn a_listener_that_retires_grants_nothing_new_and_serves_what_it_granted() {
    let mut world = World::new();
    let (alice, peer, late) = (world.client("alice"), world.peer(), world.client("alice"));
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    let server = alice.tuple(&world).server;
    let every = SocketAddr::new([0, 0, 0, 0].into(), server.port());
    let other_port = SocketAddr::new(server.ip(), server.port() + 1);
    for (retiring, is_refused) in [
        (vec![server], true),
        (vec![every], true),
        (vec![other_port], false),
        (vec![], false),
    ] {
        let mut changed = rules(&["alice"]);
        changed.retiring = retiring;
        world.change_rules(changed);
        world.reports();
        let answer = late.ask(&mut world, Request::allocate());
        if is_refused {
            assert_eq!(answer.code(), Some(508));
            assert_eq!(world.refusal(), Reject::ListenerRetires);
        } else {
            assert!(answer.is_success());
            late.delete(&mut world);
        }
        // Strangers find out their address, and what was granted goes on.
        assert!(late.ask(&mut world, Request::binding()).is_success());
        let heard = peer.hears(relayed, b"hi");
        assert_eq!(alice.send(&mut world, peer, b"hi"), heard);
        alice.refresh(&mut world, minutes(10));
    }
}

#[test]
fn a_survey_tells_how_many_there_are_whose_where_and_how_long_they_may_last() {
    let mut world = World::sharded(2, |_| {});
    let alice = world.client_on(0, "alice");
    alice.allocate(&mut world, minutes(20));
    world.advance(minutes(5));
    for name in ["bob", "carol"] {
        let client = world.client_on(1, name);
        client.allocate(&mut world, minutes(10));
    }
    let mut all = Survey::default();
    for shard in [0, 1] {
        // Place by place, as a shard with many is asked.
        let mut next = Some(0);
        while let Some(from) = next {
            let places = Places { from, count: 1 };
            let Answer::Survey(survey, more) = world.command(shard, Command::Survey(places)) else {
                panic!("a survey");
            };
            assert!(survey.allocations <= 1);
            all.add(&survey);
            next = more;
        }
    }
    assert_eq!(all.allocations, 3);
    assert_eq!(
        all.realms.into_iter().collect::<Vec<_>>(),
        [(REALM.into(), 3)]
    );
    assert_eq!((all.oldest, all.longest), (minutes(5), minutes(15)));
    let server = alice.tuple(&world).server;
    assert_eq!(all.listeners.into_iter().collect::<Vec<_>>(), [(server, 3)]);
}

#[test]
fn what_is_left_at_the_deadline_ends_for_that_cause() {
    let mut world = World::new();
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    world.drain();
    let end = Command::End(Selection::default(), EndCause::DrainDeadline, Places::ALL);
    assert_eq!(world.command(0, end), Answer::Ended(1, None));
    assert!(world.is_drained());
    assert_eq!(world.end_causes(), [EndCause::DrainDeadline]);
}
