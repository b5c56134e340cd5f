use serde_json::{Value, json};
use signal::{Access, Secrets, TokenKeys};

use crate::world::{Peer, World};

/// Two members, and the session of the first.
fn pair(world: &mut World) -> (Peer, Peer, Value) {
    let alice = world.connect();
    world.say(
        alice,
        json!({"type": "join", "room": "room", "name": "Alice"}),
    );
    let session = world.hear_one(alice)["session"].clone();
    let bob = world.join("room");
    world.hear(alice);
    (alice, bob, session)
}

#[test]
fn a_member_that_resumes_misses_nothing_and_nothing_of_it_is_missed() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    for number in 0..5 {
        world.signal(bob, "m1", json!(number));
        world.signal(alice, "m2", json!(number));
    }
    assert_eq!(world.hear(bob).len(), 5);
    // Of what was sent, the last three never arrived.
    world.break_off(alice);
    assert_eq!(world.hear_one(bob)["type"], "away");
    world.signal(bob, "m1", json!(5));
    world.advance(29);
    let alice = world.resume(&session, 4);
    let heard = world.hear(alice);
    assert_eq!(heard[0], json!({"type": "resumed", "received": 5}));
    let missed: Vec<_> = heard[1..]
        .iter()
        .map(|told| (&told["seq"], &told["data"]))
        .collect();
    let expected = [(5, 2), (6, 3), (7, 4), (8, 5)].map(|(seq, data)| (json!(seq), json!(data)));
    assert_eq!(
        missed,
        expected
            .iter()
            .map(|(seq, data)| (seq, data))
            .collect::<Vec<_>>()
    );
    assert_eq!(world.hear_one(bob)["type"], "back");
    world.signal(alice, "m2", json!("again"));
    assert_eq!(world.hear_one(bob)["data"], "again");
}

#[test]
fn a_member_that_does_not_come_back_within_30_seconds_is_gone() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    world.break_off(alice);
    world.hear(bob);
    world.advance(29);
    assert!(world.hear(bob).is_empty());
    world.advance(1);
    let left = world.hear_one(bob);
    assert_eq!(
        (&left["type"], &left["cause"]),
        (&json!("left"), &json!("gone"))
    );
    let alice = world.resume(&session, 0);
    assert_eq!(
        world.fate(alice),
        (Some("unknown-session".into()), Some(4004))
    );
}

#[test]
fn a_client_that_answers_no_ping_is_away_within_ten_seconds() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    world.advance(60);
    assert!(world.hear(bob).is_empty());
    world.silence(alice);
    world.advance(1);
    // The last that is heard of it.
    world.say(alice, json!({"type": "ack"}));
    world.advance(8);
    assert!(world.hear(bob).is_empty());
    world.advance(1);
    assert_eq!(world.types(bob), ["away"]);
    // If it can hear, it hears that it is to resume.
    assert_eq!(world.fate(alice), (None, Some(4002)));
    // A late message of it is not taken: it will send it again.
    world.signal(alice, "m2", json!(1));
    assert!(world.hear(bob).is_empty());
    let alice = world.resume(&session, 2);
    assert_eq!(
        world.hear(alice)[0],
        json!({"type": "resumed", "received": 0})
    );
}

#[test]
fn a_newcomer_is_told_who_is_away() {
    let mut world = World::new();
    let (alice, _bob, _) = pair(&mut world);
    world.break_off(alice);
    let carol = world.connect();
    world.say(carol, json!({"type": "join", "room": "room"}));
    assert_eq!(world.hear_one(carol)["members"][0]["away"], true);
}

#[test]
fn a_session_is_resumed_although_its_connection_still_seems_to_live() {
    let mut world = World::new();
    let (old, bob, session) = pair(&mut world);
    let new = world.resume(&session, 2);
    assert_eq!(world.fate(old), (None, Some(4001)));
    // Others notice nothing, and the end of the old connection is not the end of the new one.
    world.break_off(old);
    assert!(world.hear(bob).is_empty());
    assert_eq!(world.types(new), ["resumed"]);
    world.signal(bob, "m1", json!(1));
    assert_eq!(world.types(new), ["signal"]);
}

#[test]
fn a_member_that_left_or_was_ended_cannot_be_resumed() {
    let mut world = World::new();
    let (alice, _bob, session) = pair(&mut world);
    world.say(alice, json!({"type": "leave"}));
    let again = world.resume(&session, 0);
    assert_eq!(
        world.fate(again),
        (Some("unknown-session".into()), Some(4004))
    );
}

