//! The form of the server's messages. RFC 8489 §5, §6, §14; RFC 8656 §5, §18.

use relay::{AddressFamily, Destination, Keys, Limits, Outgoing, Verdict};
use sim::{Answer, Proof, Request, World, minutes, password, seconds};
use wire::attributes::{
    AddressErrorCode, ChannelNumberAttribute, Data, ErrorCode, EvenPort, Lifetime,
    PasswordAlgorithm, RequestedAddressFamily, RequestedTransport, Software, XorPeerAddress,
};
use wire::{Attribute, Message, Method, TransactionId};

/// Requests of every method, each granted.
fn session(peer: sim::Peer) -> [Request; 6] {
    [
        Request::binding(),
        Request::allocate(),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
        Request::refresh(minutes(10)),
        Request::refresh(seconds(0)),
    ]
}

fn reason(answer: &Answer) -> Option<(u16, &str)> {
    let error = answer.get::<ErrorCode<'_>>()?;
    Some((error.code, error.reason))
}

#[test]
fn an_answer_has_method_and_transaction_of_its_request() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    for (at, request) in session(peer).into_iter().enumerate() {
        let id = TransactionId::new([at as u8; 12]);
        let packet = alice.write(&mut world, &request.in_transaction(id));
        let asked = Message::parse(&packet).unwrap().method();
        let answer = alice.packet(&mut world, &packet).answer();
        assert!(answer.is_success());
        assert_eq!(answer.message().transaction(), id);
        assert_eq!(answer.message().method(), asked);
    }
}

#[test]
fn each_data_indication_has_a_transaction_of_its_own() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    let (relay, now) = (world.relay_of(alice), world.now());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let from = relay::PeerAddr(peer.0);
        let verdict = world.server(0).handle_peer(now, relay, from, b"four");
        let Verdict::Relay(Outgoing {
            to: Destination::Client { header, .. },
            contents,
        }) = verdict
        else {
            panic!("{verdict:?}");
        };
        let packet = [&header, contents].concat();
        let message = Message::parse(&packet).unwrap();
        assert_eq!(message.method(), Method::Data);
        assert!(seen.insert(message.transaction().as_bytes().to_vec()));
    }
}

/// 576 bytes without the headers of IPv4 and UDP.
const SMALLEST_MTU: usize = 576 - 20 - 8;

#[test]
fn every_answer_fits_the_smallest_mtu_under_the_longest_plain_realm() {
    let realm = "r".repeat(127);
    let mut world = World::ruled(|rules| {
        rules.sha256 = relay::Sha256::Offer;
        let mut keys = Keys::new(realm);
        keys.add_user("alice", &password("alice")).unwrap();
        rules.realms = keys.into();
    });
    let (alice, bob) = (world.client("alice"), world.client("alice"));
    let peer = world.peer();
    let mut answers = vec![
        alice.ask(&mut world, Request::allocate().unsigned().fingerprint()),
        bob.ask(&mut world, Request::allocate().reserve_next().fingerprint()),
    ];
    let dual = Request::allocate().dual();
    for request in [dual].into_iter().chain(session(peer)) {
        let signed = request.proof(Proof::New(PasswordAlgorithm::SHA256));
        answers.push(alice.ask(&mut world, signed.fingerprint()));
    }
    for answer in answers {
        assert!(answer.as_bytes().len() <= SMALLEST_MTU, "{answer:?}");
    }
}

#[test]
fn attributes_of_other_requests_are_ignored() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    for request in session(peer).into_iter().skip(1) {
        // The first of each kind counts, so these do not replace attributes of the request.
        let request = request
            .put(RequestedTransport::UDP)
            .put(ChannelNumberAttribute(0x4001))
            .put(XorPeerAddress(peer.0))
            .put(Lifetime(600))
            .put_raw(Data::TYPE, b"data");
        assert!(alice.ask(&mut world, request).is_success());
    }
    assert!(world.is_idle());
}

