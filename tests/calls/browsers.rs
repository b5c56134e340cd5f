//! Calls between a browser and another stack.

use std::time::Duration;

use crate::{
    call::Call,
    net::{Internet, on_the_internet},
    servers::hairpin,
    stack::{
        End,
        Stack::{Aiortc, Chromium, Firefox, NodeDatachannel, Pion, Werift},
    },
};

#[test]
fn chromium_calls_pion() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Chromium.over_udp(), Pion.over_tcp()]);
    });
}

#[test]
fn pion_calls_chromium() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Pion.over_udp(), Chromium.over_tcp()]);
    });
}

#[test]
fn chromium_calls_aiortc() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Chromium.over_tcp(), Aiortc.over_udp()]);
    });
}

#[test]
fn werift_calls_chromium() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Werift.over_tcp(), Chromium.over_udp()]);
    });
}

/// Over TCP Chromium 156 says a tie-breaker of 0 in its connectivity checks, in which libjuice, the
/// ICE agent of node-datachannel, sees no role: it answers 400, and no server can help.
#[test]
fn chromium_calls_node_datachannel() {
    on_the_internet(|internet| {
        let ends = [Chromium.over_udp(), NodeDatachannel.over_udp()];
        a_call_goes_through(internet, ends);
    });
}

#[test]
fn firefox_calls_pion() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Firefox.over_tcp(), Pion.over_udp()]);
    });
}

#[test]
fn aiortc_calls_firefox() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Aiortc.over_tcp(), Firefox.over_udp()]);
    });
}

#[test]
fn node_datachannel_calls_firefox() {
    on_the_internet(|internet| {
        let ends = [NodeDatachannel.over_udp(), Firefox.over_tcp()];
        a_call_goes_through(internet, ends);
    });
}

fn a_call_goes_through(internet: &Internet, ends: [End; 2]) {
    let _server = hairpin(&[1], "");
    let mut call = Call::connect(internet, ends);
    call.goes_on_for(Duration::from_secs(3));
}
