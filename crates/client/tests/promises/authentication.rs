//! RFC 8489 §9.2.5: how a client handles 401, 438 and answers that prove nothing.

use std::time::Duration;

use client::{AllocateOptions, Config, DropReason, Event, Failure, Request, Transport};
use wire::attributes::{AlternateServer, Nonce, Realm, Username};
use wire::{Message, Method};

use crate::server::{Answer, PASSWORD, REALM, Server, grant_allocate, key, key_for};
use crate::world::{World, alice, allocate_request, allocated, failed, refused};

fn minute() -> Duration {
    Duration::from_secs(60)
}

/// A world whose client has sent a signed Allocate, and that Allocate.
fn signed_allocate(transport: Transport) -> (World, Vec<u8>) {
    let mut world = World::new(alice(transport));
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    world.input(&Answer::challenge(&unsigned, 401, REALM, "nonce-1"));
    let signed = world.packet();
    (world, signed)
}

#[test]
fn a_client_is_told_that_it_is_sent_on_before_or_after_it_has_signed() {
    let other = AlternateServer("203.0.113.9:3478".parse().unwrap());
    let sent_on = failed(allocate_request(), refused(300, ""));
    let mut world = World::udp();
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    world.input(&Answer::error(&unsigned, 300, "").put(&other).unsigned());
    assert_eq!(world.event(), sent_on);

    // An attacker between could also send a client anywhere that has signed.
    let (mut world, signed) = signed_allocate(Transport::Udp);
    world.input(&Answer::error(&signed, 300, "").put(&other).unsigned());
    assert_eq!(world.client.poll_event(), None);
    let answer = Answer::error(&signed, 300, "").put(&other);
    let answer = answer.put(&Realm(REALM)).put(&Nonce("nonce-2"));
    world.input(&answer.signed(&key()));
    assert_eq!(world.event(), sent_on);
}

#[test]
fn the_first_request_names_nobody_and_the_one_after_a_401_proves_who_asks() {
    let mut world = World::udp();
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    let message = Message::parse(&unsigned).unwrap();
    assert!(!message.is_signed());
    assert_eq!(message.get::<Username<'_>>(), Ok(None));

    world.input(&Answer::challenge(&unsigned, 401, REALM, "nonce-1"));
    assert_eq!(world.client.poll_event(), None);
    let signed = world.packet();
    let again = Message::parse(&signed).unwrap();
    assert_ne!(again.transaction(), message.transaction());
    assert_eq!(again.method(), Method::Allocate);
    assert_eq!(again.get(), Ok(Some(Username("alice"))));
    assert_eq!(again.get(), Ok(Some(Realm(REALM))));
    assert_eq!(again.get(), Ok(Some(Nonce("nonce-1"))));
    assert_eq!(again.verify(&key()), Ok(()));

    world.input(&grant_allocate(&signed).signed(&key()));
    assert_eq!(world.event(), allocated());
}

#[test]
fn later_requests_are_signed_from_the_start_but_a_binding_is_for_everyone() {
    let mut world = World::udp();
    world.allocate();
    world.client.refresh(world.now, minute());
    assert!(Message::parse(&world.packet()).unwrap().is_signed());
    world.client.binding(world.now);
    assert!(!Message::parse(&world.packet()).unwrap().is_signed());
}

#[test]
fn a_server_that_wants_bindings_signed_gets_them_signed() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let unsigned = world.packet();
    world.input(&Answer::challenge(&unsigned, 401, REALM, "nonce-1"));
    assert_eq!(
        Message::parse(&world.packet()).unwrap().verify(&key()),
        Ok(())
    );
}

#[test]
fn without_credentials_a_401_is_the_outcome() {
    let mut world = World::new(Config::new(Transport::Udp));
    world.client.allocate(world.now, AllocateOptions::default());
    world.exchange();
    assert_eq!(world.event(), failed(allocate_request(), refused(401, "")));
}

#[test]
fn a_second_401_is_the_outcome() {
    let (mut world, signed) = signed_allocate(Transport::Udp);
    world.input(&Answer::challenge(&signed, 401, REALM, "nonce-2"));
    assert_eq!(world.event(), failed(allocate_request(), refused(401, "")));
    assert_eq!(world.client.poll_transmit(), None);
}

#[test]
fn a_401_that_names_no_realm_or_no_nonce_is_the_outcome() {
    let strip: [fn(&[u8]) -> Answer; 2] = [
        |request| Answer::error(request, 401, "").put(&Realm(REALM)),
        |request| Answer::error(request, 401, "").put(&Nonce("nonce-1")),
    ];
    for answer in strip {
        let mut world = World::udp();
        world.client.allocate(world.now, AllocateOptions::default());
        let request = world.packet();
        world.input(&answer(&request).unsigned());
        assert_eq!(world.event(), failed(allocate_request(), refused(401, "")));
    }
}

