//! Stacks that follow a redirect. Those of pion, webrtc-rs, aioice and werift do not, and get no
//! relayed address.

use std::time::Duration;

use lab::{
    internet::{Internet, on_the_internet, server_v4},
    servers::hairpin,
};

use crate::{
    call::Call,
    stack::{
        End,
        Stack::{Libnice, NodeDatachannel},
    },
};

#[test]
fn libnice_follows_a_redirect_over_udp() {
    on_the_internet(|internet| both_follow(internet, Libnice.over_udp()));
}

#[test]
fn libnice_follows_a_redirect_over_tcp() {
    on_the_internet(|internet| both_follow(internet, Libnice.over_tcp()));
}

#[test]
fn node_datachannel_follows_a_redirect() {
    on_the_internet(|internet| both_follow(internet, NodeDatachannel.over_udp()));
}

/// Both ends ask the first server and are relayed by the second.
fn both_follow(internet: &Internet, end: End) {
    let second = server_v4(2);
    let to_second = format!("[[redirect]]\nto = [\"{second}:3478\"]\nwhen = \"always\"\n");
    let _servers = [hairpin(&[1], &to_second), hairpin(&[2], "")];
    let mut call = Call::connect(internet, [end; 2]);
    assert_eq!(call.relayed.map(|relayed| *relayed.ip()), [second; 2]);
    call.goes_on_for(Duration::from_secs(2));
}
