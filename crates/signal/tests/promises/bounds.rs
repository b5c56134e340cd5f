use std::time::Duration;

use serde_json::json;

use crate::world::World;

#[test]
fn a_client_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let mut waits = Vec::new();
    for number in 0..400 {
        waits.push(world.signal(alice, "m2", json!(number)));
    }
    assert!(waits[..300].iter().all(Duration::is_zero));
    assert!(waits[301..].iter().all(|wait| !wait.is_zero()));
    assert_eq!(world.hear(bob).len(), 400);
    assert_eq!(world.rooms.counters().paced, 100);
    world.advance(10);
    assert!(world.signal(alice, "m2", json!(0)).is_zero());
}

#[test]
fn bytes_are_paced_as_messages_are() {
    let mut world = World::new();
    let (alice, _bob) = world.pair();
    let long = "x".repeat(60 * 1024);
    let waits = [(); 8].map(|()| world.signal(alice, "m9", json!(long)));
    assert_eq!(
        waits.iter().filter(|wait| !wait.is_zero()).count(),
        2,
        "{waits:?}"
    );
}

#[test]
fn a_client_that_is_made_to_wait_is_not_taken_for_dead() {
    let mut world = World::limited(|limits| limits.bytes = 1024.try_into().unwrap());
    let (alice, bob) = world.pair();
    let wait = world.signal(alice, "m9", json!("x".repeat(20 * 1024)));
    assert!(wait > Duration::from_secs(10), "{wait:?}");
    world.silence(alice);
    world.advance(wait.as_secs());
    assert!(world.hear(bob).is_empty());
    world.advance(10);
    assert_eq!(world.types(bob), ["away"]);
}

#[test]
fn what_one_member_sends_to_a_member_that_takes_nothing_is_bounded_and_said() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.join("room");
    world.hear(alice);
    world.break_off(bob);
    world.hear(alice);
    let long = "x".repeat(60 * 1024);
    for _ in 0..2 {
        world.signal(alice, "m2", json!(long));
    }
    assert!(world.hear(alice).is_empty());
    world.signal(alice, "m2", json!(long));
    let error = world.hear_one(alice);
    assert_eq!(
        (&error["code"], &error["to"]),
        (&json!("not-delivered"), &json!("m2"))
    );
    // Another member has its own share.
    world.hear(carol);
    world.signal(carol, "m2", json!(long));
    assert!(world.hear(carol).is_empty());
    assert_eq!(world.rooms.counters().not_delivered, 1);
}

#[test]
fn who_acknowledges_is_sent_on_without_end() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let long = "x".repeat(60 * 1024);
    for number in 0..20 {
        world.signal(alice, "m2", json!(long));
        assert_eq!(world.types(bob), ["signal"]);
        world.say(bob, json!({"type": "ack", "ack": number + 2}));
    }
    assert_eq!(world.rooms.counters().not_delivered, 0);
}

#[test]
fn members_that_take_nothing_leave_memory_for_others() {
    let mut world = World::limited(|limits| limits.queued = 2 * 1024 * 1024);
    let long = "x".repeat(60 * 1024);
    for room in 0..40 {
        let room = format!("r{room}");
        let (sender, _sink) = (world.join(&room), world.join(&room));
        for _ in 0..4 {
            world.signal(sender, "m2", json!(long));
        }
    }
    assert!(world.rooms.counters().queued < 2 * 1024 * 1024);
    let (alice, bob) = world.pair();
    world.signal(alice, "m2", json!("x".repeat(16 * 1024)));
    assert_eq!(world.types(bob), ["signal"]);
}

#[test]
fn a_member_whose_news_cannot_be_kept_is_ended() {
    let mut world = World::limited(|limits| {
        limits.message = 4096;
        limits.members = 2;
    });
    let (alice, bob) = world.pair();
    world.break_off(bob);
    // Each of these is answered by an error that the sender does not acknowledge.
    for _ in 0..200 {
        world.signal(alice, "m9", json!(1));
    }
    assert_eq!(world.fate(alice), (Some("too-slow".into()), Some(1008)));
    assert_eq!(world.rooms.counters().ended, 1);
}

