//! ChannelBind and bound channels. RFC 8656 §12.

use relay::DropReason::{NoChannel, NoPeerPermission, NoPermission};
use relay::{ChannelNumber, Transport};
use sim::{Request, World, assert_lost, minutes, seconds};
use wire::attributes::{ChannelNumberAttribute, XorPeerAddress};
use wire::{Attribute, Method};

#[test]
fn a_channel_carries_data_both_ways() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    assert_eq!(
        alice.send_on(&mut world, channel, b"hi"),
        peer.hears(relayed, b"hi")
    );
    peer.reaches_on(&mut world, alice, channel, b"ho");
}

#[test]
fn a_bind_installs_a_permission_for_the_whole_address() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    let beside = peer.on_port(9);
    beside.reaches(&mut world, alice, b"x");
    alice.reaches(&mut world, beside, b"x");
}

#[test]
fn a_channel_lasts_600_seconds_to_the_second() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(60));
    alice.bind(&mut world, peer);
    world.advance(seconds(599));
    alice.reaches(&mut world, peer, b"x");
    world.advance(seconds(1));
    assert_lost(alice.send(&mut world, peer, b"x"), NoChannel);
}

#[test]
fn a_channel_is_over_in_time_even_if_the_shard_overslept() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.bind(&mut world, peer);
    world.oversleep(seconds(599));
    alice.permit(&mut world, peer);
    world.oversleep(seconds(1));
    assert_eq!(
        peer.send(&mut world, relayed, b"x"),
        alice.hears(peer, b"x"),
        "no longer on the channel"
    );
}

/// RFC 8656 §9 would have what the peer sends dropped after 300 seconds. aioice and werift prolong
/// their channels every 500 and never ask for a permission.
#[test]
fn a_live_channel_carries_data_both_ways_after_its_permission_has_lapsed() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new();
        let alice = world.client_over(transport, "alice");
        let peer = world.peer();
        let relayed = alice.allocate(&mut world, minutes(60));
        let channel = alice.bind(&mut world, peer);
        for _ in 0..3 {
            for _ in 0..5 {
                world.advance(seconds(100));
                peer.reaches_on(&mut world, alice, channel, b"x");
                assert_eq!(
                    alice.send_on(&mut world, channel, b"x"),
                    peer.hears(relayed, b"x")
                );
                assert_eq!(
                    alice.send(&mut world, peer, b"x"),
                    peer.hears(relayed, b"x"),
                    "in a Send indication"
                );
            }
            let again = Request::channel_bind(channel.get(), peer);
            assert!(alice.ask(&mut world, again).is_success());
        }
        world.advance(seconds(600));
        assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
    }
}

/// Any error to a ChannelBind ends Chromium's connection through it.
#[test]
fn a_live_channel_is_renewed_where_there_is_no_room_for_its_permission() {
    let mut world = World::ruled(|rules| rules.limits.permissions = 2);
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(60));
    let (peer, one, other) = (world.peer(), world.peer(), world.peer());
    let channel = alice.bind(&mut world, peer);
    world.advance(seconds(310));
    for _ in 0..3 {
        alice.permit(&mut world, one);
        alice.permit(&mut world, other);
        world.advance(seconds(190));
        let again = Request::channel_bind(channel.get(), peer);
        assert!(alice.ask(&mut world, again).is_success());
    }
    // A new channel has to wait.
    let new = world.peer();
    alice.permit(&mut world, one);
    alice.permit(&mut world, other);
    let bind = Request::channel_bind(channel.get() + 1, new);
    assert_eq!(alice.ask(&mut world, bind).code(), Some(403));
}

#[test]
fn a_channel_without_a_permission_is_worth_something_to_its_own_peer_alone() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.bind(&mut world, peer);
    world.advance(seconds(300));
    let beside = peer.on_port(9);
    assert_lost(beside.send(&mut world, relayed, b"x"), NoPeerPermission);
    assert_lost(alice.send(&mut world, beside, b"x"), NoPermission);
}

#[test]
fn a_rebind_prolongs_both_channel_and_permission() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(60));
    let channel = alice.bind(&mut world, peer);
    world.advance(seconds(400));
    assert_eq!(alice.bind(&mut world, peer), channel);
    world.advance(seconds(299));
    peer.reaches_on(&mut world, alice, channel, b"x");
    world.advance(seconds(300));
    alice.reaches(&mut world, peer, b"x");
    world.advance(seconds(1));
    assert_lost(alice.send(&mut world, peer, b"x"), NoChannel);
}

#[test]
fn neither_data_nor_a_permission_prolongs_a_channel() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    alice.bind(&mut world, peer);
    for _ in 0..3 {
        world.advance(seconds(200));
        alice.permit(&mut world, peer);
        alice.send(&mut world, peer, b"out");
        peer.send(&mut world, relayed, b"in");
    }
    assert_lost(alice.send(&mut world, peer, b"x"), NoChannel);
}

#[test]
fn a_number_outside_the_range_is_a_bad_request() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    for number in [0, 0x3FFF, 0x8000, 0xFFFF] {
        let answer = alice.ask(&mut world, Request::channel_bind(number, peer));
        assert_eq!(answer.code(), Some(400), "{number:#06x}");
    }
    let other = world.peer();
    for (number, peer) in [(0x4000, peer), (0x7FFF, other)] {
        let answer = alice.ask(&mut world, Request::channel_bind(number, peer));
        assert!(answer.is_success(), "{number:#06x}");
    }
}

