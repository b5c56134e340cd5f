//! Binding: for anyone, without state. RFC 8489 §3, §6.3; RFC 3489 §8.

use relay::DropReason::BadFingerprint;
use relay::{ClientTuple, Transport};
use sim::Outcome::Silent;
use sim::{LISTENER, Request, World, assert_lost, minutes, password};
use wire::attributes::{
    MappedAddress, Software, UnknownAttributes, XorMappedAddress, XorRelayedAddress,
};
use wire::{Attribute, Method, TransactionId};

/// A transaction id of RFC 3489: sixteen bytes, no magic cookie.
const OLD: TransactionId = TransactionId::from_header(*b"sixteen old ones");

#[test]
fn a_stranger_hears_its_reflexive_address() {
    let (mut world, alice) = World::of_alice();
    let answer = alice.ask(&mut world, Request::binding());
    assert!(answer.is_success() && !answer.is_signed());
    let mapped = answer.get::<XorMappedAddress>().unwrap();
    assert_eq!(mapped.0, alice.tuple(&world).client);
    assert_eq!(answer.get::<MappedAddress>(), None);
    assert_eq!(world.counters().bindings, 1);
    assert!(world.is_idle());
}

#[test]
fn an_ipv6_address_is_heard_whole() {
    let mut world = World::new();
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: "[2620:fe::77]:1234".parse().unwrap(),
        server: LISTENER,
    };
    let alice = world.client_at(0, tuple, "alice", &password("alice"));
    let answer = alice.ask(&mut world, Request::binding());
    assert_eq!(answer.get(), Some(XorMappedAddress(tuple.client)));
}

#[test]
fn the_answer_is_no_longer_than_it_must_be() {
    let mut world = World::new();
    let answer = world.client("alice").ask(&mut world, Request::binding());
    // Header and XOR-MAPPED-ADDRESS and nothing else, so a reflection gains little.
    assert_eq!(answer.as_bytes().len(), 20 + 12);
}

#[test]
fn a_client_of_rfc_3489_hears_its_address_unmasked() {
    let (mut world, alice) = World::of_alice();
    let answer = alice.ask(&mut world, Request::binding().in_transaction(OLD));
    assert!(answer.is_success());
    assert_eq!(answer.message().transaction(), OLD);
    let mapped = answer.get::<MappedAddress>().unwrap();
    assert_eq!(mapped.0, alice.tuple(&world).client);
    assert_eq!(answer.get::<XorMappedAddress>(), None);
}

#[test]
fn credentials_are_understood_and_not_needed() {
    let (mut world, alice) = World::of_alice();
    let wrong = Request::new(Method::Binding).as_user("nobody", "nothing");
    let answer = alice.ask(&mut world, wrong);
    assert!(answer.is_success() && !answer.is_signed());
}

#[test]
fn all_unknown_attributes_that_must_be_understood_are_listed() {
    let (mut world, alice) = World::of_alice();
    let request = Request::binding()
        .put_raw(0x7FFF, b"last")
        .put_raw(Software::TYPE, b"a browser")
        .put_raw(0x0003, b"")
        .put_raw(0x8FFF, b"may be ignored");
    let answer = alice.ask(&mut world, request);
    assert_eq!(answer.code(), Some(420));
    let UnknownAttributes(kinds) = answer.get().unwrap();
    assert_eq!(kinds, [0x7FFF, 0x0003]);
    assert_eq!(world.counters().refused(), 1);
}

/// RFC 3489 §11.2.10: its clients know no padding.
#[test]
fn a_client_without_the_cookie_hears_an_even_number_of_unknown_types() {
    let (mut world, alice) = World::of_alice();
    let unknown = [0x7FFF_u16, 0x0002, 0x0005, 0x7FFE];
    for (count, heard) in [
        (1, &[0x7FFF_u16, 0x7FFF][..]),
        (2, &[0x7FFF, 0x0002]),
        (3, &[0x7FFF, 0x0002, 0x0005, 0x0005]),
        (4, &unknown),
    ] {
        let request = || {
            let kinds = unknown[..count].iter();
            kinds.fold(Request::binding(), |it, kind| it.put_raw(*kind, b""))
        };
        let answer = alice.ask(&mut world, request().in_transaction(OLD));
        assert_eq!(answer.code(), Some(420));
        assert_eq!(answer.get(), Some(UnknownAttributes(heard.to_vec())));
        // A client that knows padding is told each type once.
        let answer = alice.ask(&mut world, request());
        let once = unknown[..count].to_vec();
        assert_eq!(answer.get(), Some(UnknownAttributes(once)));
    }
}

#[test]
fn attributes_that_are_known_and_out_of_place_are_ignored() {
    let (mut world, alice) = World::of_alice();
    let binding = Request::binding()
        .put(XorRelayedAddress(LISTENER))
        .lifetime(minutes(10));
    assert!(alice.ask(&mut world, binding).is_success());
    let allocate = Request::allocate().put(XorMappedAddress(LISTENER));
    assert!(alice.ask(&mut world, allocate).is_success());
}

#[test]
fn attributes_that_may_be_ignored_are_ignored() {
    let mut world = World::new();
    let request = Request::binding()
        .put_raw(0xFFFF, b"?")
        .put_raw(0x8000, b"");
    assert!(world.client("alice").ask(&mut world, request).is_success());
}

#[test]
fn a_fingerprint_is_answered_with_a_fingerprint() {
    let (mut world, alice) = World::of_alice();
    let answer = alice.ask(&mut world, Request::binding().fingerprint());
    // The world checks its value.
    assert!(answer.message().has_fingerprint());
    let answer = alice.ask(&mut world, Request::binding());
    assert!(!answer.message().has_fingerprint());
}

#[test]
fn a_wrong_fingerprint_is_met_with_silence() {
    let (mut world, alice) = World::of_alice();
    let mut packet = alice.write(&mut world, &Request::binding().fingerprint());
    *packet.last_mut().unwrap() ^= 1;
    assert_lost(alice.packet(&mut world, &packet), BadFingerprint);
}

#[test]
fn an_indication_is_a_keepalive_and_never_answered() {
    let (mut world, alice) = World::of_alice();
    let keepalive = Request::indication(Method::Binding);
    assert_eq!(alice.tell(&mut world, keepalive), Silent);
    let strange = Request::indication(Method::Binding).put_raw(0x7FFF, b"");
    assert_eq!(alice.tell(&mut world, strange), Silent);
}

#[test]
fn a_server_without_relay_addresses_and_users_still_answers() {
    let mut world = World::with(|config| {
        config.rules_mut().relays.clear();
        config.rules_mut().realms = relay::Keys::new(sim::REALM).into();
    });
    let alice = world.client("alice");
    assert!(alice.ask(&mut world, Request::binding()).is_success());
    alice.hears_error(&mut world, 401, Request::allocate());
}
