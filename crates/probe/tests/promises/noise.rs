//! Lost packets, answers that come twice or from elsewhere, garbage: none of it misleads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use probe::{Behaviour, Mapping, Outcome, Socket, Transmit};
use wire::attributes::{OtherAddress, XorMappedAddress};
use wire::{Class, Message, Method, Writer};

use crate::script::{PUBLIC, SERVER, address, answer, run};

#[test]
fn each_question_survives_the_loss_of_two_requests_in_three() {
    let mut sent = BTreeMap::new();
    let (findings, _) = run(None, |_, transmit| {
        let times = sent.entry(transmit.payload.clone()).or_insert(0);
        *times += 1;
        if *times < 3 {
            return vec![];
        }
        vec![(transmit.from, transmit.to, answer(transmit, false))]
    });
    assert!(matches!(findings.servers[..], [Outcome::Answered { .. }]));
    assert_eq!(findings.mapping, Ok(ONE_FOR_ALL));
}

#[test]
fn answers_that_come_twice_and_garbage_change_nothing() {
    let (findings, _) = run(None, |_, transmit| {
        let answer = answer(transmit, false);
        let mut cut = answer.clone();
        cut.truncate(24);
        vec![
            (transmit.from, transmit.to, b"\x00garbage".to_vec()),
            (transmit.from, transmit.to, vec![]),
            (transmit.from, transmit.to, cut),
            (transmit.from, transmit.to, answer.clone()),
            (transmit.from, transmit.to, answer),
        ]
    });
    assert_eq!(findings.mapping, Ok(ONE_FOR_ALL));
    assert_eq!(findings.strays, None);
}

#[test]
fn an_answer_from_an_address_that_was_not_asked_is_not_believed_and_told() {
    let elsewhere = address("203.0.113.66:3478");
    let (findings, _) = run(None, |_, transmit| {
        vec![(transmit.from, elsewhere, answer(transmit, false))]
    });
    assert_eq!(findings.servers, [Outcome::Silent]);
    assert_eq!(findings.mapped, None);
    // The one question was sent three times.
    assert_eq!(findings.strays, Some((3, elsewhere)));
}

#[test]
fn somebody_elses_answer_to_nothing_that_was_asked_is_not_even_told() {
    let (findings, _) = run(None, |_, transmit| {
        let mut forged = answer(transmit, false);
        forged[10] ^= 1;
        vec![(transmit.from, transmit.to, forged)]
    });
    assert_eq!(findings.servers, [Outcome::Silent]);
    assert_eq!(findings.strays, None);
}

#[test]
fn a_silent_server_ends_the_discovery_after_its_timeout() {
    let (findings, took) = run(None, |_, _| vec![]);
    assert_eq!(findings.servers, [Outcome::Silent]);
    assert_eq!(took, Duration::from_secs(3));
}

#[test]
fn no_more_than_ten_transactions_begin_in_a_second() {
    let mut begun = BTreeMap::new();
    run(None, |now, transmit| {
        begun.entry(transmit.payload.clone()).or_insert(now);
        vec![(transmit.from, transmit.to, answer(transmit, false))]
    });
    let mut begun: Vec<_> = begun.into_values().collect();
    begun.sort();
    assert!(begun.len() > 10, "{}", begun.len());
    for eleven in begun.windows(11) {
        assert!(eleven[10] - eleven[0] >= Duration::from_secs(1));
    }
}

#[test]
fn a_request_that_comes_back_to_another_socket_shows_hairpinning() {
    let (findings, _) = run(None, |_, transmit| {
        if transmit.to.ip() == address(SERVER).ip() || transmit.to.port() == 3479 {
            return vec![(transmit.from, transmit.to, answer(transmit, false))];
        }
        vec![(
            Socket::Hairpin,
            address("198.51.100.7:50000"),
            transmit.payload.clone(),
        )]
    });
    assert_eq!(findings.hairpinning, Ok(true));
}

#[test]
fn nobody_is_asked_who_cannot_be_a_host_on_the_internet_whatever_the_server_tells() {
    for told in [
        "224.0.0.251:5353",
        "255.255.255.255:7",
        "0.0.0.0:3479",
        "127.0.0.1:631",
        "[::ffff:127.0.0.1]:631",
        "[ff02::fb]:5353",
        "203.0.113.2:0",
    ] {
        let told = address(told);
        let mapped = SocketAddr::new(PUBLIC.parse().unwrap(), 50_000);
        for (mapped, other) in [(mapped, told), (told, address("203.0.113.2:3479"))] {
            let (findings, _) = run(None, |_, transmit| {
                assert_ne!(transmit.to, told);
                vec![(transmit.from, transmit.to, telling(transmit, mapped, other))]
            });
            // A server without another address is an ordinary one; a mapped address that is none
            // is no answer.
            let is_senseless = matches!(findings.servers[..], [Outcome::Senseless]);
            assert_eq!(is_senseless, mapped == told, "{told} {findings:?}");
            assert!(findings.filtering.is_err(), "{told} {findings:?}");
        }
    }
}

/// An answer with these addresses.
fn telling(request: &Transmit, mapped: SocketAddr, other: SocketAddr) -> Vec<u8> {
    let asked = Message::parse(&request.payload).unwrap();
    let mut answer = Vec::new();
    let id = asked.transaction();
    let mut writer = Writer::new(&mut answer, Method::Binding, Class::Success, id);
    writer
        .put(&XorMappedAddress(mapped))
        .put(&OtherAddress(other));
    answer
}

const ONE_FOR_ALL: Mapping = Mapping::Nat(Behaviour::EndpointIndependent);
