//! Guessing: how many failed proofs of identity a network is answered.

use std::num::NonZeroU32;

use relay::keys::{Mint, mint};
use relay::{ClientTuple, DropReason, Reject, Report, Transport};
use sim::Outcome::Lost;
use sim::{Client, LISTENER, Request, World, minutes, password, seconds};

const OVER: DropReason = DropReason::TooManyFailures;

#[test]
fn a_network_is_answered_a_minutes_worth_of_wrong_passwords_and_then_one_a_second() {
    let mut world = World::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let last = if transport == Transport::Udp { 7 } else { 107 };
        let guesser = at(&mut world, transport, [203, 0, last, 7]);
        assert_eq!(answered(&mut world, guesser), 60);
        world.advance(seconds(5));
        assert_eq!(answered(&mut world, guesser), 5);
        // An address more of the same network is no more guesses, and another network has its own.
        let neighbour = at(&mut world, transport, [203, 0, last, 8]);
        assert_eq!(neighbour.tell(&mut world, guess()), Lost(OVER));
        let elsewhere = at(&mut world, transport, [203, 0, last + 1, 7]);
        assert_eq!(elsewhere.ask(&mut world, guess()).code(), Some(401));
    }
    let counters = world.counters();
    assert_eq!(counters.failed - counters.dropped(OVER), 2 * 66);
}

#[test]
fn clients_with_the_right_password_are_served_whatever_their_neighbours_guess() {
    let mut world = World::new();
    let guesser = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    let early = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    early.allocate(&mut world, minutes(10));
    assert_eq!(answered(&mut world, guesser), 60);
    early.refresh(&mut world, minutes(10));
    for transport in [Transport::Udp, Transport::Tcp] {
        at(&mut world, transport, [203, 0, 113, 8]).allocate(&mut world, minutes(10));
    }
    // The guesser too, once it has the right one.
    guesser.allocate(&mut world, minutes(10));
}

#[test]
fn what_proves_nothing_about_a_password_is_not_held_against_a_client() {
    let mut world = World::ruled(|rules| rules.realms.default_keys().add_secret(b"north"));
    let alice = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    let over = mint(
        Mint::Sha1,
        b"north",
        Some("dave"),
        world.now().unix.as_secs() - 1,
    );
    for _ in 0..100 {
        alice.hears_error(&mut world, 438, Request::allocate().nonce("stale"));
        alice.hears_error(&mut world, 401, Request::allocate().unsigned());
        let expired = Request::allocate().as_user(&over.username, &over.password);
        alice.hears_error(&mut world, 401, expired);
    }
    assert_eq!(world.counters().failed, 0);
}

#[test]
fn names_cannot_be_told_apart_by_the_limit() {
    let mut world = World::ruled(|rules| rules.realms.default_keys().add_secret(b"north"));
    let guesser = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    answered(&mut world, guesser);
    let soon = world.now().unix.as_secs() + 60;
    for name in [
        "alice",
        "nobody",
        "alice:tomorrow",
        &format!("{soon}:alice"),
        "1800000000000",
    ] {
        let guess = Request::allocate().as_user(name, "guessed");
        assert_eq!(guesser.tell(&mut world, guess), Lost(OVER), "{name}");
    }
}

#[test]
fn a_limit_of_none_answers_every_guess() {
    let mut world = World::ruled(|rules| rules.failures_per_minute = None);
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    assert_eq!(answered(&mut world, guesser), 1000);
}

#[test]
fn other_rules_bring_another_limit_at_once() {
    let mut world = World::new();
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    answered(&mut world, guesser);
    let mut changed = crate::rules::rules(&["alice"]);
    changed.failures_per_minute = NonZeroU32::new(600);
    world.change_rules(changed);
    world.advance(seconds(1));
    assert_eq!(answered(&mut world, guesser), 10);
}

/// The operator's tools may lock out an address that fails, so nobody may fail in another's name.
#[test]
fn only_a_client_that_has_its_address_is_reported_as_one_that_fails() {
    let mut world = World::new();
    for (transport, nonce, proven) in [
        (Transport::Udp, None, true),
        (Transport::Udp, Some("forged"), false),
        (Transport::Tcp, Some("forged"), true),
    ] {
        let client = at(&mut world, transport, [203, 0, 113, 7]);
        let guess = match nonce {
            Some(nonce) => guess().nonce(nonce),
            None => guess(),
        };
        client.hears_error(&mut world, 401, guess);
        assert!(world.reports().iter().any(|report| matches!(
            report,
            Report::Refused { reject: Reject::BadIntegrity, proven: told, .. } if *told == proven
        )));
    }
}

fn guess() -> Request {
    Request::allocate().as_user("alice", "guessed")
}

/// How many guesses of a client are answered.
fn answered(world: &mut World, client: Client) -> usize {
    let all = (0..1000).map(|_| client.tell(world, guess()));
    all.filter(|outcome| *outcome != Lost(OVER)).count()
}

/// Alice, at another port each time.
fn at(world: &mut World, transport: Transport, ip: [u8; 4]) -> Client {
    let port = 4000 + world.counters().challenges() as u16;
    let tuple = ClientTuple {
        transport,
        client: (ip, port).into(),
        server: LISTENER,
    };
    let client = world.client_at(0, tuple, "alice", &password("alice"));
    client.nonce(world);
    world.reports();
    client
}
