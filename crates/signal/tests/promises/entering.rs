use serde_json::json;
use signal::{Refusal, Report};

use crate::world::{World, text};

#[test]
fn a_newcomer_hears_who_is_there_and_those_there_hear_of_it() {
    let mut world = World::new();
    let (alice, bob) = (world.connect(), world.connect());
    world.say(alice, json!({"type": "join", "room": "a", "name": "Alice"}));
    let joined = world.hear_one(alice);
    assert_eq!(joined["id"], "m1");
    assert_eq!(joined["room"], "a");
    assert_eq!(joined["members"], json!([]));
    assert_eq!(
        (&joined["seq"], &joined["received"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(joined["resumeWithin"], 30);
    world.say(bob, json!({"type": "join", "room": "a", "name": "Bob"}));
    assert_eq!(
        world.hear_one(bob)["members"],
        json!([{"id": "m1", "name": "Alice", "polite": true, "away": false}])
    );
    assert_eq!(
        world.hear_one(alice),
        json!({"type": "member", "seq": 2, "received": 0,
               "member": {"id": "m2", "name": "Bob", "polite": false, "away": false}})
    );
}

#[test]
fn an_id_is_never_given_twice_while_its_room_exists() {
    let mut world = World::new();
    let _first = world.join("a");
    for number in 2..5 {
        let peer = world.connect();
        world.say(peer, json!({"type": "join", "room": "a"}));
        assert_eq!(world.hear(peer)[0]["id"], format!("m{number}"));
        world.say(peer, json!({"type": "leave"}));
    }
}

#[test]
fn members_of_different_rooms_have_credentials_of_different_users() {
    let mut world = World::new();
    let mut user = |room: &str| {
        let peer = world.connect();
        world.say(peer, json!({"type": "join", "room": room}));
        let joined = world.hear_one(peer);
        assert_eq!(joined["iceLifetime"], 3600);
        text(&joined["iceServers"][0]["username"])
    };
    let (one, other) = (user("a"), user("b"));
    assert!(one.starts_with("m1-") && other.starts_with("m1-"));
    assert_ne!(one, other);
}

#[test]
fn a_room_ends_with_its_last_member_and_is_a_new_one_then() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.say(alice, json!({"type": "leave"}));
    assert_eq!(world.fate(alice), (None, Some(1000)));
    let left = world.hear_one(bob);
    assert_eq!(
        (text(&left["id"]), text(&left["cause"])),
        ("m1".into(), "left".into())
    );
    world.say(bob, json!({"type": "leave"}));
    assert_eq!(world.rooms.counters().rooms, 0);
    let carol = world.connect();
    world.say(carol, json!({"type": "join", "room": "room"}));
    assert_eq!(world.hear_one(carol)["id"], "m1");
    for peer in [alice, bob, carol] {
        world.break_off(peer);
    }
    world.advance(31);
    assert!(world.is_empty());
}

#[test]
fn a_connection_without_a_first_message_is_closed_after_ten_seconds() {
    let mut world = World::new();
    let peer = world.connect();
    world.advance(9);
    assert_eq!(world.fate(peer), (None, None));
    world.advance(1);
    assert_eq!(world.fate(peer), (Some("not-joined".into()), Some(1008)));
}

#[test]
fn nothing_but_join_and_resume_can_come_first() {
    let mut world = World::new();
    for first in [
        json!({"type": "leave"}),
        json!({"type": "ping"}),
        json!({"type": "ice"}),
        json!({"type": "ack", "ack": 1}),
        json!({"type": "text", "text": "x"}),
        json!({"type": "signal", "to": "m1", "data": 1}),
    ] {
        let peer = world.connect();
        world.say(peer, first);
        assert_eq!(world.fate(peer), (Some("not-joined".into()), Some(1008)));
    }
    let peer = world.connect();
    world.say_text(peer, "hello");
    assert_eq!(world.fate(peer), (Some("bad-message".into()), Some(1008)));
}

#[test]
fn a_second_join_has_no_effect() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.say(alice, json!({"type": "join", "room": "other"}));
    let error = world.hear_one(alice);
    assert_eq!(
        (text(&error["code"]), &error["received"]),
        ("already-joined".into(), &json!(0))
    );
    world.signal(bob, "m1", json!(1));
    assert_eq!(world.types(alice), ["signal"]);
    assert_eq!(world.rooms.counters().rooms, 1);
}

#[test]
fn a_full_room_takes_nobody_and_its_members_hear_nothing() {
    let mut world = World::limited(|limits| limits.members = 2);
    let (alice, bob) = world.pair();
    let carol = world.connect();
    world.say(carol, json!({"type": "join", "room": "room"}));
    assert_eq!(world.fate(carol), (Some("room-full".into()), Some(4008)));
    assert!(world.hear(alice).is_empty() && world.hear(bob).is_empty());
}

#[test]
fn rooms_and_connections_are_bounded() {
    let mut world = World::limited(|limits| {
        limits.rooms = 1;
        limits.connections = 4;
    });
    let (_alice, _bob) = world.pair();
    let carol = world.connect();
    world.say(carol, json!({"type": "join", "room": "another"}));
    let error = world.hear(carol).remove(0);
    assert_eq!(
        (text(&error["code"]), &error["retry"]),
        ("too-many".into(), &json!(60))
    );
    assert!(world.connect_from("192.0.2.1").is_some());
    assert!(world.connect_from("198.51.100.1").is_none());
    world.break_off(carol);
    assert!(world.connect_from("198.51.100.1").is_some());
}

#[test]
fn one_network_takes_no_more_than_its_share_of_connections_and_members() {
    let mut world = World::limited(|limits| limits.per_prefix = 2);
    let (alice, bob) = world.pair();
    assert!(world.connect_from("192.0.2.99").is_none());
    assert!(world.connect_from("198.51.100.1").is_some());
    // Members that are away keep their places: their network cannot take others.
    world.break_off(alice);
    world.break_off(bob);
    let carol = world.connect();
    world.say(carol, json!({"type": "join", "room": "another"}));
    assert_eq!(world.fate(carol), (Some("too-many".into()), Some(1013)));
    world.break_off(carol);
    world.advance(31);
    world.join("another");
}

#[test]
fn what_ends_a_connection_has_its_close_code() {
    for (refusal, code) in [
        (Refusal::TooLarge, 1009),
        (Refusal::Binary, 1003),
        (Refusal::NotUtf8, 1007),
        (Refusal::Protocol, 1002),
    ] {
        let mut world = World::new();
        let (alice, bob) = world.pair();
        world.refused(alice, refusal);
        assert_eq!(world.fate(alice).1, Some(code));
        assert_eq!(world.hear_one(bob)["cause"], "ended");
    }
}

#[test]
fn the_end_of_the_server_closes_everything_and_lets_nobody_in() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let stranger = world.connect();
    world.end();
    for peer in [alice, bob, stranger] {
        assert_eq!(world.fate(peer).1, Some(1001));
        world.break_off(peer);
    }
    assert!(world.connect_from("192.0.2.1").is_none());
    assert!(world.is_empty());
}

#[test]
fn reports_have_neither_names_nor_addresses_but_that_of_a_room_for_debug() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.say(alice, json!({"type": "leave"}));
    world.say_text(bob, "\n \u{202e} x");
    let shown: Vec<String> = world
        .reports
        .iter()
        .map(|report| format!("{report:?}"))
        .collect();
    assert!(matches!(&world.reports[0], Report::Opened { name, .. } if &**name == "room"));
    assert_eq!(
        shown
            .iter()
            .filter(|line| line.contains("\"room\""))
            .count(),
        1
    );
    assert!(
        !shown
            .iter()
            .any(|line| line.contains("192.0.2") || line.contains("202e"))
    );
}
