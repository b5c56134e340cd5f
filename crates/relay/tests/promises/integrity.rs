//! Signed attributes count and unsigned ones do not; and answers to clients that have authenticated
//! are signed. RFC 8489 §9.2.4, §14.5; RFC 8656 §5.

use relay::DropReason::NoPermission;
use relay::{AddressFamily, Sha256};
use sim::{Proof, Request, World, assert_lost, minutes, password, seconds};
use wire::attributes::{
    Lifetime, Nonce, PasswordAlgorithm, Realm, RequestedAddressFamily, RequestedTransport,
    UnknownAttributes, Username, XorPeerAddress,
};
use wire::{Algorithm, Attribute, Class, Key, Method, TransactionId, Writer};

const UDP: &[u8] = &[17, 0, 0, 0];

#[test]
fn a_transport_that_nobody_signed_was_not_requested() {
    let (mut world, alice) = World::of_alice();
    let request = Request::new(Method::Allocate).behind_integrity(RequestedTransport::TYPE, UDP);
    assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    assert!(world.is_idle());
}

#[test]
fn a_lifetime_of_zero_that_nobody_signed_deletes_nothing() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    let request = Request::new(Method::Refresh).behind_integrity(Lifetime::TYPE, &[0; 4]);
    let answer = alice.ask(&mut world, request);
    assert_eq!(answer.get(), Some(Lifetime(600)));
    assert_eq!(world.allocations(), 1);
}

#[test]
fn a_peer_that_nobody_signed_gets_no_permission() {
    let mut world = World::new();
    let (alice, signed) = (world.client("alice"), world.peer());
    alice.allocate(&mut world, minutes(10));
    // 203.0.114.9:4000, masked with the magic cookie.
    let unsigned = sim::Peer::at("203.0.114.9:4000");
    let masked = [0, 1, 0x2E, 0xB2, 0xEA, 0x12, 0xD6, 0x4B];
    let request =
        Request::create_permission([signed]).behind_integrity(XorPeerAddress::TYPE, &masked);
    assert!(alice.ask(&mut world, request).is_success());
    alice.relayed(&world);
    alice.reaches(&mut world, signed, b"hi");
    assert_lost(alice.send(&mut world, unsigned, b"hi"), NoPermission);
}

#[test]
fn an_unknown_attribute_that_nobody_signed_is_not_there() {
    let (mut world, alice) = World::of_alice();
    let request = Request::allocate().behind_integrity(0x7FFF, b"?");
    assert!(alice.ask(&mut world, request).is_success());
}

#[test]
fn unknown_attributes_are_refused_once_the_client_is_known() {
    let (mut world, alice) = World::of_alice();
    let strange = || {
        let request = Request::allocate();
        request
            .put_raw(0x7FFE, b"")
            .put_raw(0x0042, b"deep thought")
    };
    alice.hears_error(&mut world, 401, strange().unsigned());
    let answer = alice.ask(&mut world, strange());
    assert_eq!(answer.code(), Some(420));
    assert!(answer.is_signed());
    let UnknownAttributes(kinds) = answer.get().unwrap();
    assert_eq!(kinds, [0x7FFE, 0x0042]);
}

#[test]
fn every_refusal_of_a_known_client_is_signed() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(1));
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let peer = world.peer();
    let denied = sim::Peer::at("127.0.0.1:22");
    let other = world.client("alice");
    alice.allocate(&mut world, minutes(10));
    let v6 = Request::refresh(minutes(10)).family(AddressFamily::V6);
    let dccp = Request::new(Method::Allocate).put(RequestedTransport(33));
    let refusals = [
        (alice, 400, Request::new(Method::CreatePermission)),
        (alice, 400, Request::channel_bind(0x8000, peer)),
        (alice, 403, Request::create_permission([denied])),
        (
            alice,
            420,
            Request::refresh(minutes(10)).put_raw(0x7FFF, b""),
        ),
        (alice, 437, Request::allocate()),
        (bob, 437, Request::refresh(minutes(10))),
        (
            bob,
            440,
            Request::allocate().put(RequestedAddressFamily(Err(7))),
        ),
        (
            alice,
            441,
            Request::refresh(minutes(10)).as_user("bob", &password("bob")),
        ),
        (bob, 442, dccp),
        (alice, 443, v6),
        (other, 486, Request::allocate()),
    ];
    for (client, code, request) in refusals {
        let answer = client.ask(&mut world, request);
        assert_eq!(answer.code(), Some(code));
        assert!(answer.is_signed(), "{code}");
    }
}

#[test]
fn the_first_attribute_of_its_kind_counts() {
    let (mut world, alice) = World::of_alice();
    let twice = Request::allocate()
        .lifetime(seconds(1000))
        .lifetime(seconds(2000));
    let answer = alice.ask(&mut world, twice);
    assert_eq!(answer.get(), Some(Lifetime(1000)));
}

#[test]
fn a_fingerprint_behind_the_integrity_is_answered_with_one() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    // The world checks that each answer has one, and that it is right.
    for request in [
        Request::allocate().unsigned(),
        Request::allocate(),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
        Request::channel_bind(0x8000, peer),
        Request::refresh(seconds(0)),
    ] {
        alice.ask(&mut world, request.fingerprint());
    }
}

/// The server did not offer it: without PASSWORD-ALGORITHMS both sides use SHA-1.
#[test]
fn an_integrity_of_another_algorithm_is_no_integrity() {
    let (mut world, alice) = World::of_alice();
    let nonce = alice.nonce(&mut world);
    let key = Key::md5("alice", sim::REALM, &password("alice"));
    let mut packet = Vec::new();
    let id = TransactionId::new([5; 12]);
    Writer::new(&mut packet, Method::Allocate, Class::Request, id)
        .put(&RequestedTransport::UDP)
        .put(&Username("alice"))
        .put(&Realm(sim::REALM))
        .put(&Nonce(&nonce))
        .sign(&key.schedule(Algorithm::Sha256));
    let answer = alice.packet(&mut world, &packet).answer();
    assert_eq!(answer.code(), Some(401));
}

#[test]
fn no_single_byte_of_a_signed_request_can_change() {
    for proof in [
        Proof::Old,
        Proof::New(PasswordAlgorithm::MD5),
        Proof::New(PasswordAlgorithm::SHA256),
    ] {
        let mut world = World::ruled(|rules| rules.sha256 = Sha256::Offer);
        let alice = world.client("alice");
        alice.allocate(&mut world, minutes(10));
        let request = Request::refresh(seconds(0)).proof(proof);
        let packet = alice.write(&mut world, &request);
        for at in 0..packet.len() {
            let mut forged = packet.clone();
            forged[at] ^= 0x01;
            alice.packet(&mut world, &forged);
            assert_eq!(world.allocations(), 1, "{proof:?}, byte {at}");
        }
        alice.packet(&mut world, &packet);
        assert_eq!(world.allocations(), 0);
    }
}
