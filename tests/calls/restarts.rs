//! A server that restarts forgets its allocations, and nothing that it sends could save their
//! calls. They come back if the application restarts ICE.

use std::time::Duration;

use lab::{
    browser::Browser,
    setup::Setup,
    talks::{End, Plan, Talks},
    world::in_own_world,
};

#[test]
#[ignore = "half a minute of real time: run by `cargo xtask test`"]
fn calls_in_chromium_come_back_after_a_restart_of_the_server_if_the_page_restarts_ice() {
    in_own_world(|world| {
        let server = world.serve(Setup::default());
        let talks = begin(Browser::Chromium, &["udp", "tcp"]);
        drop(server);
        let _server = world.serve(Setup::default());
        talks.assert_came_back();
    });
}

/// Over UDP only: when its TCP connection to the server ends, Firefox ends the call for good.
#[test]
#[ignore = "half a minute of real time: run by `cargo xtask test`"]
fn calls_in_firefox_over_udp_come_back_after_a_restart_of_the_server_if_the_page_restarts_ice() {
    in_own_world(|world| {
        let server = world.serve(Setup::default());
        let talks = begin(Browser::Firefox, &["udp"]);
        drop(server);
        let _server = world.serve(Setup::default());
        talks.assert_came_back();
    });
}

/// Lets a browser call itself over each of these transports.
fn begin(browser: Browser, transports: &[&'static str]) -> Talks {
    let call = |transport: &&'static str| {
        let transport = *transport;
        [End { browser, transport }; 2]
    };
    let calls: Vec<[End; 2]> = transports.iter().map(call).collect();
    Talks::begin(Plan {
        calls: &calls,
        strangers: &[],
        meets_again: true,
        duration: Duration::from_secs(30),
    })
}
