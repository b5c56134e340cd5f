//! The result of each answer to each request.

use std::net::SocketAddr;
use std::time::Duration;

use client::{AllocateOptions, Config, DropReason, Event, Failure, Request, Transport};
use wire::attributes::{
    Lifetime, MappedAddress, MobilityTicket, RequestedAddressFamily, RequestedTransport,
    UnknownAttributes, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use wire::{AddressFamily, Attribute, Class, Message, Method, TransactionId, Writer};

use crate::server::{Answer, grant_allocate, key, mapped};
use crate::world::{World, alice, allocate_request, failed, peer, refused};

/// The event after an answer to a Binding, which this function adds to.
fn bound_by(add: impl FnOnce(Answer) -> Answer) -> Event {
    let mut world = World::udp();
    world.client.binding(world.now);
    let request = world.packet();
    world.input(&add(Answer::success(&request)).unsigned());
    world.event()
}

#[test]
fn a_binding_tells_the_reflexive_address_of_either_family() {
    for address in ["192.0.2.7:50000", "[2001:db8::7]:50000"] {
        let mapped: SocketAddr = address.parse().unwrap();
        assert_eq!(
            bound_by(|answer| answer.put(&XorMappedAddress(mapped))),
            Event::Bound { mapped }
        );
    }
}

#[test]
fn a_server_of_rfc_3489_is_understood() {
    let event = bound_by(|answer| {
        answer
            .put(&MappedAddress(mapped()))
            .put_raw(0x0004, &[0, 1, 0x0D, 0x96, 192, 0, 2, 1])
            .put_raw(0x0005, &[0, 1, 0x0D, 0x97, 192, 0, 2, 2])
    });
    assert_eq!(event, Event::Bound { mapped: mapped() });
}

#[test]
fn a_success_without_what_it_must_say_is_a_failure() {
    let failure = Failure::MissingAttribute(0x0001);
    assert_eq!(bound_by(|answer| answer), failed(Request::Binding, failure));
    let Event::Failed { failure, .. } = bound_by(|answer| answer.put_raw(0x0020, &[0; 3])) else {
        panic!("half an address was taken for one");
    };
    assert!(matches!(failure, Failure::Malformed(_)));
}

#[test]
fn a_success_that_demands_more_understanding_is_a_failure() {
    let with_unknown = |kind| {
        bound_by(|answer| {
            answer
                .put(&XorMappedAddress(mapped()))
                .put_raw(kind, b"what")
        })
    };
    assert_eq!(
        with_unknown(0x7ABC),
        failed(Request::Binding, Failure::UnknownAttribute(0x7ABC))
    );
    assert!(matches!(with_unknown(0xFABC), Event::Bound { .. }));
}

#[test]
fn an_allocate_asks_for_what_it_was_told_to() {
    let mut world = World::udp();
    let options = AllocateOptions {
        lifetime: Some(Duration::from_millis(90_900)),
        family: Some(AddressFamily::V6),
        mobile: true,
        ..AllocateOptions::default()
    };
    world.client.allocate(world.now, options);
    let packet = world.packet();
    let message = Message::parse(&packet).unwrap();
    assert_eq!(message.get(), Ok(Some(RequestedTransport::UDP)));
    assert_eq!(message.get(), Ok(Some(Lifetime(90))));
    assert_eq!(message.get(), Ok(Some(MobilityTicket(b""))));
    assert_eq!(
        message.get(),
        Ok(Some(RequestedAddressFamily(Ok(AddressFamily::V6))))
    );
}

#[test]
fn an_error_surfaces_with_its_number_and_words() {
    for code in [300, 403, 420, 437, 440, 441, 442, 443, 486, 500, 508] {
        let mut world = World::udp();
        world.allocate();
        world.client.create_permission(world.now, &[peer(1)]);
        let request = world.packet();
        world.input(&Answer::error(&request, code, "Because").signed(&key()));
        let peers = vec![peer(1)];
        assert_eq!(
            world.event(),
            failed(
                Request::CreatePermission { peers },
                refused(code, "Because")
            )
        );
        assert_eq!(world.client.poll_timeout(), None);
    }
}

#[test]
fn a_refresh_tells_the_lifetime_that_was_granted() {
    let mut world = World::udp();
    world.allocate();
    world.client.refresh(world.now, Duration::from_secs(9999));
    let request = world.packet();
    world.input(
        &Answer::success(&request)
            .put(&Lifetime(3600))
            .signed(&key()),
    );
    let lifetime = Duration::from_secs(3600);
    assert_eq!(world.event(), Event::Refreshed { lifetime });
}

#[test]
fn an_answer_to_nothing_that_was_asked_is_ignored_and_counted() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let request = world.packet();
    let answer = world.server.answer(&request).unwrap();

    let mut other_id = answer.clone();
    other_id[19] ^= 1;
    world.input(&other_id);
    let mut other_method = answer.clone();
    other_method[1] ^= 2;
    world.input(&other_method);
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::NoTransaction), 2);

    world.input(&answer);
    world.event();
    world.input(&answer);
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::NoTransaction), 3);
}

#[test]
fn an_answer_with_a_wrong_fingerprint_is_ignored_and_counted() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let request = world.packet();
    let id = Message::parse(&request).unwrap().transaction();
    let mut answer = Vec::new();
    Writer::new(&mut answer, Method::Binding, Class::Success, id)
        .put(&XorMappedAddress(mapped()))
        .fingerprint();
    let mut broken = answer.clone();
    *broken.last_mut().unwrap() ^= 1;
    world.input(&broken);
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::BadFingerprint), 1);
    world.input(&answer);
    world.event();
}

