//! Refreshing before it is too late, for callers that ask for it.

use std::time::Duration;

use client::{AllocateOptions, Transport};
use wire::Method;

use crate::server::Answer;
use crate::world::{World, alice, peer};

fn kept_alive() -> World {
    let mut config = alice(Transport::Udp);
    config.keep_alive = true;
    World::new(config)
}

/// The requests of the client in this many seconds, and when each was sent.
fn asked_within(world: &mut World, seconds: u64) -> Vec<(u64, Method)> {
    let mut asked = Vec::new();
    while world
        .client
        .poll_timeout()
        .is_some_and(|at| at <= world.now + Duration::from_secs(seconds) - world.elapsed())
    {
        world.sleep();
        world.server.asked.clear();
        world.exchange();
        let at = world.elapsed().as_secs();
        asked.extend(world.server.asked.iter().map(|&method| (at, method)));
    }
    while world.client.poll_event().is_some() {}
    asked
}

#[test]
fn without_it_nothing_is_asked_unasked() {
    let mut world = World::udp();
    world.allocate();
    world.client.create_permission(world.now, &[peer(1)]);
    world.client.bind_channel(world.now, peer(2));
    world.exchange();
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn an_allocation_is_refreshed_a_minute_before_its_end() {
    let mut world = kept_alive();
    world.allocate();
    assert_eq!(
        asked_within(&mut world, 1700),
        [
            (540, Method::Refresh),
            (1080, Method::Refresh),
            (1620, Method::Refresh)
        ]
    );
}

#[test]
fn a_short_allocation_is_refreshed_at_half_its_life() {
    let mut world = kept_alive();
    let options = AllocateOptions {
        lifetime: Some(Duration::from_secs(60)),
        ..AllocateOptions::default()
    };
    world.client.allocate(world.now, options);
    world.exchange();
    assert_eq!(
        asked_within(&mut world, 70),
        [(30, Method::Refresh), (60, Method::Refresh)]
    );
}

#[test]
fn permissions_and_channels_are_repeated_every_four_minutes() {
    let mut world = kept_alive();
    world.allocate();
    world.client.create_permission(world.now, &[peer(1)]);
    world.client.create_permission(world.now, &[peer(1)]);
    world.client.bind_channel(world.now, peer(2));
    world.exchange();
    assert_eq!(
        asked_within(&mut world, 500),
        [
            (240, Method::CreatePermission),
            (240, Method::ChannelBind),
            (480, Method::CreatePermission),
            (480, Method::ChannelBind)
        ]
    );
}

#[test]
fn a_refresh_by_hand_moves_the_next_one() {
    let mut world = kept_alive();
    world.allocate();
    world.client.refresh(world.now, Duration::from_secs(3600));
    world.exchange();
    assert_eq!(asked_within(&mut world, 4000), [(3540, Method::Refresh)]);
}

#[test]
fn an_ended_allocation_is_left_alone() {
    let mut world = kept_alive();
    world.allocate();
    world.client.create_permission(world.now, &[peer(1)]);
    world.client.refresh(world.now, Duration::ZERO);
    world.exchange();
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn what_is_refused_is_not_asked_again() {
    let mut world = kept_alive();
    world.allocate();
    world.client.create_permission(world.now, &[peer(1)]);
    world.exchange();
    world.sleep();
    let repeat = world.packet();
    let refusal = Answer::error(&repeat, 403, "").signed(&crate::server::key());
    world.input(&refusal);
    assert_eq!(asked_within(&mut world, 1000), [(540, Method::Refresh)]);
}
