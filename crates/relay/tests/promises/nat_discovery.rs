//! The addresses that Binding is answered from, for clients that explore their NAT. RFC 5780 §6,
//! RFC 3489 §8.1.

use std::net::SocketAddr;

use relay::DropReason::OverBudget;
use relay::{ClientTuple, HostAddress, NatDiscovery, SecondAddress, Transport};
use sim::Outcome::{Answered, AnsweredAs};
use sim::{Answer, Client, Outcome, Request, World, assert_lost, password};
use wire::attributes::{
    ChangeRequest, ChangedAddress, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    ResponsePort, SourceAddress, UnknownAttributes, XorMappedAddress,
};
use wire::{Attribute, Method, TransactionId};

/// A transaction id of RFC 3489: sixteen bytes, no magic cookie.
const OLD: TransactionId = TransactionId::from_header(*b"sixteen old ones");
const CLIENT: &str = "203.0.113.7:4000";

/// A host with two addresses and two ports in each family; the IPv4 ones stand behind a 1:1 NAT.
fn world() -> World {
    World::with(|config| {
        config.nat_discovery = vec![
            NatDiscovery {
                primary: address("198.41.0.5", "193.0.14.7"),
                alternate: SecondAddress::Here(address("198.41.0.6", "193.0.14.8")),
                ports: [3478, 3479],
                tcp: true,
                tls: true,
            },
            NatDiscovery {
                primary: address("2620:fe::5", "2620:fe::5"),
                alternate: SecondAddress::Here(address("2620:fe::6", "2620:fe::6")),
                ports: [3478, 3480],
                tcp: false,
                tls: false,
            },
        ];
    })
}

fn address(local: &str, external: &str) -> HostAddress {
    HostAddress {
        local: local.parse().unwrap(),
        external: external.parse().unwrap(),
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(world: &mut World, transport: Transport, client: &str, server: &str) -> Client {
    let tuple = ClientTuple {
        transport,
        client: socket(client),
        server: socket(server),
    };
    world.client_at(0, tuple, "alice", &password("alice"))
}

fn udp(world: &mut World, client: &str, server: &str) -> Client {
    at(world, Transport::Udp, client, server)
}

fn change(ip: bool, port: bool) -> Request {
    Request::binding().put(ChangeRequest { ip, port })
}

/// The answer, and the addresses that it travelled between: the server's, the client's.
#[track_caller]
fn travelled(world: &World, client: Client, outcome: Outcome) -> (Answer, String, String) {
    let (via, answer) = if let AnsweredAs(via, answer) = outcome {
        (via, answer)
    } else {
        (client.tuple(world), outcome.answer())
    };
    assert!(answer.is_success(), "{answer:?}");
    (answer, via.server.to_string(), via.client.to_string())
}

/// The addresses in an answer: its own origin, and the other one.
fn said(answer: &Answer) -> (String, String) {
    let ResponseOrigin(origin) = answer.get().unwrap();
    let OtherAddress(other) = answer.get().unwrap();
    (origin.to_string(), other.to_string())
}

#[test]
fn every_corner_answers_from_where_the_flags_of_change_request_say() {
    let mut world = world();
    let local = [
        ["198.41.0.5:3478", "198.41.0.5:3479"],
        ["198.41.0.6:3478", "198.41.0.6:3479"],
    ];
    let external = [
        ["193.0.14.7:3478", "193.0.14.7:3479"],
        ["193.0.14.8:3478", "193.0.14.8:3479"],
    ];
    for (ip, port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let client = udp(&mut world, CLIENT, local[ip][port]);
        for (change_ip, change_port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let request = change(change_ip == 1, change_port == 1);
            let outcome = client.tell(&mut world, request);
            let (answer, from, to) = travelled(&world, client, outcome);
            let (from_ip, from_port) = (ip ^ change_ip, port ^ change_port);
            assert_eq!(from, local[from_ip][from_port]);
            assert_eq!(to, CLIENT);
            // The addresses in answers are those that the world sees. OTHER-ADDRESS is the same
            // whatever the flags.
            let expected = (external[from_ip][from_port], external[1 - ip][1 - port]);
            assert_eq!(
                said(&answer),
                (expected.0.to_owned(), expected.1.to_owned())
            );
        }
    }
}

#[test]
fn ipv6_has_corners_of_its_own() {
    let mut world = world();
    let client = udp(&mut world, "[2620:fe::77]:4000", "[2620:fe::5]:3478");
    let outcome = client.tell(&mut world, change(true, true));
    let (answer, from, _) = travelled(&world, client, outcome);
    assert_eq!(from, "[2620:fe::6]:3480");
    assert_eq!(said(&answer), (from.clone(), from));
}

#[test]
fn a_plain_binding_names_both_addresses_and_the_mapped_one_twice() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let answer = client.ask(&mut world, Request::binding());
    let expected = ("193.0.14.7:3478".to_owned(), "193.0.14.8:3479".to_owned());
    assert_eq!(said(&answer), expected);
    let mapped = socket(CLIENT);
    assert_eq!(answer.get(), Some(XorMappedAddress(mapped)));
    assert_eq!(answer.get(), Some(MappedAddress(mapped)));
    assert_eq!(answer.get::<Padding>(), None);
    assert_eq!(answer.as_bytes().len(), 20 + 4 * 12);
}

#[test]
fn a_client_of_rfc_3489_hears_its_own_words() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let request = change(true, true).in_transaction(OLD);
    let outcome = client.tell(&mut world, request);
    let (answer, from, _) = travelled(&world, client, outcome);
    assert_eq!(from, "198.41.0.6:3479");
    assert_eq!(answer.message().transaction(), OLD);
    let kinds: Vec<u16> = answer.message().attributes().map(|it| it.kind).collect();
    assert_eq!(
        kinds,
        [
            MappedAddress::TYPE,
            SourceAddress::TYPE,
            ChangedAddress::TYPE
        ]
    );
    assert_eq!(answer.get(), Some(MappedAddress(socket(CLIENT))));
    assert_eq!(answer.get(), Some(SourceAddress(socket("193.0.14.8:3479"))));
    assert_eq!(
        answer.get(),
        Some(ChangedAddress(socket("193.0.14.8:3479")))
    );
}

