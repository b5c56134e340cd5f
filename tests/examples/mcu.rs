//! `examples/mcu`: members of a room behind NATs, and an MCU that only the relay reaches.

use lab::{
    internet::{Internet, on_the_internet_for, server_v4},
    nat::Nat,
    server::Server,
};

use crate::room::{FORWARDER, LIFETIME, LIME, RED, Room, assert_relayed, hears, serve, shows};

#[test]
fn members_behind_nats_see_and_hear_one_picture_and_one_sound_of_all_through_the_mcu() {
    on_the_internet_for(LIFETIME, |internet| {
        let (_server, mut room) = open(internet);
        room.enter("alice", Nat::Symmetric, Some("red"));
        room.wait_until("alice", |sees| shows(sees, "all", [RED; 4]) && hears(sees));
        room.enter("bob", Nat::Symmetric, Some("lime"));
        for name in ["alice", "bob"] {
            // One beside the other.
            let sees = room.wait_until(name, |sees| {
                shows(sees, "all", [RED, LIME, RED, LIME]) && hears(sees)
            });
            assert_relayed(&sees);
            assert_eq!(sees["frames"].as_array().map(Vec::len), Some(1), "{sees:#}");
        }
        room.leave("bob");
        room.wait_until("alice", |sees| shows(sees, "all", [RED; 4]));
    });
}

/// Hairpin with the configuration of the examples, the MCU, and its empty room.
fn open(internet: &Internet) -> (Server, Room<'_>) {
    let server = serve();
    // Debian keeps GStreamer for its own Python.
    let program = "/usr/bin/python3";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mcu/mcu.py");
    let media = server_v4(FORWARDER).to_string();
    let room = Room::open(internet, "mcu", program, &[script, "--media", &media]);
    (server, room)
}
