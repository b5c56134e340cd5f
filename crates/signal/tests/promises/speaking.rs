use serde_json::json;

use crate::world::{World, text};

#[test]
fn data_reaches_the_member_that_is_meant_and_nobody_else() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.join("room");
    world.hear(alice);
    world.hear(bob);
    world.signal(alice, "m2", json!({"candidate": null}));
    assert_eq!(
        world.hear_one(bob),
        json!({"type": "signal", "seq": 3, "received": 0, "from": "m1", "data": {"candidate": null}})
    );
    assert!(world.hear(alice).is_empty() && world.hear(carol).is_empty());
}

#[test]
fn a_text_without_a_member_is_for_all_others() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.join("room");
    world.hear(alice);
    world.hear(bob);
    world.say(carol, json!({"type": "text", "text": "a \"b\" \u{1}"}));
    for peer in [alice, bob] {
        let told = world.hear_one(peer);
        assert_eq!(
            (text(&told["text"]), &told["all"]),
            ("a \"b\" \u{1}".into(), &json!(true))
        );
        assert_eq!(told["from"], "m3");
    }
    assert!(world.hear(carol).is_empty());
    world.say(carol, json!({"type": "text", "to": "m1", "text": "x"}));
    assert_eq!(world.hear_one(alice)["all"], false);
    assert!(world.hear(bob).is_empty());
}

#[test]
fn nobody_reaches_a_member_of_another_room() {
    let mut world = World::new();
    let alice = world.join("a");
    let (bob, carol) = world.pair();
    for to in [
        "m2",
        "a/m1",
        "a",
        "M1",
        "m01",
        "m+1",
        "m1 ",
        "",
        "m4294967297",
    ] {
        world.signal(alice, to, json!(1));
        world.say(alice, json!({"type": "text", "to": to, "text": "x"}));
        let errors = world.hear(alice);
        assert!(
            errors.iter().all(|error| error["code"] == "no-such-member"),
            "{to}: {errors:?}"
        );
        assert_eq!(errors.len(), 2);
        assert_eq!(errors[0]["to"], to);
    }
    world.say(alice, json!({"type": "text", "text": "to all"}));
    assert!(world.hear(bob).is_empty() && world.hear(carol).is_empty());
}

#[test]
fn a_member_is_not_another_member_to_itself() {
    let mut world = World::new();
    let (alice, _bob) = world.pair();
    world.signal(alice, "m1", json!(1));
    assert_eq!(world.hear_one(alice)["code"], "no-such-member");
}

#[test]
fn an_id_that_nobody_has_is_said_back_in_part() {
    let mut world = World::new();
    let (alice, _bob) = world.pair();
    world.signal(alice, &"ü".repeat(10_000), json!(1));
    assert_eq!(world.hear_one(alice)["to"], "ü".repeat(16));
}

#[test]
fn a_fresh_credential_is_of_the_same_user() {
    let mut world = World::new();
    let peer = world.connect();
    world.say(peer, json!({"type": "join", "room": "a"}));
    let first = world.hear_one(peer)["iceServers"][0].clone();
    world.say(peer, json!({"type": "ice"}));
    let ice = world.hear_one(peer);
    assert_eq!(
        (text(&ice["type"]), &ice["received"]),
        ("ice".into(), &json!(1))
    );
    assert_eq!(ice["iceServers"][0]["username"], first["username"]);
    assert_ne!(ice["iceServers"][0]["credential"], first["credential"]);
}

#[test]
fn a_pong_and_an_ack_count_as_nothing() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.say(alice, json!({"type": "ping", "ack": 2}));
    assert_eq!(
        world.hear_one(alice),
        json!({"type": "pong", "received": 0})
    );
    world.say(alice, json!({"type": "ack", "ack": 2}));
    assert!(world.hear(alice).is_empty());
    world.signal(bob, "m1", json!(1));
    assert_eq!(world.hear_one(alice)["seq"], 3);
}

#[test]
fn a_client_that_hears_nothing_else_is_told_what_was_received_after_32_messages() {
    let mut world = World::new();
    let (alice, _bob) = world.pair();
    for number in 0..64 {
        world.signal(alice, "m2", json!(number));
    }
    assert_eq!(
        world.hear(alice),
        [
            json!({"type": "ack", "received": 32}),
            json!({"type": "ack", "received": 64})
        ]
    );
}

#[test]
fn a_bad_message_ends_the_membership() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.say(alice, json!({"type": "signal", "to": "m2"}));
    assert_eq!(world.fate(alice), (Some("bad-message".into()), Some(1008)));
    assert_eq!(world.hear_one(bob)["cause"], "ended");
    // Nothing is taken of it any more.
    world.signal(alice, "m2", json!(1));
    assert!(world.hear(bob).is_empty());
}
