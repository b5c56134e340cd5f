//! DTLS clients against a server that runs, on loopback.

mod client;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use relay::Transport;
use rustls::pki_types::PrivateKeyDer;

use super::hello::{self, ClientHello};
use crate::tests::{BINDING, LOCAL, config};
use crate::{
    Certificate, Certificates, NetCounters, Options, Running, StreamLimits, TlsOptions, TlsVersion,
    Transports, start,
};
use client::{Client, Heard, PATIENCE};

fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Certificate {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["turn.example".to_owned()]).unwrap();
    let made = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Certificate::new(vec![], vec![made.der().clone()], key).unwrap()
}

struct Server {
    running: Running,
    address: SocketAddr,
    certificates: Certificates,
}

impl Server {
    fn new() -> Self {
        Self::with(
            Transports::Datagrams,
            true,
            StreamLimits::default(),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
    }

    fn with(
        transports: Transports,
        dtls: bool,
        streams: StreamLimits,
        key: &'static rcgen::SignatureAlgorithm,
    ) -> Self {
        let certificates = Certificates::new(vec![certificate(key)]);
        let running = start(Options {
            streams,
            tls: Some(TlsOptions {
                certificates: certificates.clone(),
                minimum: TlsVersion::V1_2,
                dtls,
                tickets: rustls::crypto::ring::Ticketer::new().unwrap(),
                tell: std::sync::Arc::new(|_| ()),
            }),
            ..Options::new([(transports, (LOCAL, 0).into())], config(vec![]))
        })
        .unwrap();
        let (_, address) = running.listeners()[0];
        Self {
            running,
            address,
            certificates,
        }
    }

    fn counters(&self) -> NetCounters {
        self.running.snapshot().1
    }

    /// Waits until the counters are so.
    fn until(&self, are_so: impl Fn(&NetCounters) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !are_so(&self.counters()) {
            assert!(Instant::now() < end, "{:?}", self.counters());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A server, and a client whose handshake is done.
fn connected() -> (Server, Client) {
    let server = Server::new();
    let mut client = Client::new(server.address);
    client.connect();
    (server, client)
}

#[track_caller]
fn assert_answered(client: &mut Client) {
    client.send(BINDING);
    assert!(matches!(client.hear(), Heard::Data(_)));
}

/// Nothing comes to a client for what was sent until now: the server is done with it when it answers another one.
#[track_caller]
fn assert_silence(server: &Server, client: &mut Client) {
    let other = Client::new(server.address);
    other.raw(BINDING);
    other.hear_raw().unwrap();
    let heard = client.hear_within(Duration::from_millis(200));
    assert!(matches!(heard, Heard::Nothing));
}

/// A hello of a client that has sent none before.
fn first_hello(client: &mut Client) -> Vec<u8> {
    client.start();
    client.take_flight().remove(0)
}

#[test]
fn a_client_over_dtls_is_answered_over_dtls() {
    let (server, mut client) = connected();
    client.send(BINDING);
    let Heard::Data(answer) = client.hear() else {
        panic!("no answer");
    };
    assert_eq!(answer[..2], [1, 1]);
    server.until(|counters| counters.dtls_sessions == 1 && counters.dtls_cookies == 1);
}

#[test]
fn plain_datagrams_of_the_same_addresses_stay_plain() {
    let (_server, mut client) = connected();
    for _ in 0..3 {
        client.raw(BINDING);
        let answer = client.hear_raw().unwrap();
        assert_eq!(answer[..2], [1, 1]);
        assert_answered(&mut client);
    }
}

#[test]
fn a_listener_without_dtls_drops_records_and_counts_them() {
    let limits = StreamLimits::default();
    for (transports, dtls) in [
        (Transports::Datagrams, false),
        (Transport::Udp.into(), true),
    ] {
        let server = Server::with(transports, dtls, limits, &rcgen::PKCS_ECDSA_P256_SHA256);
        let mut client = Client::new(server.address);
        let hello = first_hello(&mut client);
        client.raw(&hello);
        server.until(|counters| counters.dtls_dropped == 1);
        client.raw(BINDING);
        // The first answer is that to the plain request.
        assert_eq!(client.hear_raw().unwrap()[..2], [1, 1]);
        assert_eq!(server.counters().dtls_cookies, 0);
    }
}

#[test]
fn a_listener_for_dtls_alone_takes_nothing_else() {
    let server = Server::with(
        Transport::Dtls.into(),
        false,
        StreamLimits::default(),
        &rcgen::PKCS_ECDSA_P384_SHA384,
    );
    let mut client = Client::new(server.address);
    client.raw(BINDING);
    server.until(|counters| counters.dtls_dropped == 1);
    client.connect();
    assert_answered(&mut client);
}

#[test]
fn hellos_without_a_good_cookie_are_answered_by_less_and_leave_nothing() {
    let server = Server::new();
    for _ in 0..200 {
        let mut client = Client::new(server.address);
        let hello = first_hello(&mut client);
        client.raw(&hello);
        let answer = client.hear_raw().unwrap();
        assert!(answer.len() < hello.len());
        // A cookie of its own making, and no more.
        let mut forged = hello::bare(&[7; 32], 1).to_vec();
        forged[25 + 35] = 0;
        client.raw(&forged);
        assert!(client.hear_raw().unwrap().len() < forged.len());
    }
    server.until(|counters| counters.dtls_cookies == 400);
    let counters = server.counters();
    assert_eq!(counters.dtls_refused + counters.dtls_failed, 0);
    assert_eq!(counters.dtls_sessions, 0);
}

#[test]
fn a_cookie_is_of_no_use_from_another_address() {
    let server = Server::new();
    let (mut honest, thief) = (Client::new(server.address), Client::new(server.address));
    let hello = first_hello(&mut honest);
    honest.raw(&hello);
    let request = honest.hear_raw().unwrap();
    let with_cookie = honest.take(&request).remove(0);
    let parsed = ClientHello::parse(&with_cookie).unwrap();
    assert_eq!((parsed.cookie.len(), parsed.message), (32, 1));
    thief.raw(&with_cookie);
    // It is asked for its own.
    assert_eq!(thief.hear_raw().unwrap()[13], 3);
    honest.raw(&with_cookie);
    assert_eq!(honest.hear_raw().unwrap()[13], 2);
}

#[test]
fn a_hello_in_many_fragments_is_taken() {
    let server = Server::new();
    let mut client = Client::new(server.address);
    client.fragment = Some(90);
    client.connect();
    assert_answered(&mut client);
}

#[test]
fn a_flight_that_was_lost_is_sent_again() {
    let server = Server::new();
    let mut client = Client::new(server.address);
    let hello = first_hello(&mut client);
    client.raw(&hello);
    let request = client.hear_raw().unwrap();
    for packet in client.take(&request) {
        client.raw(&packet);
    }
    // The server's hello and certificate do not arrive.
    assert_eq!(client.hear_raw().unwrap()[13], 2);
    client.go_on();
    assert_answered(&mut client);
}

#[test]
fn a_client_that_was_restarted_keeps_its_session_until_it_has_the_next() {
    let server = Server::new();
    let mut old = Client::new(server.address);
    old.connect();
    let mut new = old.restarted();
    let hello = first_hello(&mut new);
    new.raw(&hello);
    let request = new.hear_raw().unwrap();
    for packet in new.take(&request) {
        new.raw(&packet);
    }
    assert_eq!(new.hear_raw().unwrap()[13], 2);
    // Half of the new handshake is done.
    assert_answered(&mut old);
    new.go_on();
    server.until(|counters| counters.dtls_sessions == 2);
    assert_answered(&mut new);
    old.send(BINDING);
    assert_silence(&server, &mut old);
}

#[test]
fn a_hello_from_an_earlier_day_does_not_end_a_session() {
    let server = Server::new();
    let mut client = Client::new(server.address);
    client.record();
    client.connect();
    let sent = client.recorded();
    for _ in 0..3 {
        for packet in &sent {
            client.raw(packet);
        }
    }
    assert_answered(&mut client);
    server.until(|counters| counters.dtls_sessions == 1);
    assert_eq!(server.counters().dtls_failed, 0);
}

#[test]
fn a_record_that_comes_again_is_dropped() {
    let (server, mut client) = connected();
    client.record();
    assert_answered(&mut client);
    for packet in client.recorded() {
        client.raw(&packet);
    }
    assert_silence(&server, &mut client);
    let (counters, _) = server.running.stop();
    assert_eq!(counters.bindings, 2, "its own and another one's");
}

#[test]
fn a_session_ends_when_its_client_says_so() {
    let (server, mut client) = connected();
    client.close();
    assert!(matches!(client.hear(), Heard::Closed));
    client.raw(&[23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0]);
    server.until(|counters| counters.dtls_dropped == 1);
}

/// Records of any other length leave their room with the engine.
#[test]
fn a_stranger_gets_no_more_room_than_a_request_needs() {
    let (server, mut client) = connected();
    client.send(&[0; 5_000]);
    server.until(|counters| counters.dtls_dropped == 1);
    assert_answered(&mut client);
}

#[test]
fn an_alert_in_the_clear_ends_no_session() {
    let (_server, mut client) = connected();
    client.raw(&hello::alert(hello::HANDSHAKE_FAILURE));
    assert_answered(&mut client);
}

#[test]
fn a_silent_session_ends_and_its_client_is_told() {
    let limits = StreamLimits {
        idle: Duration::from_secs(1),
        ..StreamLimits::default()
    };
    let key = &rcgen::PKCS_ECDSA_P256_SHA256;
    let server = Server::with(Transports::Datagrams, true, limits, key);
    let mut client = Client::new(server.address);
    client.connect();
    assert_answered(&mut client);
    server.until(|counters| counters.dtls_idle == 1);
    assert!(matches!(client.hear(), Heard::Closed));
}

#[test]
fn a_handshake_that_does_not_go_on_is_given_up() {
    let limits = StreamLimits {
        first_frame: Duration::from_secs(1),
        ..StreamLimits::default()
    };
    let key = &rcgen::PKCS_ECDSA_P256_SHA256;
    let server = Server::with(Transports::Datagrams, true, limits, key);
    let mut client = Client::new(server.address);
    let hello = first_hello(&mut client);
    client.raw(&hello);
    let request = client.hear_raw().unwrap();
    for packet in client.take(&request) {
        client.raw(&packet);
    }
    server.until(|counters| counters.dtls_half_open_dropped == 1);
}

#[test]
fn a_prefix_has_its_share_of_handshakes_and_no_more() {
    let server = Server::new();
    // A handshake is given up after ten seconds: all clients have their cookies before the first one begins.
    let with_cookie = |_| {
        let mut client = Client::new(server.address);
        let hello = first_hello(&mut client);
        client.raw(&hello);
        let request = client.hear_raw().unwrap();
        let flight = client.take(&request);
        (client, flight)
    };
    let mut clients: Vec<_> = (0..100).map(with_cookie).collect();
    for (client, flight) in &clients {
        for packet in flight {
            client.raw(packet);
        }
    }
    server.until(|counters| counters.dtls_refused == 36);
    // Those that have begun may end.
    let (first, _) = &mut clients[0];
    first.go_on();
    assert_answered(first);
}

#[test]
fn a_new_certificate_is_shown_to_new_sessions() {
    let server = Server::new();
    let mut old = Client::new(server.address);
    let before = old.connect();
    let next = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
    let leaf = next.certified.cert[0].to_vec();
    server.certificates.replace(vec![next]);
    let after = Client::new(server.address).connect();
    assert_ne!(before, leaf);
    assert_eq!(after, leaf);
    assert_answered(&mut old);
}

/// The end of the handshake proves that both have hashed the same chain.
#[test]
fn the_certificates_of_the_issuers_are_sent_too() {
    let server = Server::new();
    for others in 1..6 {
        let mut shown = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let mut whole = (*shown.certified).clone();
        for _ in 0..others {
            let issuer = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
            whole.cert.extend(issuer.certified.cert.clone());
        }
        let leaf = whole.cert[0].to_vec();
        shown.certified = std::sync::Arc::new(whole);
        server.certificates.replace(vec![shown]);
        let mut client = Client::new(server.address);
        assert_eq!(client.connect(), leaf);
        assert_answered(&mut client);
    }
}

#[test]
fn without_a_key_that_fits_a_client_is_told_that_the_handshake_failed() {
    let server = Server::new();
    server
        .certificates
        .replace(vec![certificate(&rcgen::PKCS_ED25519)]);
    let mut client = Client::new(server.address);
    let hello = first_hello(&mut client);
    client.raw(&hello);
    let request = client.hear_raw().unwrap();
    let with_cookie = client.take(&request).remove(0);
    client.raw(&with_cookie);
    let answer = client.hear_raw().unwrap();
    assert_eq!(answer, hello::alert(hello::HANDSHAKE_FAILURE));
    server.until(|counters| counters.dtls_failed == 1);
}

#[test]
fn only_ecdsa_keys_of_the_two_curves_suit_dtls() {
    for (algorithm, suits) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, true),
        (&rcgen::PKCS_ECDSA_P384_SHA384, true),
        (&rcgen::PKCS_ED25519, false),
    ] {
        assert_eq!(certificate(algorithm).suits_dtls(), suits);
    }
}

/// A mishap of a client's datagram in the network.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    None,
    Lost,
    Twice,
    /// It is cut after so many bytes.
    Cut(usize),
    /// A byte of it is another.
    Changed(usize, u8),
    /// It comes after the next one.
    Late,
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        3 => Just(Mishap::None),
        1 => Just(Mishap::Lost),
        1 => Just(Mishap::Twice),
        1 => (0_usize..300).prop_map(Mishap::Cut),
        3 => (0_usize..300, any::<u8>()).prop_map(|(at, byte)| Mishap::Changed(at, byte)),
        1 => Just(Mishap::Late),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_mishap_of_a_handshake_harms_the_server(
        mishaps in proptest::collection::vec(mishap(), 1..12),
    ) {
        let server = Server::new();
        let mut bystander = Client::new(server.address);
        bystander.connect();
        let mut client = Client::new(server.address);
        client.suffer(&mishaps);
        bystander.send(BINDING);
        prop_assert!(matches!(bystander.hear(), Heard::Data(_)));
        let mut next = Client::new(server.address);
        next.connect();
        server.running.stop();
    }
}
