//! Caps of data: users and realms that have used up what they may in a month.

use std::num::NonZeroU64;
use std::sync::Arc;

use relay::{Capped, Caps, DropReason, Reject};
use sim::Outcome::Lost;
use sim::{Client, Peer, REALM, Request, World, minutes, seconds};

const RATE: usize = 125_000;
const PACKET: [u8; 1000] = [7; 1000];
const REFUSED: Capped = Capped {
    is_refused: true,
    rate: None,
};

#[test]
fn a_user_over_a_cap_is_refused_allocations_and_keeps_those_that_there_are() {
    let mut world = World::new();
    let (first, second) = (world.client("alice"), world.client("alice"));
    let (bob, peer) = (world.client("bob"), world.peer());
    first.allocate(&mut world, minutes(10));
    first.permit(&mut world, peer);
    world.cap(of(Some("alice"), REFUSED));
    world.reports();
    second.hears_error(&mut world, 486, Request::allocate());
    assert_eq!(world.refusal(), Reject::DataCap);
    first.refresh(&mut world, minutes(10));
    first.reaches(&mut world, peer, b"still here");
    bob.allocate(&mut world, minutes(10));
    world.cap(Caps::default());
    second.allocate(&mut world, minutes(10));
}

#[test]
fn a_realm_over_a_cap_is_refused_allocations_for_all_its_users() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    world.cap(of(None, REFUSED));
    alice.hears_error(&mut world, 486, Request::allocate());
    bob.hears_error(&mut world, 486, Request::allocate());
}

#[test]
fn a_throttled_user_shares_the_rate_over_all_allocations_old_and_new_and_shards() {
    let mut world = World::sharded(2, |_| ());
    let peer = world.peer();
    let (old, bob) = (world.client_on(0, "alice"), world.client_on(0, "bob"));
    for client in [old, bob] {
        meet(&mut world, client, peer);
    }
    assert_eq!(sent(&mut world, old, peer), 1000);
    world.cap(of(Some("alice"), throttled(RATE)));
    let new = world.client_on(1, "alice");
    meet(&mut world, new, peer);
    world.advance(seconds(2));
    assert_eq!(sent(&mut world, old, peer), RATE / PACKET.len());
    assert_eq!(sent(&mut world, new, peer), 0);
    assert_eq!(sent(&mut world, bob, peer), 1000);
    world.cap(Caps::default());
    assert_eq!(sent(&mut world, old, peer), 1000);
}

#[test]
fn the_lowest_of_all_limits_holds() {
    let mut world = World::ruled(|rules| {
        rules.limits.bandwidth.user = NonZeroU64::new(2 * RATE as u64);
    });
    let (alice, peer) = (world.client("alice"), world.peer());
    meet(&mut world, alice, peer);
    for (own, everyone, rate) in [(9, 9, 2), (1, 9, 1), (9, 1, 1)] {
        let mut caps = of(Some("alice"), throttled(own * RATE));
        caps.add(&Arc::from(REALM), None, throttled(everyone * RATE));
        world.cap(caps);
        world.advance(seconds(5));
        assert_eq!(sent(&mut world, alice, peer), rate * RATE / PACKET.len());
    }
}

fn of(user: Option<&str>, capped: Capped) -> Caps {
    let mut caps = Caps::default();
    caps.add(&Arc::from(REALM), user.map(Arc::from).as_ref(), capped);
    caps
}

fn throttled(rate: usize) -> Capped {
    Capped {
        is_refused: false,
        rate: NonZeroU64::new(rate as u64),
    }
}

fn meet(world: &mut World, client: Client, peer: Peer) {
    client.allocate(world, minutes(10));
    client.permit(world, peer);
}

/// How many of a thousand packets pass.
fn sent(world: &mut World, client: Client, peer: Peer) -> usize {
    let all = (0..1000).map(|_| client.send(world, peer, &PACKET));
    all.filter(|it| *it != Lost(DropReason::BandwidthExceeded))
        .count()
}
