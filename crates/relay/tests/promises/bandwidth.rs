//! How fast data may pass. RFC 8656 §5.

use std::num::NonZeroU64;

use relay::keys::{Mint, mint};
use relay::{Bandwidth, DropReason, Keys, Realm, Transport};
use sim::Outcome::Lost;
use sim::{Client, Peer, World, minutes, password, seconds};

use crate::rules::rules;

const SLOW: DropReason = DropReason::BandwidthExceeded;
/// Bytes per second.
const RATE: usize = 125_000;
const PACKET: [u8; 1000] = [7; 1000];

#[test]
fn an_allocation_sends_and_receives_no_faster_than_allowed() {
    let mut world = limited(Some(RATE), None);
    let (alice, peer) = (world.client("alice"), world.peer());
    let relayed = meet(&mut world, alice, peer);
    // An allowance that was not used for longer than a second is lost.
    world.advance(seconds(60));
    assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len());
    let received = (0..1000).map(|_| peer.send(&mut world, relayed, &PACKET));
    let received = received.filter(|outcome| *outcome != Lost(SLOW)).count();
    assert_eq!(received, RATE / PACKET.len());
    world.advance(seconds(1) / 5);
    assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len() / 5);
    // Data that is dropped is not counted as passed.
    let counters = world.counters();
    assert_eq!(counters.sent.bytes as usize, RATE * 6 / 5);
    assert_eq!(counters.received.bytes as usize, RATE);
    let passed = counters.sent.packets + counters.received.packets;
    assert_eq!(counters.dropped(SLOW), 3000 - passed);
}

#[test]
fn channels_and_relayed_addresses_of_this_server_are_as_limited_as_the_rest() {
    let mut world = limited(Some(RATE), None);
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let peer = world.peer();
    meet(&mut world, alice, peer);
    let far = bob.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, far);
    let own = alice.relayed(&world);
    bob.permit(&mut world, own);
    world.advance(seconds(1));
    let all = (0..1000).map(|_| alice.send_on(&mut world, channel, &PACKET));
    let passed = all.filter(|outcome| *outcome != Lost(SLOW)).count();
    assert_eq!(passed, RATE / PACKET.len());
    assert_eq!(alice.send(&mut world, peer, &PACKET), Lost(SLOW));
}

#[test]
fn allocations_of_one_user_share_a_limit_over_all_shards_and_others_have_their_own() {
    let mut world = World::sharded(2, |config| {
        config.rules_mut().limits.bandwidth = bandwidth(None, Some(RATE));
    });
    let peer = world.peer();
    let (here, there) = (world.client_on(0, "alice"), world.client_on(1, "alice"));
    let bob = world.client_on(0, "bob");
    for client in [here, there, bob] {
        meet(&mut world, client, peer);
    }
    world.advance(seconds(1));
    let first = (0..50).filter(|_| here.send(&mut world, peer, &PACKET) != Lost(SLOW));
    assert_eq!(first.count(), 50);
    assert_eq!(sent(&mut world, there, peer), RATE / PACKET.len() - 50);
    assert_eq!(here.send(&mut world, peer, &PACKET), Lost(SLOW));
    assert_eq!(sent(&mut world, bob, peer), RATE / PACKET.len());
}

#[test]
fn all_credentials_of_one_person_share_a_limit() {
    let mut world = World::ruled(|rules| {
        rules.realms.default_keys().add_secret(b"north");
        rules.limits.bandwidth = bandwidth(None, Some(RATE));
    });
    let peer = world.peer();
    let now = world.now().unix.as_secs();
    let mut clients = Vec::new();
    for lasts in [600, 601] {
        let credential = mint(Mint::Sha1, b"north", Some("dave"), now + lasts);
        let client = world.client_with(&credential.username, &credential.password);
        meet(&mut world, client, peer);
        clients.push(client);
    }
    world.advance(seconds(1));
    assert_eq!(sent(&mut world, clients[0], peer), RATE / PACKET.len());
    assert_eq!(sent(&mut world, clients[1], peer), 0);
}

#[test]
fn who_opens_one_allocation_after_the_other_gains_nothing() {
    let mut world = limited(Some(RATE), Some(RATE));
    let peer = world.peer();
    for _ in 0..10 {
        let alice = world.client("alice");
        meet(&mut world, alice, peer);
        assert_eq!(sent(&mut world, alice, peer), 0);
        alice.delete(&mut world);
    }
}

#[test]
fn the_largest_datagram_passes_at_the_lowest_rate_in_its_time() {
    let mut world = limited(Some(10_000), None);
    let (alice, peer) = (world.tcp_client("alice"), world.peer());
    meet(&mut world, alice, peer);
    let whole = vec![7; 65_507];
    world.advance(seconds(6));
    assert_eq!(alice.send(&mut world, peer, &whole), Lost(SLOW));
    world.advance(seconds(1));
    alice.reaches(&mut world, peer, &whole);
    assert_eq!(alice.send(&mut world, peer, b"more"), Lost(SLOW));
}

