//! The share of one network is never taken from another one.

use serde_json::json;

use crate::world::{Peer, World};

/// Rooms in which 1 MiB may wait for all, and 128 KiB for one network.
fn small() -> World {
    World::limited(|limits| {
        limits.queued = 1024 * 1024;
        limits.message = 4096;
    })
}

/// Members that acknowledge nothing, each alone in a room, until the server ends them or 60 KiB wait.
fn park(world: &mut World, ips: impl Iterator<Item = String>) -> Vec<Peer> {
    ips.map(|ip| {
        let peer = world.join_from(&ip, &format!("of-{ip}"));
        for _ in 0..250 {
            world.signal(peer, "m99999999999999", json!(1));
        }
        peer
    })
    .collect()
}

#[test]
fn members_that_take_nothing_end_each_other_and_nobody_of_another_network() {
    let mut world = small();
    let (alice, bob) = world.pair();
    let neighbour = world.join_from("203.0.113.200", "elsewhere");
    let parked = park(&mut world, (1..=30).map(|host| format!("203.0.113.{host}")));
    assert!(world.rooms.counters().queued <= 160 * 1024);
    let ended = world.rooms.counters().ended;
    assert!(ended >= 20, "{ended}");
    world.signal(alice, "m9", json!(1));
    world.signal(alice, "m2", json!("x".repeat(4000)));
    world.signal(neighbour, "m9", json!(1));
    let carol = world.join_from("198.51.100.1", "room");
    assert_eq!(world.types(alice), ["error", "member"]);
    assert_eq!(world.types(bob), ["signal", "member"]);
    for peer in [alice, bob, carol, neighbour] {
        assert_eq!(world.fate(peer).1, None);
    }
    let of_one = world.fate(parked[0]);
    assert_eq!(of_one, (Some("too-slow".into()), Some(1008)));
}

#[test]
fn where_many_networks_together_take_too_much_the_fullest_one_pays() {
    let mut world = small();
    let (alice, bob) = world.pair();
    park(&mut world, (1..=40).map(|net| format!("203.0.{net}.1")));
    assert!(world.rooms.counters().queued <= 1024 * 1024);
    assert!(world.rooms.counters().ended > 0);
    world.signal(alice, "m9", json!(1));
    world.signal(alice, "m2", json!("x".repeat(4000)));
    assert_eq!(world.types(alice), ["error"]);
    assert_eq!(world.types(bob), ["signal"]);
}

#[test]
fn what_waits_for_members_that_are_away_keeps_nobody_out() {
    let mut world = small();
    for room in 0..30 {
        let sender = world.join_from("203.0.113.1", &format!("r{room}"));
        for number in 2..=8 {
            let sink = world.join_from("203.0.113.2", &format!("r{room}"));
            let body = json!("x".repeat(3900));
            let to = format!("m{number}");
            world.signal(sender, &to, body.clone());
            world.break_off(sink);
            world.signal(sender, &to, body);
            world.say(sender, json!({"type": "ack", "ack": 1000}));
        }
    }
    // Half a share, and a little of each that is there.
    assert!(world.rooms.counters().queued <= (64 + 16) * 1024);
    for ip in ["203.0.113.3", "192.0.2.1"] {
        world.join_from(ip, "room");
    }
}

#[test]
fn one_network_opens_an_eighth_of_the_rooms_and_enters_those_of_others() {
    let mut world = World::limited(|limits| limits.rooms = 160);
    let hosts: Vec<_> = (0..20)
        .map(|room| world.join_from("203.0.113.1", &format!("r{room}")))
        .collect();
    let late = world.connect_from("203.0.113.2").unwrap();
    world.say(late, json!({"type": "join", "room": "another"}));
    assert_eq!(world.fate(late), (Some("too-many".into()), Some(1013)));
    world.join_from("192.0.2.1", "another");
    world.join_from("203.0.113.2", "another");
    world.say(hosts[0], json!({"type": "leave"}));
    world.join_from("203.0.113.3", "r20");
}
