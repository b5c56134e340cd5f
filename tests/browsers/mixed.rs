//! Calls between browsers of two makers, each relayed.

use std::time::Duration;

use lab::{
    browser::Browser,
    server::serving,
    setup::Setup,
    talks::{End, Plan, Talks},
    world::in_own_world,
};

#[test]
fn chromium_calls_firefox_relayed_at_both_ends_over_any_transports() {
    serving(Setup::closed().with_tls(), |_, _| {
        calls_go_through();
    });
}

/// Data between two relayed addresses of the same server does not pass the firewall.
#[test]
fn chromium_calls_firefox_though_a_firewall_closes_all_relay_ports() {
    in_own_world(|world| {
        world.filter_server(
            "table inet closed { chain incoming { type filter hook input priority 0; \
             iifname server0 udp dport 49152-65535 drop; }; }",
        );
        let _server = world.serve(Setup::closed().with_tls());
        calls_go_through();
    });
}

fn calls_go_through() {
    let ends = |browser| ["udp", "tcp", "tls"].map(|transport| End { browser, transport });
    let [chromium, firefox] = [Browser::Chromium, Browser::Firefox].map(ends);
    Talks::begin(Plan {
        calls: &[
            [chromium[0], firefox[0]],
            [chromium[0], firefox[1]],
            [chromium[1], firefox[0]],
            [chromium[1], firefox[1]],
            [chromium[0], firefox[2]],
            [chromium[2], firefox[1]],
            [chromium[2], firefox[2]],
        ],
        strangers: &[],
        meets_again: false,
        duration: Duration::from_secs(3),
    })
    .assert_went_on();
}
