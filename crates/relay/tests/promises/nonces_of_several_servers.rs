//! Servers that share the secret of their nonces, and the effect of a 300 on a client that has
//! signed. RFC 8489 §9.2, §10.

use std::time::Duration;

use relay::{Config, NonceSecret, PortRange, ProcessSecret, Redirect, Sha256, When};
use sim::{Client, Proof, Request, World, minutes};
use wire::SecurityFeatures;
use wire::attributes::{Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm};

use crate::mobility;
use crate::redirects::{TO, alternates, redirect};

/// A client that was challenged just before it was to be sent on.
pub(crate) fn challenged(world: &mut World, user: &str) -> Client {
    let client = world.client(user);
    let refresh = Request::refresh(minutes(10)).unsigned();
    assert_eq!(client.ask(world, refresh).code(), Some(401));
    client
}

/// One of several servers, each a process of its own.
fn node(process: u8, text: Option<&[u8]>, rule: Option<Redirect>) -> World {
    World::with(|config| be_node(config, process, text, rule))
}

fn be_node(config: &mut Config, process: u8, text: Option<&[u8]>, rule: Option<Redirect>) {
    config.secret = ProcessSecret([process; 32]);
    config.nonce_secret = text.map(NonceSecret::shared);
    config.rules_mut().redirects.extend(rule);
}

fn always() -> Option<Redirect> {
    Some(redirect(&TO[..1], When::Always))
}

const SHARED: Option<&[u8]> = Some(b"known to all nodes");

