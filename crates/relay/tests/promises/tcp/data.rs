//! How much data passes, and how fast. RFC 6062 §5.4, RFC 8656 §5.

use std::num::NonZeroU64;
use std::sync::Arc;

use relay::{Bandwidth, Capped, Caps, Report, Rules, Way};
use sim::{Client, World, seconds};

use super::{alice, rules, sharded, world};

const CHUNK: usize = 16 * 1024;

fn limited(allocation: Option<u64>, user: Option<u64>) -> impl FnOnce(&mut Rules) {
    move |rules| {
        rules.limits.bandwidth = Bandwidth {
            allocation: allocation.and_then(NonZeroU64::new),
            user: user.and_then(NonZeroU64::new),
        };
    }
}

/// How many bytes pass at most within so many seconds, if as many come as may pass.
fn passed(world: &mut World, connection: relay::ConnectionId, way: Way, seconds: u64) -> usize {
    let end = world.now().mono + sim::seconds(seconds);
    let mut bytes = 0;
    loop {
        match world.pass(connection, way, CHUNK) {
            Ok(()) => bytes += CHUNK,
            Err(next) if next >= end => {
                let left = end - world.now().mono;
                world.advance(left);
                return bytes;
            }
            Err(next) => {
                let wait = next - world.now().mono;
                world.advance(wait);
            }
        }
    }
}

fn carried(world: &mut World, alice: Client) -> relay::ConnectionId {
    let peer = world.peer();
    let connection = alice.connect(world, peer);
    alice.carry(world, 0, connection);
    connection
}

#[test]
fn a_stream_is_read_no_faster_than_allowed_and_loses_nothing() {
    let mut world = sharded(1, limited(Some(1_000_000), None));
    let alice = alice(&mut world);
    let connection = carried(&mut world, alice);
    passed(&mut world, connection, Way::Out, 2);
    let bytes = passed(&mut world, connection, Way::Out, 10);
    assert!((9_900_000..=10_100_000).contains(&bytes), "{bytes}");
    // The other way has a limit of its own, of which a second's worth has been earned.
    let bytes = passed(&mut world, connection, Way::In, 10);
    assert!((10_900_000..=11_100_000).contains(&bytes), "{bytes}");
}

#[test]
fn all_connections_of_an_allocation_and_all_allocations_of_a_user_share_the_limits() {
    let mut world = sharded(2, limited(None, Some(1_000_000)));
    let alice = alice(&mut world);
    let one = carried(&mut world, alice);
    let peer = world.peer();
    let two = alice.connect(&mut world, peer);
    alice.carry(&mut world, 1, two);
    passed(&mut world, one, Way::In, 2);
    let mut bytes = 0;
    for _ in 0..20 {
        bytes += passed(&mut world, one, Way::In, 1);
        bytes += passed(&mut world, two, Way::In, 1);
    }
    assert!((39_000_000..=41_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn other_limits_hold_for_connections_that_are_there() {
    let mut world = world();
    let alice = alice(&mut world);
    let connection = carried(&mut world, alice);
    for _ in 0..1000 {
        world.pass(connection, Way::Out, CHUNK).unwrap();
    }
    let mut slower = rules();
    limited(Some(1_000_000), None)(&mut slower);
    world.change_rules(slower);
    passed(&mut world, connection, Way::Out, 2);
    let bytes = passed(&mut world, connection, Way::Out, 10);
    assert!((9_900_000..=10_100_000).contains(&bytes), "{bytes}");
    world.change_rules(rules());
    for _ in 0..1000 {
        world.pass(connection, Way::Out, CHUNK).unwrap();
    }
}

#[test]
fn connections_of_a_user_over_a_cap_are_read_more_slowly_until_it_is_lifted() {
    let mut world = world();
    let alice = alice(&mut world);
    let connection = carried(&mut world, alice);
    let mut caps = Caps::default();
    let slow = Capped {
        is_refused: false,
        rate: NonZeroU64::new(1_000_000),
    };
    caps.add(&Arc::from(sim::REALM), None, slow);
    world.cap(caps);
    passed(&mut world, connection, Way::Out, 2);
    let bytes = passed(&mut world, connection, Way::Out, 10);
    assert!((9_900_000..=10_100_000).contains(&bytes), "{bytes}");
    world.cap(Caps::default());
    for _ in 0..1000 {
        world.pass(connection, Way::Out, CHUNK).unwrap();
    }
}

#[test]
fn what_has_passed_is_reported_when_the_allocation_ends() {
    let mut world = world();
    let alice = alice(&mut world);
    let connection = carried(&mut world, alice);
    for _ in 0..3 {
        world.pass(connection, Way::Out, 1000).unwrap();
    }
    world.pass(connection, Way::In, 50).unwrap();
    world.advance(seconds(1));
    world.reports();
    alice.disconnect(&mut world);
    let reports = world.reports();
    let [Report::Ended { sent, received, .. }] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((sent.packets, sent.bytes), (3, 3000));
    assert_eq!((received.packets, received.bytes), (1, 50));
    assert_eq!(world.counters().sent.bytes, 3000);
}