#[test]
fn a_401_of_another_realm_is_met_with_the_key_for_that_realm() {
    let mut world = World::udp();
    world.allocate();
    world.server.realm = "moved.example.org";
    world.client.refresh(world.now, minute());
    let first = world.packet();
    world.input(&Answer::challenge(&first, 401, "moved.example.org", "n"));
    let again = world.packet();
    let moved = key_for("moved.example.org", PASSWORD);
    assert_eq!(Message::parse(&again).unwrap().verify(&moved), Ok(()));
}

#[test]
fn a_438_is_met_once_with_the_new_nonce() {
    let mut world = World::udp();
    world.allocate();
    world.server = Server::new();
    world.server.nonce = "nonce-2";
    world.client.refresh(world.now, minute());
    world.exchange();
    assert_eq!(world.event(), Event::Refreshed { lifetime: minute() });
    assert_eq!(world.server.asked, [Method::Refresh; 2]);

    // The new nonce serves the next request at once.
    world.client.refresh(world.now, minute());
    world.exchange();
    world.event();
    assert_eq!(world.server.asked, [Method::Refresh; 3]);
}

#[test]
fn a_second_438_is_the_outcome() {
    let mut world = World::udp();
    world.allocate();
    world.client.refresh(world.now, minute());
    for nonce in ["nonce-2", "nonce-3"] {
        let request = world.packet();
        world.input(&Answer::challenge(&request, 438, REALM, nonce));
    }
    let lifetime = minute();
    assert_eq!(
        world.event(),
        failed(Request::Refresh { lifetime }, refused(438, ""))
    );
}

#[test]
fn a_401_and_then_a_438_are_both_met() {
    let (mut world, signed) = signed_allocate(Transport::Udp);
    world.input(&Answer::challenge(&signed, 438, REALM, "nonce-2"));
    let again = world.packet();
    assert_eq!(
        Message::parse(&again).unwrap().get(),
        Ok(Some(Nonce("nonce-2")))
    );
    world.input(&grant_allocate(&again).signed(&key()));
    assert_eq!(world.event(), allocated());
}

#[test]
fn an_answer_with_the_wrong_integrity_or_none_is_ignored_and_counted() {
    let (mut world, signed) = signed_allocate(Transport::Udp);
    world.input(&grant_allocate(&signed).signed(&key_for(REALM, "guessed")));
    world.input(&grant_allocate(&signed).unsigned());
    world.input(&Answer::error(&signed, 486, "").unsigned());
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::BadIntegrity), 3);

    world.input(&grant_allocate(&signed).signed(&key()));
    assert_eq!(world.event(), allocated());
}

#[test]
fn when_only_forged_answers_came_the_outcome_says_so() {
    let (mut world, signed) = signed_allocate(Transport::Udp);
    world.input(&grant_allocate(&signed).unsigned());
    while world.sleep().is_some() {}
    assert_eq!(
        world.event(),
        failed(allocate_request(), Failure::BadIntegrity)
    );
}

#[test]
fn on_a_stream_a_forged_answer_is_the_outcome_at_once() {
    let (mut world, signed) = signed_allocate(Transport::Tcp);
    world.input(&grant_allocate(&signed).unsigned());
    assert_eq!(
        world.event(),
        failed(allocate_request(), Failure::BadIntegrity)
    );
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_400_to_a_signed_request_counts_only_if_it_is_signed() {
    let (mut world, signed) = signed_allocate(Transport::Udp);
    let refusal = || Answer::error(&signed, 400, "Bad Request");
    world.input(&refusal().unsigned());
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::BadIntegrity), 1);
    world.input(&refusal().signed(&key()));
    assert_eq!(
        world.event(),
        failed(allocate_request(), refused(400, "Bad Request"))
    );
}

#[test]
fn a_password_is_prepared_before_it_becomes_a_key() {
    let mut config = Config::new(Transport::Udp);
    let spelled = client::Credentials::new("alice", "pa\u{301}ss\u{a0}word").unwrap();
    config.credentials = Some(spelled);
    let mut world = World::new(config);
    world.client.allocate(world.now, AllocateOptions::default());
    let unsigned = world.packet();
    world.input(&Answer::challenge(&unsigned, 401, REALM, "nonce-1"));
    let prepared = key_for(REALM, "p\u{e1}ss word");
    assert_eq!(
        Message::parse(&world.packet()).unwrap().verify(&prepared),
        Ok(())
    );
}