#[test]
fn what_one_limit_refuses_is_not_charged_to_the_other() {
    let mut world = limited(Some(RATE), Some(2 * RATE));
    let peer = world.peer();
    let [one, two, three] = ["alice"; 3].map(|user| world.client(user));
    for client in [one, two, three] {
        meet(&mut world, client, peer);
    }
    world.advance(seconds(1));
    for client in [one, two] {
        assert_eq!(sent(&mut world, client, peer), RATE / PACKET.len());
    }
    assert_eq!(sent(&mut world, three, peer), 0);
    world.advance(seconds(1));
    assert_eq!(sent(&mut world, three, peer), RATE / PACKET.len());
}

#[test]
fn other_rules_change_the_limits_of_allocations_that_run() {
    let mut world = World::new();
    let (alice, peer) = (world.client("alice"), world.peer());
    meet(&mut world, alice, peer);
    world.advance(seconds(10));
    assert_eq!(sent(&mut world, alice, peer), 1000);
    let change = |world: &mut World, of_one, of_user| {
        let mut changed = rules(&["alice"]);
        changed.limits.bandwidth = bandwidth(of_one, of_user);
        world.change_rules(changed);
    };
    change(&mut world, Some(RATE), None);
    assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len());
    // A charge stays under the next rules.
    change(&mut world, Some(RATE), None);
    assert_eq!(sent(&mut world, alice, peer), 0);
    change(&mut world, None, Some(2 * RATE));
    assert_eq!(sent(&mut world, alice, peer), 2 * RATE / PACKET.len());
    change(&mut world, None, None);
    assert_eq!(sent(&mut world, alice, peer), 1000);
}

#[test]
fn a_limit_that_is_raised_lets_data_pass_within_a_second() {
    // The largest datagram may come at once, and at this rate it takes a minute to earn.
    for (of_one, of_user) in [(true, false), (false, true), (true, true)] {
        let limits = |rate| bandwidth(of_one.then_some(rate), of_user.then_some(rate));
        let mut world = World::ruled(|rules| rules.limits.bandwidth = limits(1000));
        let (alice, peer) = (world.client("alice"), world.peer());
        meet(&mut world, alice, peer);
        world.advance(seconds(66));
        assert_eq!(sent(&mut world, alice, peer), 65);
        let mut changed = rules(&["alice"]);
        changed.limits.bandwidth = limits(RATE);
        world.change_rules(changed);
        assert_eq!(sent(&mut world, alice, peer), 0);
        world.advance(seconds(1));
        assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len());
    }
}

#[test]
fn a_realm_has_limits_of_its_own_for_what_it_names() {
    let mut world = World::ruled(|rules| {
        rules.limits.bandwidth = bandwidth(Some(RATE), Some(9 * RATE));
        let mut keys = Keys::new("example.net");
        keys.add_user("dave", &password("dave")).unwrap();
        rules.realms.add(Realm {
            bandwidth: bandwidth(Some(2 * RATE), None),
            ..keys.into()
        });
    });
    let peer = world.peer();
    let dave = world.client_with("dave@example.net", &password("dave"));
    let alice = world.client("alice");
    for (client, rate) in [(dave, 2 * RATE), (alice, RATE)] {
        meet(&mut world, client, peer);
        world.advance(seconds(5));
        assert_eq!(sent(&mut world, client, peer), rate / PACKET.len());
    }
}

#[test]
fn an_allocation_that_moves_takes_its_limits_along() {
    let mut world = World::sharded(2, |config| {
        let rules = config.rules_mut();
        rules.limits.bandwidth = bandwidth(Some(RATE), Some(RATE));
        rules.mobility = true;
    });
    let (alice, peer) = (world.client_on(0, "alice"), world.peer());
    let ticket = crate::mobility::allocate(alice, &mut world);
    alice.permit(&mut world, peer);
    world.advance(seconds(1));
    assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len());
    let there = world.roam(alice, 1, Transport::Udp);
    there.succeeds(&mut world, crate::mobility::shown(&ticket));
    // The first data brings the allocation along.
    there.send(&mut world, peer, b"x");
    assert_eq!(sent(&mut world, there, peer), 0);
    world.advance(seconds(1));
    assert_eq!(sent(&mut world, there, peer), RATE / PACKET.len());
}

#[test]
fn the_limits_hold_in_the_next_process() {
    let mut world = limited(Some(RATE), Some(RATE));
    let (alice, peer) = (world.client("alice"), world.peer());
    meet(&mut world, alice, peer);
    world.advance(seconds(1));
    sent(&mut world, alice, peer);
    world.upgrade(seconds(0));
    assert_eq!(sent(&mut world, alice, peer), RATE / PACKET.len());
}

fn bandwidth(allocation: Option<usize>, user: Option<usize>) -> Bandwidth {
    let rate = |rate: Option<usize>| NonZeroU64::new(rate? as u64);
    Bandwidth {
        allocation: rate(allocation),
        user: rate(user),
    }
}

fn limited(allocation: Option<usize>, user: Option<usize>) -> World {
    World::ruled(|rules| rules.limits.bandwidth = bandwidth(allocation, user))
}

fn meet(world: &mut World, client: Client, peer: Peer) -> std::net::SocketAddr {
    let relayed = client.allocate(world, minutes(10));
    client.permit(world, peer);
    relayed
}

/// How many of a thousand packets pass.
fn sent(world: &mut World, client: Client, peer: Peer) -> usize {
    let all = (0..1000).map(|_| client.send(world, peer, &PACKET));
    all.filter(|outcome| *outcome != Lost(SLOW)).count()
}
