//! Calls of ten minutes, in real time: the peers have clocks of their own, which a test cannot
//! change.
//!
//! In ten minutes every timer of a client has run out at least once: of permissions after 300 s, of
//! channels after 600 s, of allocations after 600 s. Each end is also given a private address, as
//! most are, to which the server refuses to relay: a client that asks for all its permissions at
//! once must not lose them all.
//!
//! All these calls run side by side, and hardly use the machine.

use std::{net::Ipv4Addr, time::Duration};

use lab::{
    internet::{Internet, on_the_internet_for},
    sdp::with_candidate,
    servers::hairpin,
    setup::Setup,
    world::in_own_world_for,
};

use crate::{
    call::Call,
    stack::{
        End,
        Stack::{Aiortc, Libnice, NodeDatachannel, Pion, Werift},
    },
    turn_crate,
};

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_aiortc_over_udp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Aiortc.over_udp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_aiortc_over_tcp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Aiortc.over_tcp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_libnice_over_udp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Libnice.over_udp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_libnice_over_tcp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Libnice.over_tcp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_node_datachannel_over_udp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| {
        goes_on(internet, NodeDatachannel.over_udp())
    });
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_pion_over_udp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Pion.over_udp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_pion_over_tcp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Pion.over_tcp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_werift_over_udp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Werift.over_udp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_werift_over_tcp_goes_on() {
    on_the_internet_for(LIFETIME, |internet| goes_on(internet, Werift.over_tcp()));
}

#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn a_call_of_the_turn_crate_goes_on() {
    in_own_world_for(LIFETIME, |world| {
        let _server = world.serve(Setup::default());
        turn_crate::converse_for(TEN_MINUTES, None);
    });
}

fn goes_on(internet: &Internet, end: End) {
    let _server = hairpin(&[1], "");
    let mut call = Call::connect_told(internet, [end; 2], |description| {
        with_candidate(description, REFUSED)
    });
    let silence = call.goes_on_for(TEN_MINUTES);
    println!("the longest silence of {end:?}: {silence:?}");
}

/// A little more than the lifetimes that run out in it.
const TEN_MINUTES: Duration = Duration::from_secs(615);

/// An address that no peer has.
const REFUSED: Ipv4Addr = Ipv4Addr::new(192, 168, 9, 9);

const LIFETIME: Duration = Duration::from_secs(700);
