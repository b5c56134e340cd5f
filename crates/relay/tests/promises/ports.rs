//! Two-phase open: no success before the socket is bound; ports of other programs; none left.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use relay::{DropReason, OpenError, PortRange, Reject, Report};
use sim::Outcome::{Lost, Silent};
use sim::{LOCAL, Request, World, minutes, seconds};
use wire::attributes::{EvenPort, XorRelayedAddress};

/// A server with ports from 50,000.
fn world_with_ports(count: u16) -> World {
    World::with(|config| {
        config.ports = PortRange::new(50_000, 50_000 + count - 1).unwrap();
        config.rules_mut().limits.per_user = Some(u32::MAX);
    })
}

fn port(number: u16) -> SocketAddr {
    SocketAddr::new(LOCAL, number)
}

#[test]
fn no_success_before_the_socket_is_bound() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    world.hold_sockets();
    assert_eq!(alice.tell(&mut world, Request::allocate()), Silent);
    // Until then the client has no allocation to use.
    let early = alice.ask(&mut world, Request::create_permission([peer]));
    assert_eq!(early.code(), Some(437));
    let early = alice.ask(&mut world, Request::refresh(seconds(0)));
    assert_eq!(early.code(), Some(437));
    assert!(alice.inbox(&mut world).is_empty());
    world.open_sockets();
    let answers = alice.inbox(&mut world);
    assert!(matches!(&answers[..], [answer] if answer.is_success() && answer.is_signed()));
}

#[test]
fn a_retransmission_while_the_socket_is_opened_is_not_answered() {
    let mut world = World::new();
    let alice = world.client("alice");
    let packet = alice.write(&mut world, &Request::allocate());
    world.hold_sockets();
    assert_eq!(alice.packet(&mut world, &packet), Silent);
    for _ in 0..3 {
        world.advance(seconds(1));
        assert_eq!(
            alice.packet(&mut world, &packet),
            Lost(DropReason::AllocationOpening)
        );
    }
    let other = alice.ask(&mut world, Request::allocate());
    assert_eq!(other.code(), Some(437));
    world.open_sockets();
    let answers = alice.inbox(&mut world);
    assert_eq!(answers.len(), 1);
    assert_eq!(alice.packet(&mut world, &packet).answer(), answers[0]);
}

#[test]
fn a_client_that_leaves_while_its_socket_is_opened_leaves_nothing() {
    let mut world = World::new();
    let alice = world.tcp_client("alice");
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    alice.disconnect(&mut world);
    world.open_sockets();
    assert!(world.is_idle());
    assert!(alice.inbox(&mut world).is_empty());
    // An allocation that was never opened is not reported.
    assert!(world.reports().is_empty());
}

#[test]
fn a_shutdown_while_a_socket_is_opened_leaves_nothing() {
    let mut world = World::new();
    let alice = world.client("alice");
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    world.shut_down();
    world.open_sockets();
    assert!(world.is_idle() && world.reports().is_empty());
}

#[test]
fn a_port_of_another_program_is_skipped() {
    let mut world = world_with_ports(8);
    for taken in 50_000..50_007 {
        world.occupy(port(taken));
    }
    let alice = world.client("alice");
    assert_eq!(alice.allocate(&mut world, minutes(10)), port(50_007));
}

#[test]
fn a_port_of_another_program_is_left_alone_for_a_minute() {
    let mut world = world_with_ports(1);
    world.occupy(port(50_000));
    let alice = world.client("alice");
    let refused = |world: &mut World| alice.ask(world, Request::allocate()).code();
    assert_eq!(refused(&mut world), Some(508));
    world.vacate(port(50_000));
    world.advance(seconds(59));
    assert_eq!(refused(&mut world), Some(508));
    world.advance(seconds(1));
    assert_eq!(alice.allocate(&mut world, minutes(10)), port(50_000));
}

#[test]
fn a_port_found_taken_by_one_shard_is_not_tried_by_the_others() {
    let mut world = World::sharded(2, |config| {
        config.ports = PortRange::new(50_000, 50_000).unwrap();
    });
    world.occupy(port(50_000));
    let (alice, bob) = (world.client_on(0, "alice"), world.client_on(1, "bob"));
    assert_eq!(alice.ask(&mut world, Request::allocate()).code(), Some(508));
    world.vacate(port(50_000));
    assert_eq!(bob.ask(&mut world, Request::allocate()).code(), Some(508));
    world.advance(seconds(60));
    bob.allocate(&mut world, minutes(10));
}

