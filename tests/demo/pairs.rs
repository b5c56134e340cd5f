//! Two that call each other: directly where their NATs let them, and through the relay.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lab::{
    browser::Browser,
    internet::{Internet, on_the_internet_for},
    nat::Nat,
};

use crate::{
    LIFETIME, demo,
    member::{FILE, Member},
    origin,
};

#[test]
fn two_in_chromium_call_each_other_directly_and_then_through_the_relay() {
    on_the_internet_for(LIFETIME, |internet| {
        direct_then_relayed(internet, [Browser::Chromium; 2])
    });
}

#[test]
fn two_in_firefox_call_each_other_directly_and_then_through_the_relay() {
    on_the_internet_for(LIFETIME, |internet| {
        direct_then_relayed(internet, [Browser::Firefox; 2])
    });
}

#[test]
fn one_in_chromium_and_one_in_firefox_call_each_other_directly_and_then_through_the_relay() {
    on_the_internet_for(LIFETIME, |internet| {
        direct_then_relayed(internet, [Browser::Chromium, Browser::Firefox]);
    });
}

/// One may send no UDP, the other has a symmetric NAT.
#[test]
fn two_whose_networks_let_nothing_through_between_them_call_each_other_through_the_relay() {
    on_the_internet_for(LIFETIME, |internet| {
        let _server = demo(internet);
        let homes = [
            internet.home(1, Nat::UdpBlocked),
            internet.home(2, Nat::Symmetric),
        ];
        let mut alice = Member::join("Alice", Browser::Chromium, &homes[0]);
        let mut bob = Member::join("Bob", Browser::Firefox, &homes[1]);
        alice.sees(&["Bob"]);
        bob.sees(&["Alice"]);
        alice.goes("through the relay, TCP");
    });
}

/// Without feedback the first packet that is lost ends a picture: Firefox sends none to Chromium once it has rolled back an
/// offer of its own.
#[test]
fn two_that_make_a_new_connection_at_the_same_time_go_on_telling_each_other_of_their_pictures() {
    on_the_internet_for(LIFETIME, |internet| {
        let _server = demo(internet);
        let homes = [1, 2].map(|number| internet.home(number, Nat::PortRestricted));
        let mut alice = Member::join("Alice", Browser::Chromium, &homes[0]);
        let mut bob = Member::join("Bob", Browser::Firefox, &homes[1]);
        alice.sees(&["Bob"]);
        bob.sees(&["Alice"]);
        until_offers_meet([&mut alice, &mut bob], NEW, Member::gave_way);
        until_offers_meet([&mut alice, &mut bob], RESTART, Member::connections);
    });
}

/// Lets both run a script that ends in an offer, at the same time, until Bob has counted three that met.
fn until_offers_meet([alice, bob]: [&mut Member; 2], script: &str, met: fn(&mut Member) -> u64) {
    let before = met(bob);
    for _ in 0..20 {
        let soon = (SystemTime::now() + Duration::from_secs(1)).duration_since(UNIX_EPOCH);
        let soon = soon.expect("after 1970").as_millis();
        alice.run_at(soon, script);
        bob.run_at(soon, script);
        thread::sleep(Duration::from_secs(2));
        alice.sees(&["Bob"]);
        bob.sees(&["Alice"]);
        alice.is_told_of_its_picture();
        bob.is_told_of_its_picture();
        if met(bob) >= before + 3 {
            return;
        }
    }
    panic!("offers met {} times", met(bob) - before);
}

/// Makes a new connection, as both ends do when theirs has died.
const NEW: &str = "document.getElementById('relay').click();";

/// Makes an offer on the connection that both have agreed on.
const RESTART: &str = "window.connections.at(-1).restartIce();";

#[test]
fn camera_and_screen_are_seen_and_others_are_told_what_is_off_or_muted() {
    on_the_internet_for(LIFETIME, |internet| {
        let _server = demo(internet);
        let homes = [1, 2].map(|number| internet.home(number, Nat::PortRestricted));
        let devices = Some(origin());
        let [mut alice, mut bob] = [
            ("Alice", Browser::Chromium, &homes[0]),
            ("Bob", Browser::Firefox, &homes[1]),
        ]
        .map(|(name, browser, home)| Member::at_the_door(name, browser, home, devices.as_deref()));
        for member in [&mut alice, &mut bob] {
            member
                .page()
                .wait_until("document.getElementById('preview').videoWidth > 0");
            member
                .page()
                .wait_until("document.getElementById('media-note').hidden");
            member.enter();
        }
        alice.sees(&["Bob"]);
        bob.sees(&["Alice"]);
        alice.click("#camera");
        alice.click("#mic");
        let label = |what: &str| format!("document.querySelector('[aria-label=\"{what}\"]')");
        bob.page().wait_until(&label("Alice, muted, camera off"));
        alice.click("#camera");
        alice.click("#mic");
        bob.page().wait_until(&label("Alice"));
        alice.click("#screen");
        bob.page().wait_until(&label("Alice, shares the screen"));
        bob.sees(&["Alice"]);
        alice.click("#screen");
        bob.page().wait_until(&label("Alice"));
        bob.sees(&["Alice"]);
    });
}

fn direct_then_relayed(internet: &Internet, browsers: [Browser; 2]) {
    let _server = demo(internet);
    let homes = [1, 2].map(|number| internet.home(number, Nat::PortRestricted));
    let mut alice = Member::join("Alice", browsers[0], &homes[0]);
    let mut bob = Member::join("Bob", browsers[1], &homes[1]);
    alice.sees(&["Bob"]);
    bob.sees(&["Alice"]);
    alice.goes("direct");
    bob.goes("direct");
    alice.say("one");
    alice.say("two");
    bob.has_heard("Alice", &["one", "two"]);
    bob.send_file(FILE);
    alice.accept_file();
    alice.has_file(FILE);

    alice.click("#relay");
    alice.say("three");
    alice.goes("through the relay, UDP");
    alice.sees(&["Bob"]);
    bob.sees(&["Alice"]);
    alice.say("four");
    bob.has_heard("Alice", &["one", "two", "three", "four"]);
}