#[test]
fn reserved_bits_are_ignored() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let allocate = Request::new(Method::Allocate)
        .put_raw(RequestedTransport::TYPE, &[17, 0xFF, 0xFF, 0xFF])
        .put_raw(RequestedAddressFamily::TYPE, &[1, 0xFF, 0xFF, 0xFF])
        .put_raw(EvenPort::TYPE, &[0x7F]);
    let answer = alice.ask(&mut world, allocate);
    assert!(answer.is_success());
    assert_eq!(answer.get::<wire::attributes::ReservationToken>(), None);
    let bind = Request::new(Method::ChannelBind)
        .put_raw(ChannelNumberAttribute::TYPE, &[0x40, 0x00, 0xFF, 0xFF])
        .peer(peer);
    assert!(alice.ask(&mut world, bind).is_success());
}

#[test]
fn reserved_bits_are_written_as_zero() {
    let mut world = World::with(|config| config.rules_mut().relays.truncate(1));
    let alice = world.client("alice");
    let answer = alice.ask(&mut world, Request::allocate().dual());
    let message = answer.message();
    let value = |kind| message.attributes().find(|found| found.kind == kind);
    let refused = value(AddressErrorCode::TYPE).unwrap().value;
    assert_eq!(refused[..4], [AddressFamily::V6.code(), 0, 4, 40]);
    let mapped = value(wire::attributes::XorMappedAddress::TYPE).unwrap();
    assert_eq!(mapped.value[..2], [0, 1]);

    let answer = alice.ask(&mut world, Request::allocate());
    let message = answer.message();
    let error = message.attributes().next().unwrap();
    assert_eq!(error.kind, ErrorCode::TYPE);
    assert_eq!(error.value[..4], [0, 0, 4, 37]);
}

#[test]
fn a_known_client_hears_the_reason_in_words() {
    let mut world = World::ruled(|rules| {
        rules.limits = Limits {
            per_user: Some(1),
            ..Limits::default()
        }
    });
    let (alice, bob, other) = (
        world.client("alice"),
        world.client("bob"),
        world.client("alice"),
    );
    alice.allocate(&mut world, minutes(10));
    let denied = sim::Peer::at("127.0.0.1:22");
    let dccp = Request::new(Method::Allocate).put(RequestedTransport(33));
    let unknown = RequestedAddressFamily(Err(7));
    let v6 = Request::create_permission([world.peer_v6()]);
    for (client, request, code, words) in [
        (
            alice,
            Request::new(Method::CreatePermission),
            400,
            "Bad Request",
        ),
        (
            alice,
            Request::create_permission([denied]),
            403,
            "Forbidden",
        ),
        (
            alice,
            Request::refresh(minutes(1)).put_raw(0x7FFF, b""),
            420,
            "Unknown Attribute",
        ),
        (alice, Request::allocate(), 437, "Allocation Mismatch"),
        (
            bob,
            Request::allocate().put(unknown),
            440,
            "Address Family not Supported",
        ),
        (
            alice,
            Request::refresh(minutes(1)).as_user("bob", &password("bob")),
            441,
            "Wrong Credentials",
        ),
        (bob, dccp, 442, "Unsupported Transport Protocol"),
        (alice, v6, 443, "Peer Address Family Mismatch"),
        (other, Request::allocate(), 486, "Allocation Quota Reached"),
    ] {
        let answer = client.ask(&mut world, request);
        assert_eq!(reason(&answer), Some((code, words)));
    }
    world.drain();
    let answer = bob.ask(&mut world, Request::allocate());
    assert_eq!(reason(&answer), Some((508, "Insufficient Capacity")));
}

#[test]
fn who_has_authenticated_hears_software_and_strangers_do_not() {
    let mut world = World::new();
    let (alice, mallory) = (
        world.client("alice"),
        world.client_with("mallory", "guessed"),
    );
    for request in [
        Request::allocate(),
        Request::allocate(),
        Request::refresh(minutes(10)),
        Request::refresh(minutes(10)).family(AddressFamily::V6),
    ] {
        let answer = alice.ask(&mut world, request);
        assert_eq!(answer.get(), Some(Software("Hairpin")));
    }
    for request in [Request::binding(), Request::allocate()] {
        let answer = mallory.ask(&mut world, request);
        assert_eq!(answer.get::<Software<'_>>(), None);
    }
}
