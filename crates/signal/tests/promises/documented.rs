//! The examples of `docs/signaling.md` are what is sent and taken.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use signal::{Message, Refusal};

use crate::world::{World, text};

const DOCUMENT: &str = include_str!("../../../../docs/signaling.md");

#[test]
fn every_example_of_a_client_is_a_message() {
    let client = examples(0);
    assert!(client.len() >= 10);
    for example in client {
        let decoded = Message::decode(&example);
        assert!(decoded.is_ok(), "{example}: {decoded:?}");
    }
}

#[test]
fn every_message_of_the_server_has_an_example_with_the_same_keys() {
    let mut documented = BTreeMap::new();
    for example in examples(1) {
        let example: Value = serde_json::from_str(&example).unwrap();
        documented
            .entry(text(&example["type"]))
            .or_insert_with(Vec::new)
            .push(keys(&example));
    }
    let heard = heard();
    for told in &heard {
        let same = documented.get(&text(&told["type"]));
        assert!(
            same.is_some_and(|same| same.contains(&keys(told))),
            "not in the document: {told}"
        );
    }
    let types: BTreeSet<_> = heard.iter().map(|told| text(&told["type"])).collect();
    assert_eq!(types, documented.into_keys().collect());
}

#[test]
fn every_error_stands_in_the_table_with_its_close_code() {
    for refusal in [
        Refusal::BadMessage(""),
        Refusal::NotJoined,
        Refusal::Forbidden(""),
        Refusal::BadToken(""),
        Refusal::UnknownSession,
        Refusal::RoomFull,
        Refusal::TooMany,
        Refusal::TooLarge,
        Refusal::TooSlow,
    ] {
        let row = format!("| `{}` | {} |", refusal.code().unwrap(), refusal.close());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    for refusal in [
        Refusal::Left,
        Refusal::Ending,
        Refusal::Resumed,
        Refusal::NotHeard,
    ] {
        assert!(
            DOCUMENT.contains(&format!("| | {} |", refusal.close())),
            "{refusal:?}"
        );
    }
    for code in ["already-joined", "no-such-member", "not-delivered"] {
        assert!(DOCUMENT.contains(&format!("| `{code}` | |")), "{code}");
    }
}

/// The lines of a block of JSON.
fn examples(block: usize) -> Vec<String> {
    let blocks = DOCUMENT.split("```json\n").skip(1);
    let block = blocks
        .filter_map(|block| block.split("```").next())
        .nth(block)
        .unwrap();
    block.lines().map(str::to_owned).collect()
}

/// The keys of a message, and of a member in it.
fn keys(told: &Value) -> BTreeSet<String> {
    let of = |value: &Value| {
        value
            .as_object()
            .map(|map| map.keys().cloned().collect::<Vec<_>>())
    };
    let member = told.get("member").or_else(|| told["members"].get(0));
    let inner = member.and_then(of).unwrap_or_default();
    of(told).unwrap().into_iter().chain(inner).collect()
}

/// One of each that the server says.
fn heard() -> Vec<Value> {
    let mut world = World::limited(|limits| limits.members = 2);
    let alice = world.join("room");
    let bob = world.connect();
    world.say(bob, json!({"type": "join", "room": "room", "name": "Bob"}));
    let mut heard = world.hear(bob);
    let session = heard[0]["session"].clone();
    for message in [
        json!({"type": "ice"}),
        json!({"type": "ping"}),
        json!({"type": "signal", "to": "m9", "data": 1}),
        json!({"type": "signal", "to": "m2", "data": 1}),
        json!({"type": "text", "text": "x"}),
    ] {
        world.say(alice, message);
    }
    for number in 0..32 {
        world.signal(alice, "m2", json!(number));
    }
    world.break_off(bob);
    let bob_again = world.resume(&session, 1);
    world.say(bob_again, json!({"type": "leave"}));
    let full = world.join("room");
    let third = world.connect();
    world.say(third, json!({"type": "join", "room": "room"}));
    for peer in [alice, bob, bob_again, full, third] {
        heard.extend(world.hear(peer));
    }
    heard
}
