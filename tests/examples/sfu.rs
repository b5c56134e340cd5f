//! `examples/sfu`: members of a room behind NATs, and an SFU that only the relay reaches.

use lab::{
    foreign::built,
    internet::{Internet, on_the_internet_for, server_v4},
    nat::Nat,
    server::Server,
};
use serde_json::{Value, json};

use crate::room::{
    BLUE, FORWARDER, LIFETIME, LIME, RED, Room, assert_relayed, hears, serve, shows,
};

#[test]
fn viewers_behind_nats_see_and_hear_a_publisher_through_the_relay_and_the_sfu() {
    on_the_internet_for(LIFETIME, |internet| {
        let (_server, mut room) = open(internet);
        room.enter("alice", Nat::Symmetric, Some("red"));
        room.enter("bob", Nat::Symmetric, None);
        assert_relayed(&room.wait_until("bob", |sees| sees_one(sees, "alice", RED)));
        // One that comes late, and whose network has no UDP.
        room.enter("carol", Nat::UdpBlocked, None);
        assert_relayed(&room.wait_until("carol", |sees| sees_one(sees, "alice", RED)));
        let alice = room.wait_until("alice", |_| true);
        assert_relayed(&alice);
        assert_eq!(alice["streams"], json!({}), "nobody sends to the publisher");
    });
}

#[test]
fn members_behind_nats_all_see_each_other_through_the_sfu_until_one_is_lost() {
    on_the_internet_for(LIFETIME, |internet| {
        let (_server, mut room) = open(internet);
        let members = [
            ("alice", "red", RED),
            ("bob", "lime", LIME),
            ("carol", "blue", BLUE),
        ];
        for (name, colour, _) in members {
            room.enter(name, Nat::Symmetric, Some(colour));
        }
        for (name, ..) in members {
            let others = members.iter().filter(|(other, ..)| *other != name);
            let sees = room.wait_until(name, |sees| {
                let mut others = others.clone();
                others.all(|(other, _, colour)| sees_one(sees, other, *colour))
            });
            assert_relayed(&sees);
        }
        room.lose("carol");
        room.wait_until("alice", |sees| sees["streams"]["carol"].is_null());
        let before = room.wait_until("alice", |_| true);
        // The others go on.
        room.wait_until("alice", |sees| frames(sees) > frames(&before) + 5);
    });
}

fn frames(sees: &Value) -> u64 {
    let frames = sees["frames"].as_array().into_iter().flatten();
    frames.filter_map(Value::as_u64).sum()
}

/// Whether the moving picture of one member is seen, and somebody heard.
fn sees_one(sees: &Value, member: &str, colour: [u8; 3]) -> bool {
    shows(sees, member, [colour; 4]) && hears(sees)
}

/// Hairpin with the example's own configuration, the SFU, and its empty room.
fn open(internet: &Internet) -> (Server, Room<'_>) {
    let server = serve();
    let program = built("sfu/debug/sfu");
    let program = program.to_str().expect("a path of ASCII");
    let media = format!("{}:7000", server_v4(FORWARDER));
    let room = Room::open(internet, "sfu", program, &["--media", &media]);
    (server, room)
}