#[test]
fn a_server_takes_the_nonces_of_those_that_share_its_secret() {
    let mut first = node(1, SHARED, always());
    let client = challenged(&mut first, "alice");
    let of_challenge = client.nonce(&mut first);
    let answer = client.ask(&mut first, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    assert!(answer.is_signed());
    assert_eq!(answer.get::<Realm<'_>>().unwrap().0, sim::REALM);
    let of_redirect = answer.get::<Nonce<'_>>().unwrap().0;

    for nonce in [&*of_challenge, of_redirect] {
        let mut second = node(2, SHARED, None);
        // The first client of each world has the same address.
        let client = second.client("alice");
        let request = Request::allocate().nonce(nonce);
        assert!(client.ask(&mut second, request).is_success());

        for stranger in [Some(&b"known to others alone"[..]), None] {
            let mut other = node(2, stranger, None);
            let client = other.client("alice");
            let request = Request::allocate().nonce(nonce);
            assert_eq!(client.ask(&mut other, request).code(), Some(438));
        }
    }
}

#[test]
fn a_redirect_offers_the_algorithms_that_its_nonce_announces() {
    let offering = |process, rule| {
        World::with(|config| {
            be_node(config, process, SHARED, rule);
            config.rules_mut().sha256 = Sha256::Offer;
        })
    };
    let allocate = || Request::allocate().proof(Proof::New(PasswordAlgorithm::SHA256));
    let mut first = offering(1, always());
    let client = challenged(&mut first, "alice");
    let answer = client.ask(&mut first, allocate());
    assert_eq!(answer.code(), Some(300));
    let nonce = answer.get::<Nonce<'_>>().unwrap().0;
    assert!(SecurityFeatures::of(nonce).unwrap().password_algorithms);
    let offered = answer.get::<PasswordAlgorithms<'_>>().unwrap();
    assert_eq!(offered.iter().next(), Some(PasswordAlgorithm::SHA256));

    let mut second = offering(2, None);
    let client = second.client("alice");
    let answer = client.ask(&mut second, allocate().nonce(nonce));
    assert!(answer.is_success());
    // A server that offers nothing does not recognise the start of the nonce.
    let mut old = node(3, SHARED, None);
    let client = old.client("alice");
    let answer = client.ask(&mut old, Request::allocate().nonce(nonce));
    assert_eq!(answer.code(), Some(438));
}

#[test]
fn the_nonce_of_a_redirect_lives_as_long_as_any() {
    let mut first = node(1, SHARED, always());
    let client = challenged(&mut first, "alice");
    let almost = minutes(10) - Duration::from_secs(1);
    first.advance(almost);
    let answer = client.ask(&mut first, Request::allocate());
    let nonce = answer.get::<Nonce<'_>>().unwrap().0;

    let mut second = node(2, SHARED, None);
    second.advance(almost * 2);
    let client = second.client("alice");
    let request = Request::allocate().nonce(nonce);
    assert!(client.ask(&mut second, request).is_success());
}

#[test]
fn without_a_shared_secret_processes_have_nothing_in_common() {
    let [mut first, mut second] = [1, 2].map(|process| node(process, None, None));
    let nonce = first.client("alice").nonce(&mut first);
    let client = second.client("alice");
    let request = Request::allocate().nonce(&nonce);
    assert_eq!(client.ask(&mut second, request).code(), Some(438));
}

#[test]
fn a_ticket_is_good_at_the_process_that_gave_it_only() {
    let mut first = node(1, SHARED, None);
    let home = first.client("alice");
    let ticket = mobility::allocate(home, &mut first);

    let mut second = node(2, SHARED, None);
    let home = second.client("alice");
    let own = mobility::allocate(home, &mut second);
    assert_ne!(ticket, own);
    let away = second.client("alice");
    let answer = away.ask(&mut second, mobility::shown(&ticket));
    assert_eq!(answer.code(), Some(400));
}

#[test]
fn a_challenged_client_is_sent_on_over_a_load_where_the_next_server_takes_its_nonce() {
    let mut world = node(1, SHARED, Some(redirect(&TO[..1], When::Allocations(1))));
    let bob = challenged(&mut world, "bob");
    world.client("alice").allocate(&mut world, minutes(10));
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    assert!(answer.get::<Nonce<'_>>().is_some());
    assert_eq!(world.counters().redirected(), 1);
}

#[test]
fn a_challenged_client_stays_while_there_is_room_where_it_does_not() {
    let mut world = World::with(|config| {
        let rule = redirect(&TO[..1], When::Allocations(1));
        be_node(config, 1, None, Some(rule));
        config.rules_mut().limits.total = Some(2);
    });
    let [bob, carol] = ["bob", "carol"].map(|user| challenged(&mut world, user));
    world.client("alice").allocate(&mut world, minutes(10));
    bob.allocate(&mut world, minutes(10));
    // Some clients follow a 300, and a 508 would lose all of them.
    let answer = carol.ask(&mut world, Request::allocate());
    assert_eq!(answer.code(), Some(300));
    assert!(answer.is_signed());
    assert_eq!(alternates(&answer), [TO[0].parse().unwrap()]);
    assert_eq!(answer.get::<Nonce<'_>>(), None);
    assert_eq!(
        (world.counters().redirected(), world.counters().refused()),
        (1, 0)
    );
}

#[test]
fn a_client_for_whom_no_port_is_left_is_sent_on() {
    let mut world = World::with(|config| {
        let rule = redirect(&TO[..1], When::Allocations(1));
        be_node(config, 1, None, Some(rule));
        config.ports = PortRange::new(50_000, 50_000).unwrap();
    });
    let bob = challenged(&mut world, "bob");
    let alice = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    bob.hears_error(&mut world, 300, Request::allocate());
    alice.delete(&mut world);
    bob.allocate(&mut world, minutes(10));
}

#[test]
fn a_user_over_its_own_quota_is_told_so_and_not_sent_on() {
    let mut world = World::with(|config| {
        let rule = redirect(&TO[..1], When::Allocations(1));
        be_node(config, 1, None, Some(rule));
        config.rules_mut().limits.per_user = Some(1);
    });
    let again = challenged(&mut world, "alice");
    world.client("alice").allocate(&mut world, minutes(10));
    again.hears_error(&mut world, 486, Request::allocate());
}

#[test]
fn a_draining_server_sends_challenged_clients_on_whoever_takes_their_nonce() {
    for text in [SHARED, None] {
        let mut world = node(1, text, Some(redirect(&TO[..1], When::Draining)));
        let bob = challenged(&mut world, "bob");
        world.drain();
        let answer = bob.ask(&mut world, Request::allocate());
        assert_eq!(answer.code(), Some(300));
        assert!(answer.is_signed());
        assert_eq!(answer.get::<Nonce<'_>>().is_some(), text.is_some());
    }
}
