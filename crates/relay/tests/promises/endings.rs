//! How allocations end, and that they leave nothing behind.

use relay::{EndCause, OpenError, PortRange, Report};
use sim::{Client, Outcome, Request, World, minutes, seconds};

/// The client, cause and age in seconds of each end since the last call.
fn endings(world: &mut World) -> Vec<(relay::ClientTuple, EndCause, u64)> {
    let reports = world.reports().into_iter();
    reports
        .filter_map(|report| match report {
            Report::Ended {
                client, cause, age, ..
            } => Some((client, cause, age.as_secs())),
            Report::Opened { .. }
            | Report::Moved { .. }
            | Report::Partner { .. }
            | Report::Refused { .. }
            | Report::Banned(_)
            | Report::Denied { .. } => None,
        })
        .collect()
}

/// An allocation with everything that it can have.
fn live(world: &mut World, client: Client) {
    let (one, two) = (world.peer(), world.peer());
    client.allocate(world, minutes(10));
    client.permit(world, one);
    client.bind(world, one);
    client.bind(world, two);
    client.send(world, two, b"hi");
}

#[test]
fn each_ending_is_reported_once_with_its_cause_and_age() {
    let mut world = World::new();
    let clients: Vec<Client> = (0..4).map(|_| world.client("alice")).collect();
    let [deleted, left, expired, stopped] = clients[..] else {
        unreachable!()
    };
    for client in [deleted, left, expired] {
        live(&mut world, client);
    }
    world.advance(seconds(7));
    deleted.delete(&mut world);
    world.advance(seconds(1));
    left.disconnect(&mut world);
    world.advance(minutes(10));
    live(&mut world, stopped);
    world.advance(seconds(9));
    world.shut_down();
    assert!(world.is_idle());
    let told = endings(&mut world);
    let tuple = |client: Client| client.tuple(&world);
    assert_eq!(
        told,
        [
            (tuple(deleted), EndCause::Deleted, 7),
            (tuple(left), EndCause::Disconnected, 8),
            (tuple(expired), EndCause::Expired, 600),
            (tuple(stopped), EndCause::Shutdown, 9),
        ]
    );
    let counters = world.counters();
    assert_eq!((counters.opened(), counters.ended()), (4, 4));
}

#[test]
fn a_server_is_idle_when_all_is_over_and_its_effects_are_performed() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    assert!(world.server(0).is_idle());
    world.hold_sockets();
    alice.tell(&mut world, Request::allocate());
    assert!(!world.server(0).is_idle());
    world.open_sockets();
    assert!(!world.server(0).is_idle());
    alice.bind(&mut world, peer);
    world.stall_shard(0);
    alice.delete(&mut world);
    assert!(!world.server(0).is_idle());
    world.wake_shard(0);
    assert!(world.server(0).is_idle());
}

#[test]
fn a_server_knows_who_has_an_allocation() {
    let (mut world, alice) = World::of_alice();
    let tuple = alice.tuple(&world);
    assert!(!world.server(0).has_allocation(tuple));
    alice.allocate(&mut world, minutes(10));
    assert!(world.server(0).has_allocation(tuple));
    alice.delete(&mut world);
    assert!(!world.server(0).has_allocation(tuple));
}

#[test]
fn a_shutdown_ends_every_allocation_of_every_shard() {
    let mut world = World::sharded(3, |_| {});
    for shard in [0, 1, 2, 0, 1, 2] {
        let client = world.client_on(shard, "alice");
        live(&mut world, client);
    }
    world.shut_down();
    assert!(world.is_idle());
    let told = endings(&mut world);
    assert_eq!(told.len(), 6);
    let shutdown = |(_, cause, _): &_| *cause == EndCause::Shutdown;
    assert!(told.iter().all(shutdown));
}

#[test]
fn a_stranger_that_disconnects_disturbs_nobody() {
    let mut world = World::new();
    let (alice, stranger) = (world.client("alice"), world.tcp_client("bob"));
    live(&mut world, alice);
    stranger.disconnect(&mut world);
    assert_eq!(world.allocations(), 1);
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut world = World::ruled(|rules| rules.failures_per_minute = None);
    for _ in 0..1000 {
        let stranger = world.client("mallory");
        stranger.ask(&mut world, Request::binding());
        stranger.ask(&mut world, Request::allocate().unsigned());
        stranger.ask(&mut world, Request::allocate());
        stranger.packet(&mut world, &[0x40, 0, 0, 1, 7]);
        stranger.packet(&mut world, b"GET / HTTP/1.1");
    }
    assert!(world.is_idle());
}

#[test]
fn a_client_that_allocates_and_deletes_in_a_loop_leaves_nothing_behind() {
    let mut world = World::with(|config| {
        config.ports = PortRange::new(50_000, 50_003).unwrap();
        config.rules_mut().limits.per_user = Some(1);
    });
    let alice = world.client("alice");
    for turn in 0..500 {
        live(&mut world, alice);
        world.advance(seconds(turn % 3));
        alice.refresh(&mut world, minutes(20));
        alice.delete(&mut world);
        assert!(world.is_idle(), "turn {turn}");
    }
}

#[test]
fn allocations_that_end_in_any_way_leave_nothing_behind() {
    let mut world = World::with(|config| {
        config.ports = PortRange::new(50_000, 50_003).unwrap();
        config.rules_mut().limits.per_user = Some(4);
    });
    for turn in 0..200 {
        let clients: Vec<Client> = (0..4).map(|_| world.client("alice")).collect();
        for client in &clients {
            live(&mut world, *client);
        }
        let full = world.client("bob").ask(&mut world, Request::allocate());
        assert_eq!(full.code(), Some(508));
        clients[0].delete(&mut world);
        clients[1].disconnect(&mut world);
        world.refuse_sockets(OpenError::Exhausted);
        let refused = world.client("bob").ask(&mut world, Request::allocate());
        assert_eq!(refused.code(), Some(508));
        world.open_sockets();
        world.advance(minutes(10));
        assert!(world.is_idle(), "turn {turn}");
    }
}

#[test]
fn a_thousand_allocations_end_in_their_order_and_at_their_time() {
    let mut world = World::new();
    let clients: Vec<Client> = (0..1000).map(|_| world.client("alice")).collect();
    for (index, client) in (0..).zip(&clients) {
        client.allocate(&mut world, seconds(600 + index));
    }
    for left in (0..1000).rev() {
        assert_eq!(world.allocations(), left + 1);
        world.advance(if left == 999 { minutes(10) } else { seconds(1) });
        assert_eq!(world.allocations(), left);
    }
    let told = endings(&mut world);
    let tuples: Vec<_> = told.iter().map(|(tuple, ..)| *tuple).collect();
    let expected: Vec<_> = clients.iter().map(|client| client.tuple(&world)).collect();
    assert_eq!(tuples, expected);
    assert!(world.is_idle());
}

#[test]
fn what_a_client_had_is_not_the_next_clients() {
    let mut world = World::with(|config| {
        config.ports = PortRange::new(50_000, 50_000).unwrap();
    });
    let (alice, bob, peer) = (world.client("alice"), world.client("bob"), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    alice.delete(&mut world);
    assert_eq!(bob.allocate(&mut world, minutes(10)), relayed);
    assert!(matches!(
        peer.send(&mut world, relayed, b"for alice"),
        Outcome::Lost(relay::DropReason::NoPeerPermission)
    ));
}