#[test]
fn an_error_without_a_number_is_ignored_and_counted() {
    let mut world = World::udp();
    world.client.binding(world.now);
    let request = world.packet();
    let id = Message::parse(&request).unwrap().transaction();
    let mut answer = Vec::new();
    Writer::new(&mut answer, Method::Binding, Class::Error, id);
    world.input(&answer);
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::Malformed), 1);
}

#[test]
fn requests_and_strange_indications_are_not_for_clients() {
    let mut world = World::udp();
    for (method, class) in [
        (Method::Binding, Class::Request),
        (Method::Binding, Class::Indication),
        (Method::Send, Class::Indication),
    ] {
        let mut packet = Vec::new();
        Writer::new(&mut packet, method, class, TransactionId::new([1; 12]));
        world.input(&packet);
    }
    assert_eq!(world.client.dropped(DropReason::NotForClients), 3);
    assert_eq!(world.client.poll_transmit(), None);
}

#[test]
fn a_custom_request_meets_the_challenge_and_hands_back_the_answer_as_it_came() {
    let mut world = World::udp();
    world.client.request(world.now, Method::Allocate, |writer| {
        writer.put(&RequestedTransport(6)).put_raw(0x7ABC, b"odd");
    });
    let unsigned = world.packet();
    let challenge = world.server.answer(&unsigned).unwrap();
    world.input(&challenge);
    let signed = world.packet();
    let message = Message::parse(&signed).unwrap();
    assert_eq!(message.verify(&key()), Ok(()));
    assert_eq!(message.get(), Ok(Some(RequestedTransport(6))));

    let answer = Answer::error(&signed, 420, "")
        .put(&UnknownAttributes(vec![0x7ABC]))
        .signed(&key());
    world.input(&answer);
    let Event::Answered {
        method,
        code,
        message,
    } = world.event()
    else {
        panic!("a custom request ends with the answer");
    };
    assert_eq!((method, code), (Method::Allocate, Some(420)));
    assert_eq!(message, answer);
    assert_eq!(
        Message::parse(&message).unwrap().get(),
        Ok(Some(UnknownAttributes(vec![0x7ABC])))
    );
}

#[test]
fn the_success_of_a_custom_request_is_not_interpreted() {
    let mut world = World::new(Config::new(Transport::Udp));
    world.client.request(world.now, Method::Other(0x0F), |_| {});
    let request = world.packet();
    let answer = Answer::success(&request).put_raw(0x0F2A, b"id").unsigned();
    world.input(&answer);
    let expected = Event::Answered {
        method: Method::Other(0x0F),
        code: None,
        message: answer,
    };
    assert_eq!(world.event(), expected);
}

#[test]
fn a_custom_request_without_credentials_hears_the_401() {
    let mut world = World::new(Config::new(Transport::Udp));
    world.client.request(world.now, Method::Refresh, |_| {});
    world.exchange();
    assert!(matches!(
        world.event(),
        Event::Answered {
            code: Some(401),
            ..
        }
    ));
}

#[test]
fn a_custom_request_that_is_never_answered_times_out_like_any_other() {
    let mut world = World::udp();
    world.client.request(world.now, Method::Refresh, |_| {});
    while world.sleep().is_some() {}
    assert_eq!(
        world.event(),
        failed(Request::Custom(Method::Refresh), Failure::Timeout)
    );
}

#[test]
fn with_fingerprints_on_every_message_ends_with_one() {
    let mut config = alice(Transport::Udp);
    config.fingerprint = true;
    let mut world = World::new(config);
    world.allocate();
    world.client.binding(world.now);
    world.client.refresh(world.now, Duration::from_secs(60));
    world.client.send(peer(1), b"data").unwrap();
    for _ in 0..3 {
        let packet = world.client.poll_transmit().unwrap();
        let message = Message::parse(&packet).unwrap();
        assert!(message.has_fingerprint() && message.fingerprint_matches());
    }
}

#[test]
fn ipv6_peers_are_written_anew_for_each_transaction() {
    let v6: SocketAddr = "[2001:db8::5]:9".parse().unwrap();
    let mut world = World::udp();
    world.allocate();
    world.server.nonce = "nonce-2";
    world.client.create_permission(world.now, &[v6, peer(2)]);
    let stale = world.packet();
    let challenge = world.server.answer(&stale).unwrap();
    world.input(&challenge);
    let again = world.packet();
    let message = Message::parse(&again).unwrap();
    let peers: Vec<_> = message
        .get_all::<XorPeerAddress>()
        .map(|peer| peer.unwrap().0)
        .collect();
    assert_eq!(peers, [v6, peer(2)]);
}

#[test]
fn an_allocate_must_be_answered_with_all_three_of_its_attributes() {
    for missing in [
        XorRelayedAddress::TYPE,
        Lifetime::TYPE,
        XorMappedAddress::TYPE,
    ] {
        let mut world = World::new(Config::new(Transport::Udp));
        world.client.allocate(world.now, AllocateOptions::default());
        let request = world.packet();
        world.input(&grant_allocate(&request).without(missing).unsigned());
        assert_eq!(
            world.event(),
            failed(allocate_request(), Failure::MissingAttribute(missing))
        );
    }
}