#[test]
fn a_session_that_differs_in_one_letter_opens_nothing() {
    let mut world = World::new();
    let (_alice, _bob, session) = pair(&mut world);
    let session = session.as_str().unwrap();
    for at in 0..session.len() {
        let mut other = session.to_owned();
        let letter = if &other[at..=at] == "A" { "B" } else { "A" };
        other.replace_range(at..=at, letter);
        let thief = world.resume(&json!(other), 0);
        assert_eq!(
            world.fate(thief).0.as_deref(),
            Some("unknown-session"),
            "{at}"
        );
        world.break_off(thief);
    }
    for other in ["", "A", &session[1..], &format!("{session}A")] {
        let thief = world.resume(&json!(other), 0);
        assert_eq!(world.fate(thief).0.as_deref(), Some("unknown-session"));
        world.break_off(thief);
    }
}

#[test]
fn sessions_of_before_a_restart_keep_nobody_of_their_network_out() {
    let keys = TokenKeys::new([&b"a key"[..]]);
    let secrets = Secrets::new([&b"sesame"[..]]);
    for access in [Access::Open, Access::Secret(secrets), Access::Tokens(keys)] {
        let mut world = World::with(access, |_| ());
        for _ in 0..200 {
            let lost = world.resume(&json!("A".repeat(32)), 0);
            assert_eq!(
                world.fate(lost),
                (Some("unknown-session".into()), Some(4004))
            );
            world.break_off(lost);
        }
        let peer = world.connect();
        world.say(
            peer,
            json!({"type": "join", "room": "room", "secret": "sesame"}),
        );
        assert_ne!(world.fate(peer).0.as_deref(), Some("too-many"));
    }
}

#[test]
fn sessions_that_are_none_keep_no_neighbour_from_joining_or_coming_back() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    world.break_off(alice);
    world.hear(bob);
    for _ in 0..1000 {
        let stranger = world.resume(&json!("A".repeat(32)), 0);
        world.break_off(stranger);
    }
    world.join("another");
    let alice = world.resume(&session, 2);
    assert_eq!(world.types(alice), ["resumed"]);
    assert_eq!(world.types(bob), ["back"]);
}

#[test]
fn neighbours_that_come_and_go_without_end_do_not_keep_a_member_from_coming_back() {
    let mut world = World::new();
    let (alice, _bob, session) = pair(&mut world);
    world.break_off(alice);
    for _ in 0..600 {
        let peer = world.connect();
        world.say(peer, json!({"type": "join", "room": "another"}));
        world.say(peer, json!({"type": "leave"}));
        world.break_off(peer);
    }
    let alice = world.resume(&session, 2);
    assert_eq!(world.types(alice), ["resumed"]);
}

#[test]
fn a_member_that_comes_back_without_end_is_made_to_wait_and_keeps_its_place() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    let mut last = alice;
    for _ in 0..40 {
        world.break_off(last);
        last = world.resume(&session, 2);
    }
    assert_eq!(world.fate(last), (Some("too-many".into()), Some(1013)));
    assert_eq!(world.hear(bob).len(), 30 + 31);
    world.advance(25);
    let alice = world.resume(&session, 2);
    assert_eq!(world.types(alice), ["resumed"]);
}

#[test]
fn an_ack_of_what_was_never_sent_forgets_nothing() {
    let mut world = World::new();
    let (alice, bob, session) = pair(&mut world);
    world.say(alice, json!({"type": "ack", "ack": u64::MAX}));
    world.break_off(alice);
    world.signal(bob, "m1", json!("kept"));
    let alice = world.resume(&session, u64::MAX);
    assert_eq!(world.hear(alice)[1]["data"], "kept");
}

#[test]
fn who_comes_back_again_and_again_is_as_fast_as_who_stays() {
    let mut world = World::new();
    let (mut alice, _bob, session) = pair(&mut world);
    let mut wait = std::time::Duration::ZERO;
    for round in 0..10 {
        for number in 0..50 {
            wait = world.signal(alice, "m9", json!(number));
        }
        alice = world.resume(&session, 1000 * round);
    }
    assert!(wait.as_secs() >= 3, "{wait:?}");
}
