//! Calls between browsers of two makers, each relayed.

use std::time::Duration;

use crate::{
    browser::Browser,
    lab::{server::Setup, world::in_own_world},
    talks::{End, Plan, Talks},
};

#[test]
fn chromium_calls_firefox_relayed_at_both_ends_over_any_transports() {
    in_own_world(|world| {
        let _server = world.serve(Setup {
            allow_peers: false,
            ..Setup::default()
        });
        let ways = [
            ["udp", "udp"],
            ["udp", "tcp"],
            ["tcp", "udp"],
            ["tcp", "tcp"],
        ];
        let calls = ways.map(|[one, other]| {
            [
                End {
                    browser: Browser::Chromium,
                    transport: one,
                },
                End {
                    browser: Browser::Firefox,
                    transport: other,
                },
            ]
        });
        Talks::begin(Plan {
            calls: &calls,
            strangers: &[],
            duration: Duration::from_secs(3),
        })
        .assert_went_on();
    });
}
