//! Calls of browsers: with other stacks, and for ten minutes.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use lab::{
    browser::Browser,
    internet::on_the_internet,
    setup::Setup,
    talks::{End, Plan, Stranger, Talks},
    world::in_own_world_for,
};

use crate::{
    mixed::a_call_goes_through,
    stack::Stack::{Aiortc, Chromium, Firefox, NodeDatachannel, Pion, Werift},
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

/// Over TCP Chromium 156 sends a tie-breaker of 0 in its connectivity checks. libjuice, the ICE
/// agent of node-datachannel, takes that for no role: it answers 400, and no server can help.
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

/// In that time Chromium renews permissions and channels after 240 s and 480 s, and its allocation
/// after 540 s; Firefox its permissions after 290 s and 580 s, and its allocation ten seconds
/// before the end of the lifetime that it was granted. All calls share two browsers and one server,
/// and hardly use the machine.
#[test]
#[ignore = "ten minutes of real time: run by `cargo xtask test`"]
fn calls_of_ten_minutes_in_chromium_in_firefox_and_between_them_go_on() {
    in_own_world_for(LIFETIME, |world| {
        let _server = world.serve(
            // Firefox asks for an hour, and would not renew that within ten minutes.
            Setup::closed()
                .with_tls()
                .with("allocation.max-lifetime = '10m'"),
        );
        let [chromium, firefox] = [Browser::Chromium, Browser::Firefox]
            .map(|browser| ["udp", "tcp", "tls"].map(|transport| End { browser, transport }));
        Talks::begin(Plan {
            calls: &[
                [chromium[0]; 2],
                [chromium[1]; 2],
                [firefox[0]; 2],
                [firefox[1]; 2],
                [chromium[0], firefox[1]],
                [chromium[1], firefox[0]],
                [chromium[2]; 2],
                [firefox[2]; 2],
                [chromium[2], firefox[2]],
            ],
            strangers: &[Stranger {
                at: REFUSED,
                is_first: true,
            }],
            meets_again: false,
            duration: TEN_MINUTES,
        })
        .assert_went_on();
    });
}

/// Longer than the lifetimes that run out in it, so that the silence after one is noticed.
const TEN_MINUTES: Duration = Duration::from_secs(600 + 10);

/// A private address, as most partners have one among their candidates. No host here has it.
const REFUSED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 9, 9), 9999);

const LIFETIME: Duration = Duration::from_secs(720);