#[test]
fn a_newcomer_is_in_the_room_although_the_news_of_it_ends_the_last_other_member() {
    let mut world = World::limited(|limits| {
        limits.message = 4096;
        limits.members = 2;
    });
    let alice = world.join("room");
    let mut queued = world.rooms.counters().queued;
    let mut error = 0;
    while queued + error <= 4 * 4096 {
        world.signal(alice, "m9", json!(1));
        let now = world.rooms.counters().queued;
        (error, queued) = (now - queued, now);
    }
    let bob = world.connect();
    let name = "\u{1f98a}".repeat(64);
    world.say(bob, json!({"type": "join", "room": "room", "name": name}));
    assert_eq!(world.types(bob), ["joined", "left"]);
    assert_eq!(world.fate(alice), (Some("too-slow".into()), Some(1008)));
    let carol = world.join("room");
    world.signal(carol, "m2", json!(1));
    assert_eq!(world.types(bob), ["member", "signal"]);
}

#[test]
fn nothing_is_left_of_members_that_had_much_waiting() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    for number in 0..100 {
        world.signal(alice, "m2", json!(number));
        world.say(bob, json!({"type": "text", "text": "x"}));
    }
    assert!(world.rooms.counters().queued > 100 * 64);
    world.break_off(alice);
    world.say(bob, json!({"type": "leave"}));
    world.break_off(bob);
    world.advance(31);
    assert!(world.is_empty());
}

#[test]
fn a_network_that_comes_and_goes_without_end_is_made_to_wait() {
    let mut world = World::new();
    let _host = world.join("room");
    let mut refused = 0;
    for _ in 0..1000 {
        let peer = world.connect();
        world.say(peer, json!({"type": "join", "room": "room"}));
        let told = world.hear(peer).remove(0);
        if told["type"] == "error" {
            assert_eq!(told["code"], "too-many");
            assert!(told["retry"].as_u64() >= Some(1));
            refused += 1;
        } else {
            world.say(peer, json!({"type": "leave"}));
        }
        world.break_off(peer);
    }
    assert_eq!(refused, 1000 - (2 * 256 - 1));
    let other = world.connect_from("198.51.100.1").unwrap();
    world.say(other, json!({"type": "join", "room": "room"}));
    assert_eq!(world.types(other), ["joined"]);
}

#[test]
fn a_member_that_acknowledges_nothing_for_a_minute_is_ended() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.signal(alice, "m2", json!("x".repeat(20_000)));
    world.advance(59);
    world.signal(alice, "m2", json!("x".repeat(20_000)));
    assert_eq!(world.fate(bob), (None, None));
    world.advance(4);
    assert_eq!(world.fate(bob), (Some("too-slow".into()), Some(1008)));
    assert_eq!(world.hear_one(alice)["cause"], "ended");
}

#[test]
fn a_member_of_a_quiet_room_need_not_acknowledge() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.signal(alice, "m2", json!("x".repeat(8_000)));
    world.advance(600);
    for peer in [alice, bob] {
        assert_eq!(world.fate(peer), (None, None));
    }
}

#[test]
fn a_member_that_reads_nothing_is_ended_although_it_sends_pings() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.block(alice);
    for _ in 0..7 {
        world.ping(alice);
        world.advance(3);
        assert!(world.hear(bob).is_empty());
    }
    for _ in 0..2 {
        world.ping(alice);
        world.advance(3);
    }
    assert_eq!(world.hear_one(bob)["cause"], "ended");
    assert_eq!(world.rooms.counters().refused, 1);
}

#[test]
fn pings_are_paced_also_before_a_member_is_one_and_joining_forgives_none() {
    let mut world = World::new();
    let peer = world.connect();
    let waits = [(); 400].map(|()| world.ping(peer));
    assert!(waits[..300].iter().all(Duration::is_zero));
    assert!(waits[301..].iter().all(|wait| !wait.is_zero()));
    world.say(peer, json!({"type": "join", "room": "room"}));
    assert!(!world.ping(peer).is_zero());
}
