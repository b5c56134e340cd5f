//! Calls between different stacks, through a server whose relayed addresses cannot be reached from
//! outside.

use std::time::Duration;

use lab::{
    internet::{Internet, on_the_internet},
    servers::hairpin,
};

use crate::{
    call::{Call, close_relay_ports},
    stack::{
        End,
        Stack::{Aioice, Aiortc, Libnice, NodeDatachannel, Pion, Werift},
    },
};

#[test]
fn aiortc_calls_pion_behind_symmetric_nats() {
    on_the_internet(|internet| a_call_goes_through(internet, [Aiortc.over_udp(), Pion.over_udp()]));
}

#[test]
fn pion_calls_aiortc_and_the_firewalls_of_both_refuse_udp() {
    on_the_internet(|internet| a_call_goes_through(internet, [Pion.over_tcp(), Aiortc.over_tcp()]));
}

#[test]
fn werift_calls_node_datachannel() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Werift.over_tcp(), NodeDatachannel.over_udp()]);
    });
}

#[test]
fn node_datachannel_calls_werift() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [NodeDatachannel.over_udp(), Werift.over_udp()]);
    });
}

#[test]
fn node_datachannel_calls_aiortc() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [NodeDatachannel.over_udp(), Aiortc.over_tcp()]);
    });
}

#[test]
fn werift_calls_pion() {
    on_the_internet(|internet| a_call_goes_through(internet, [Werift.over_tcp(), Pion.over_tcp()]));
}

#[test]
fn aiortc_calls_werift() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Aiortc.over_tcp(), Werift.over_udp()]);
    });
}

#[test]
fn libnice_calls_aioice() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Libnice.over_udp(), Aioice.over_udp()]);
    });
}

#[test]
fn aioice_calls_libnice_and_the_firewalls_of_both_refuse_udp() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Aioice.over_tcp(), Libnice.over_tcp()]);
    });
}

/// Both ends receive from each other for three seconds, and hang up.
pub(crate) fn a_call_goes_through(internet: &Internet, ends: [End; 2]) {
    let _server = hairpin(&[1], "");
    close_relay_ports(internet);
    let mut call = Call::connect(internet, ends);
    call.goes_on_for(Duration::from_secs(3));
    call.hang_up();
}