#[test]
fn a_missing_or_unreadable_number_or_peer_is_a_bad_request() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let bind = || Request::new(Method::ChannelBind);
    for request in [
        bind(),
        bind().peer(peer),
        bind().put(ChannelNumberAttribute(0x4000)),
        bind()
            .put_raw(ChannelNumberAttribute::TYPE, &[0x40, 0])
            .peer(peer),
        bind()
            .put(ChannelNumberAttribute(0x4000))
            .put_raw(XorPeerAddress::TYPE, &[0, 1]),
    ] {
        assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    }
}

#[test]
fn a_number_leads_to_one_peer_and_a_peer_has_one_number() {
    let mut world = World::new();
    let (alice, peer, other) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    for conflict in [
        Request::channel_bind(channel.get(), other),
        Request::channel_bind(channel.get(), peer.on_port(9)),
        Request::channel_bind(channel.get() + 1, peer),
    ] {
        assert_eq!(alice.ask(&mut world, conflict).code(), Some(400));
    }
    // Nothing has changed.
    alice.reaches(&mut world, peer, b"x");
    assert_lost(other.send(&mut world, relayed, b"x"), NoPeerPermission);
    // Another port is another peer.
    let beside = Request::channel_bind(channel.get() + 1, peer.on_port(9));
    assert!(alice.ask(&mut world, beside).is_success());
}

#[test]
fn a_refused_bind_prolongs_nothing() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let relayed = alice.allocate(&mut world, minutes(60));
    let channel = alice.bind(&mut world, peer);
    let conflict = || Request::channel_bind(channel.get() + 1, peer);
    // The permission, which is for every port, and then the channel.
    for (lapsed, last) in [(peer.on_port(9), 299), (peer, 299)] {
        world.advance(seconds(last));
        assert_eq!(alice.ask(&mut world, conflict()).code(), Some(400));
        world.advance(seconds(1));
        assert_lost(lapsed.send(&mut world, relayed, b"x"), NoPeerPermission);
    }
}

#[test]
fn a_number_may_lead_elsewhere_once_its_channel_is_over() {
    let mut world = World::new();
    let (alice, peer, other) = (world.client("alice"), world.peer(), world.peer());
    let relayed = alice.allocate(&mut world, minutes(60));
    let channel = alice.bind(&mut world, peer);
    world.advance(minutes(10));
    alice.ask(&mut world, Request::allocate().unsigned());
    alice.succeeds(&mut world, Request::channel_bind(channel.get(), other));
    assert_eq!(
        alice.send_on(&mut world, channel, b"x"),
        other.hears(relayed, b"x")
    );
}

#[test]
fn a_channel_is_its_clients_own() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let (one, two) = (world.peer(), world.peer());
    let at_alice = alice.allocate(&mut world, minutes(10));
    let at_bob = bob.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, one);
    assert_lost(bob.send_on(&mut world, channel, b"x"), NoChannel);
    assert_eq!(bob.bind(&mut world, two), channel);
    assert_eq!(
        alice.send_on(&mut world, channel, b"a"),
        one.hears(at_alice, b"a")
    );
    assert_eq!(
        bob.send_on(&mut world, channel, b"b"),
        two.hears(at_bob, b"b")
    );
}

#[test]
fn a_channel_dies_with_its_allocation() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, peer);
    world.advance(minutes(10));
    assert_lost(alice.send(&mut world, peer, b"hi"), NoChannel);
    assert!(world.is_idle());
}

#[test]
fn a_channel_that_is_over_takes_no_other_with_it() {
    let mut world = World::new();
    let (alice, early, late) = (world.client("alice"), world.peer(), world.peer());
    alice.allocate(&mut world, minutes(60));
    alice.bind(&mut world, early);
    world.advance(minutes(5));
    alice.bind(&mut world, late);
    world.advance(minutes(5));
    assert_lost(alice.send(&mut world, early, b"x"), NoChannel);
    alice.reaches(&mut world, late, b"x");
    // The one that is left ends with the allocation.
    alice.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_deleted_allocation_leaves_no_channel_to_the_next() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    alice.delete(&mut world);
    let relayed = alice.allocate(&mut world, minutes(10));
    assert_lost(alice.send_on(&mut world, channel, b"x"), NoChannel);
    assert_lost(peer.send(&mut world, relayed, b"x"), NoPeerPermission);
}

#[test]
fn more_channels_than_allowed_are_refused() {
    let mut world = World::ruled(|rules| rules.limits.channels = 2);
    let (alice, peer) = (world.client("alice"), world.peer());
    alice.allocate(&mut world, minutes(60));
    let bind = |number| Request::channel_bind(number, peer.on_port(number));
    for number in [0x4000, 0x4001] {
        assert!(alice.ask(&mut world, bind(number)).is_success());
    }
    assert_eq!(alice.ask(&mut world, bind(0x4002)).code(), Some(403));
    // A channel that is bound may still be prolonged.
    assert!(alice.ask(&mut world, bind(0x4001)).is_success());
    world.advance(minutes(10));
    alice.ask(&mut world, Request::allocate().unsigned());
    assert!(alice.ask(&mut world, bind(0x4002)).is_success());
}

#[test]
fn data_on_a_channel_that_nobody_bound_is_dropped() {
    let (mut world, alice) = World::of_alice();
    let channel = ChannelNumber::MIN;
    assert_lost(alice.send_on(&mut world, channel, b"x"), NoChannel);
    alice.allocate(&mut world, minutes(10));
    assert_lost(alice.send_on(&mut world, channel, b"x"), NoChannel);
}