/// RFC 3489's RESPONSE-ADDRESS would send anything anywhere.
#[test]
fn nobody_names_another_address_to_answer_to() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let request = change(true, true)
        .in_transaction(OLD)
        .put_raw(0x0002, b"\0\x01\x0F\xA0\xCB\0\x71\x09");
    let answer = client.ask(&mut world, request);
    assert_eq!(answer.code(), Some(420));
    let UnknownAttributes(kinds) = answer.get().unwrap();
    // One is repeated: see `a_client_without_the_cookie_hears_an_even_number_of_unknown_types`.
    assert_eq!(kinds, [0x0002, 0x0002]);
}

#[test]
fn an_answer_goes_to_the_port_that_response_port_names() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let request = Request::binding().put(ResponsePort(5000));
    let outcome = client.tell(&mut world, request);
    let (answer, from, to) = travelled(&world, client, outcome);
    assert_eq!(
        (from.as_str(), to.as_str()),
        ("198.41.0.5:3478", "203.0.113.7:5000")
    );
    // The mapped address is that of the request.
    assert_eq!(answer.get(), Some(XorMappedAddress(socket(CLIENT))));
    let both = change(true, false).put(ResponsePort(5000));
    let outcome = client.tell(&mut world, both);
    let (_, from, to) = travelled(&world, client, outcome);
    assert_eq!(
        (from.as_str(), to.as_str()),
        ("198.41.0.6:3478", "203.0.113.7:5000")
    );
    let nowhere = Request::binding().put_raw(ResponsePort::TYPE, &[0; 4]);
    assert_eq!(client.ask(&mut world, nowhere).code(), Some(400));
}

#[test]
fn padding_is_answered_with_as_much_and_no_more_than_an_mtu() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    for (asked, heard) in [
        (0, 0),
        (1, 1),
        (600, 600),
        (1500, 1500),
        (1501, 1500),
        (60_000, 1500),
    ] {
        let request = Request::binding().put_raw(Padding::TYPE, &vec![7; asked]);
        let answer = client.ask(&mut world, request);
        let Padding(padding) = answer.get().unwrap();
        assert_eq!(padding.len(), heard);
        assert!(padding.iter().all(|byte| *byte == 0), "nothing is echoed");
    }
    let elsewhere = Request::binding()
        .put_raw(Padding::TYPE, &[0; 8])
        .put(ResponsePort(5000));
    assert_eq!(client.ask(&mut world, elsewhere).code(), Some(400));
    // RFC 5780 forbids only this pair.
    let changed = change(true, true).put_raw(Padding::TYPE, &[0; 8]);
    let outcome = client.tell(&mut world, changed);
    let (answer, ..) = travelled(&world, client, outcome);
    assert_eq!(answer.get::<Padding>().unwrap().0.len(), 8);
}

#[test]
fn without_a_second_address_nothing_of_it_is_known() {
    let mut world = World::new();
    let client = world.client("alice");
    for request in [
        change(true, false),
        change(false, true),
        change(true, true).in_transaction(OLD),
        Request::binding().put_raw(ChangeRequest::TYPE, &[0; 3]),
        Request::binding().put(ResponsePort(5000)),
        Request::binding().put_raw(Padding::TYPE, &[0; 100]),
    ] {
        assert_eq!(client.ask(&mut world, request).code(), Some(420));
    }
    let answer = client.ask(&mut world, Request::binding());
    assert_eq!(answer.get::<OtherAddress>(), None);
    assert_eq!(answer.get::<ResponseOrigin>(), None);
}

