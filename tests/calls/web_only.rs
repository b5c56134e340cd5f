//! Calls of clients whose firewall lets only TCP to port 443 pass.

use std::time::Duration;

use lab::{
    internet::{Internet, on_the_internet},
    servers::hairpin_on_443,
};

use crate::{
    call::{Call, close_relay_ports},
    stack::{
        End,
        Stack::{Aioice, Aiortc, Chromium, Firefox, Libnice, NodeDatachannel, Pion, Werift},
    },
};

#[test]
fn chromium_calls_pion_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Chromium.over_tls(), Pion.over_tls()])
    });
}

#[test]
fn firefox_calls_chromium_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Firefox.over_tls(), Chromium.over_tls()]);
    });
}

#[test]
fn aiortc_that_may_use_only_port_443_calls_werift() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Aiortc.over_tls(), Werift.over_tcp()])
    });
}

#[test]
fn werift_that_may_use_only_port_443_calls_node_datachannel() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Werift.over_tls(), NodeDatachannel.over_udp()]);
    });
}

/// libnice speaks in the clear to the port of TLS.
#[test]
fn libnice_calls_aioice_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Libnice.over_tls(), Aioice.over_tls()]);
    });
}

/// Both ends receive from each other for three seconds, and hang up.
fn a_call_goes_through(internet: &Internet, ends: [End; 2]) {
    let _server = hairpin_on_443(1, "");
    close_relay_ports(internet);
    let mut call = Call::connect(internet, ends);
    call.goes_on_for(Duration::from_secs(3));
    call.hang_up();
}