/// Otherwise another shard would find the port in use and leave it alone as another program's.
#[test]
fn a_port_is_free_when_its_socket_is_closed_and_not_before() {
    let mut world = World::sharded(2, |config| {
        config.ports = PortRange::new(50_000, 50_000).unwrap();
    });
    let (alice, bob) = (world.client_on(0, "alice"), world.client_on(1, "bob"));
    alice.allocate(&mut world, minutes(10));
    bob.nonce(&mut world);
    world.stall_shard(0);
    alice.delete(&mut world);
    assert_eq!(bob.ask(&mut world, Request::allocate()).code(), Some(508));
    world.wake_shard(0);
    bob.allocate(&mut world, minutes(10));
}

#[test]
fn when_all_ports_are_taken_by_others_nothing_leaks() {
    let mut world = world_with_ports(70);
    for taken in 50_000..50_070 {
        world.occupy(port(taken));
    }
    let alice = world.client("alice");
    for _ in 0..3 {
        let answer = alice.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), Some(508));
        assert!(answer.is_signed() && world.is_idle());
    }
    for free in 50_000..50_070 {
        world.vacate(port(free));
    }
    world.advance(seconds(60));
    for _ in 50_000..50_070 {
        world.client("alice").allocate(&mut world, minutes(10));
    }
}

/// Each try costs the shard a system call while other clients wait.
#[test]
fn a_request_gives_up_after_65_ports_and_the_next_goes_on_from_there() {
    let mut world = world_with_ports(70);
    let ports = (50_000..50_070).map(port);
    ports.clone().for_each(|port| world.occupy(port));
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(508));
    ports.for_each(|port| world.vacate(port));
    // Five ports were not tried, so they are not known to be another program's.
    for _ in 0..5 {
        world.client("alice").allocate(&mut world, minutes(10));
    }
    let answer = alice.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(508));
}

#[test]
fn all_ports_are_used_before_any_is_refused() {
    let mut world = world_with_ports(100);
    let mut relayed = BTreeSet::new();
    for _ in 0..100 {
        relayed.insert(world.client("alice").allocate(&mut world, minutes(10)));
    }
    assert_eq!(relayed.len(), 100);
    let late = world.client("alice");
    let answer = late.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(508));
    world.advance(minutes(10));
    assert!(world.is_idle());
    late.allocate(&mut world, minutes(10));
}

#[test]
fn ports_are_not_handed_out_in_order() {
    let mut world = World::new();
    let ports: Vec<u16> = (0..20)
        .map(|_| {
            world
                .client("alice")
                .allocate(&mut world, minutes(10))
                .port()
        })
        .collect();
    let steps = ports.windows(2).filter(|pair| pair[1] == pair[0] + 1);
    assert!(steps.count() < 3, "{ports:?}");
}

#[test]
fn a_host_that_gives_no_socket_is_insufficient_capacity_and_reported() {
    let mut world = World::new();
    let alice = world.client("alice");
    for why in [OpenError::Exhausted, OpenError::NotLocal, OpenError::System] {
        world.refuse_sockets(why);
        let answer = alice.ask(&mut world, Request::allocate().fingerprint());
        assert_eq!(answer.code(), Some(508));
        assert!(answer.is_signed() && world.is_idle());
        let reports = world.reports();
        assert!(
            matches!(
                &reports[..],
                [Report::Refused { reject: Reject::CannotOpen(reason), .. }] if *reason == why
            ),
            "{reports:?}"
        );
    }
    world.open_sockets();
    alice.allocate(&mut world, minutes(10));
}

#[test]
fn who_asks_for_an_even_port_gets_one_or_none() {
    let mut world = world_with_ports(4);
    for name in ["alice", "bob"] {
        let client = world.client(name);
        let asked = Request::allocate().put(EvenPort {
            reserve_next: false,
        });
        let answer = client.ask(&mut world, asked);
        let XorRelayedAddress(relayed) = answer.get().unwrap();
        assert_eq!(relayed.port() % 2, 0);
    }
    // Only odd ports are left, which do not fit the third.
    let carol = world.client("carol");
    let asked = Request::allocate().put(EvenPort {
        reserve_next: false,
    });
    assert_eq!(carol.ask(&mut world, asked).code(), Some(508));
    carol.allocate(&mut world, minutes(10));
}

#[test]
fn a_port_that_another_program_gives_back_is_found_again_although_the_shard_failed() {
    let mut world = world_with_ports(1);
    let alice = world.client("alice");
    world.occupy(port(50_000));
    let refused = alice.ask(&mut world, Request::allocate());
    assert_eq!(refused.code(), Some(508));
    world.vacate(port(50_000));
    world.restart_shard(0);
    world.advance(minutes(2));
    alice.allocate(&mut world, minutes(10));
}