/// PJSIP and Debian's `stun` send it in every Binding.
#[test]
fn a_change_request_without_flags_asks_for_nothing() {
    let mut corners = world();
    let mut plain = World::new();
    for world in [&mut corners, &mut plain] {
        for transport in [Transport::Udp, Transport::Tcp] {
            for server in ["198.41.0.5:3478", "198.41.0.7:3478"] {
                let client = at(world, transport, CLIENT, server);
                let answer = client.ask(world, change(false, false));
                assert_eq!(answer.get(), Some(XorMappedAddress(socket(CLIENT))));
                let answer = client.ask(world, change(false, false).in_transaction(OLD));
                assert_eq!(answer.get(), Some(MappedAddress(socket(CLIENT))));
            }
        }
    }
    // Other unknown attributes are still refused.
    let client = plain.client("alice");
    let answer = client.ask(&mut plain, change(false, false).put_raw(0x7FFF, b""));
    assert_eq!(answer.get(), Some(UnknownAttributes(vec![0x7FFF])));
}

#[test]
fn a_listener_beside_the_corners_offers_nothing() {
    let mut world = world();
    for server in ["198.41.0.5:3480", "198.41.0.7:3478", "[2620:fe::5]:3479"] {
        let client = udp(&mut world, "203.0.113.7:4001", server);
        assert_eq!(client.ask(&mut world, change(true, true)).code(), Some(420));
        let answer = client.ask(&mut world, Request::binding());
        assert_eq!(answer.get::<OtherAddress>(), None, "{server}");
    }
}

#[test]
fn over_streams_the_addresses_are_named_and_nothing_is_changed() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = world();
        let client = at(&mut world, transport, CLIENT, "198.41.0.6:3479");
        let answer = client.ask(&mut world, Request::binding());
        let expected = ("193.0.14.8:3479".to_owned(), "193.0.14.7:3478".to_owned());
        assert_eq!(said(&answer), expected);
        for request in [
            change(true, true),
            Request::binding().put(ResponsePort(5000)),
            Request::binding().put_raw(Padding::TYPE, &[0; 100]),
        ] {
            assert_eq!(client.ask(&mut world, request).code(), Some(420));
        }
        // Where streams have no second address, no client is told of one.
        let (from, to) = ("[2620:fe::77]:4000", "[2620:fe::5]:3478");
        let client = at(&mut world, transport, from, to);
        let answer = client.ask(&mut world, Request::binding());
        assert_eq!(answer.get::<OtherAddress>(), None);
    }
}

#[test]
fn over_dtls_no_second_address_is_named() {
    let mut world = world();
    let client = at(&mut world, Transport::Dtls, CLIENT, "198.41.0.6:3479");
    let answer = client.ask(&mut world, Request::binding());
    assert!(answer.is_success());
    assert_eq!(answer.get::<OtherAddress>(), None);
    assert_eq!(client.ask(&mut world, change(true, true)).code(), Some(420));
}

#[test]
fn only_binding_is_answered_from_elsewhere() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    for method in [Method::Allocate, Method::Refresh, Method::CreatePermission] {
        let request = Request::new(method).put(ChangeRequest {
            ip: true,
            port: true,
        });
        let outcome = client.tell(&mut world, request);
        let Answered(answer) = outcome else {
            panic!("{method:?}: {outcome:?}");
        };
        assert_eq!(answer.code(), Some(420));
    }
}

#[test]
fn what_cannot_be_read_is_refused_to_who_asked() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    for (kind, value) in [
        (ChangeRequest::TYPE, &[0, 0, 6][..]),
        (ChangeRequest::TYPE, &[0; 8]),
        (ResponsePort::TYPE, &[1]),
    ] {
        let request = Request::binding().put_raw(kind, value);
        assert_eq!(
            client.ask(&mut world, request).code(),
            Some(400),
            "{kind:#x}"
        );
    }
}

#[test]
fn an_answer_from_elsewhere_is_charged_to_who_hears_it() {
    let mut world = world();
    let victim = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let excess = 20 + 4 * 12 - 28;
    let mut heard = 0;
    for _ in 0..5000 {
        let outcome = victim.tell(&mut world, change(true, true));
        if let AnsweredAs(_, answer) = outcome {
            heard += answer.as_bytes().len() - 28;
        } else {
            assert_lost(outcome, OverBudget);
        }
    }
    // A second's worth is certain, and chance may add one more.
    assert!((16_384..=2 * 16_384 + excess).contains(&heard), "{heard}");
    // Neither another port of the same victim helps, nor padding.
    let to_port = change(true, true).put(ResponsePort(53));
    assert_lost(victim.tell(&mut world, to_port), OverBudget);
    let other = udp(&mut world, "203.0.112.7:4000", "198.41.0.5:3478");
    assert!(matches!(
        other.tell(&mut world, change(true, true)),
        AnsweredAs(..)
    ));
    // An answer that is no longer than its request adds nothing.
    let padded = change(true, true).put_raw(0x8022, &[b' '; 40]);
    assert!(matches!(victim.tell(&mut world, padded), AnsweredAs(..)));
}

#[test]
fn padding_adds_nothing_that_was_not_sent() {
    let mut world = world();
    let client = udp(&mut world, CLIENT, "198.41.0.5:3478");
    let request = Request::binding().put_raw(Padding::TYPE, &[0; 1500]);
    let sent = client.write(&mut world, &request).len();
    let answer = client.ask(&mut world, request);
    assert_eq!(answer.as_bytes().len(), sent + 4 * 12);
}
