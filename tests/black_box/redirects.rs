//! Clients that a server sends to another one, and the nonces that they take there.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use client::Transport;
use lab::{
    PATIENCE,
    live::LiveClient,
    server::{PASSWORD, REALM, Server, TLS_PORT, USER},
    setup::Setup,
    socket::{LiveSocket, peer_at},
    world::{CLIENT_V4, PEER_V4, SERVER_V4, World, in_own_world},
};
use rustix::process::Signal;
use wire::attributes::{
    AlternateDomain, AlternateServer, ErrorCode, Nonce, Realm, RequestedTransport, Username,
    XorRelayedAddress,
};
use wire::{Algorithm, Class, Key, Message, Method, TransactionId, Writer};

use crate::uclient::Uclient;

/// The server that clients know, which redirects them to the other.
pub(crate) fn two_servers(world: &World, when: &str) -> [Server; 2] {
    let first = setup(3478).redirecting(&format!("{SERVER_V4}:3479"), when);
    [world.serve(first), world.serve(setup(3479))]
}

/// A server on a port of its own, on the same host as the others.
fn setup(port: u16) -> Setup {
    let first = 50_000 + (port - 3478) * 1000;
    Setup::on_port(port).with(&format!("relay.ports = '{first}-{}'", first + 999))
}

#[test]
fn a_client_is_sent_to_another_server_by_one_that_only_does_that() {
    in_own_world(|world| {
        let [first, second] = two_servers(world, "when = \"always\"");
        Uclient::to(PEER_V4).relays_everything();
        assert!(!first.log().contains("allocation.opened"));
        assert!(second.log().contains("allocation.opened"));
    });
}

#[test]
fn a_client_over_tcp_is_sent_to_the_port_for_tcp_and_one_over_udp_to_that_for_udp() {
    in_own_world(|world| {
        let to = format!("\"{SERVER_V4}:3479/udp\", \"{SERVER_V4}:3480/tcp\"");
        let _first = world
            .serve(setup(3478).with(&format!("[[redirect]]\nto = [{to}]\nwhen = \"always\"\n")));
        let [for_udp, for_tcp] = [3479, 3480].map(|port| world.serve(setup(port)));
        let opened = || [&for_udp, &for_tcp].map(|server| server.log().contains(OPENED));
        Uclient::to(PEER_V4).relays_everything();
        assert_eq!(opened(), [true, false]);
        let tcp = Uclient::to(PEER_V4).flag("-t");
        tcp.relays_everything();
        assert_eq!(opened(), [true, true]);
    });
}

#[test]
fn a_client_that_has_signed_is_taken_by_the_next_server_at_once_if_both_share_a_secret() {
    in_own_world(|world| {
        const SHARED: &str = "a secret shared by all nodes";
        for (port, nonce_secret, taken) in [
            (3479, Some(SHARED), true),
            (3481, Some("a secret of other nodes"), false),
            (3483, None, false),
        ] {
            let to = format!("{SERVER_V4}:{port}");
            let first = setup(port - 1).redirecting(&to, "when = 'draining'");
            let first = world.serve(first.nonce_secret(SHARED));
            let second = setup(port);
            let _second = world.serve(match nonce_secret {
                Some(secret) => second.nonce_secret(secret),
                None => second,
            });
            // The first server drains as long as it has an allocation.
            let (_session, _) = LiveClient::to((SERVER_V4, port - 1), Transport::Udp).allocated();
            let mut client = ChromiumLike::new(port - 1);
            assert_eq!(client.allocate(), Some(401));
            first.drain();
            assert_eq!(client.allocate(), Some(300));
            assert_eq!(client.server.port(), port);
            let expected = if taken { None } else { Some(438) };
            assert_eq!(client.allocate(), expected, "{port}");
        }
    });
}

#[test]
fn a_client_without_a_nonce_is_sent_on_before_it_gets_one() {
    in_own_world(|world| {
        let _servers = two_servers(world, "when = \"always\"");
        let mut client = ChromiumLike::new(3478);
        assert_eq!(client.allocate(), Some(300));
        assert_eq!(client.allocate(), Some(401));
        assert_eq!(client.allocate(), None);
    });
}

#[test]
fn a_redirect_that_a_reload_changes_is_for_new_clients_at_once_and_a_call_goes_on() {
    in_own_world(|world| {
        let server = world.serve(setup(3478));
        let (mut session, _) = LiveClient::udp().allocated();
        let config = server.config();
        let directory = Path::new(&config).parent().expect("a directory");
        let mut reloads = 0;
        let mut follow = |setup: Setup| {
            setup.write(directory);
            server.program.signal(Signal::HUP);
            reloads += 1;
            server.wait_for_lines("changed=\"[[redirect]]\"", reloads);
        };
        let first_answer = || {
            let mut client = ChromiumLike::new(3478);
            (client.allocate(), client.server.port())
        };
        assert_eq!(first_answer(), (Some(401), 3478));
        for port in [3479, 3480] {
            let to = format!("{SERVER_V4}:{port}");
            follow(setup(3478).redirecting(&to, "when = 'always'"));
            assert_eq!(first_answer(), (Some(300), port));
        }
        assert_eq!(session.refresh(Duration::from_secs(60)), Ok(()));
        follow(setup(3478));
        assert_eq!(first_answer(), (Some(401), 3478));
    });
}

#[test]
fn over_tls_a_client_is_sent_on_only_with_a_name_for_the_certificate_there() {
    let named = (
        ":5349/tls",
        "domain = 'b.example.org'\nwhen = 'always'",
        true,
    );
    let unnamed = (":5349", "when = 'always'", false);
    in_own_world(|world| {
        for (to, rule, sent) in [named, unnamed] {
            let setup = Setup::default().with_tls();
            let _server = world.serve(setup.redirecting(&format!("{PEER_V4}{to}"), rule));
            let mut request = Vec::new();
            let transaction = TransactionId::new([7; 12]);
            Writer::new(&mut request, Method::Allocate, Class::Request, transaction)
                .put(&RequestedTransport::UDP);
            let mut answer = [0; 2048];
            let length = tls_asks(&request, &mut answer);
            let answer = Message::parse(&answer[..length]).expect("an answer");
            let error = answer.get::<ErrorCode<'_>>().expect("a readable answer");
            let other = answer.get().expect("a readable answer");
            let domain = answer.get().expect("a readable answer");
            let expected = if sent {
                let other = AlternateServer((PEER_V4, 5349).into());
                (300, Some(other), Some(AlternateDomain("b.example.org")))
            } else {
                (401, None, None)
            };
            assert_eq!((error.map_or(0, |it| it.code), other, domain), expected);
        }
    });
}

/// The answer that a client over TLS hears first.
fn tls_asks(request: &[u8], answer: &mut [u8]) -> usize {
    let socket = LiveSocket::to((SERVER_V4, TLS_PORT).into(), Transport::Tls, 0);
    socket.send(request);
    socket.receive(answer, PATIENCE).expect("an answer")
}

/// A client that believes every answer and signs whenever it can, as Chromium does.
struct ChromiumLike {
    socket: UdpSocket,
    server: SocketAddr,
    /// The latest realm and nonce.
    told: Option<(String, String)>,
    transactions: u8,
}

impl ChromiumLike {
    fn new(port: u16) -> Self {
        Self {
            socket: peer_at(CLIENT_V4).0,
            server: (IpAddr::from(SERVER_V4), port).into(),
            told: None,
            transactions: 0,
        }
    }

    /// Sends an Allocate to the server that it was sent to last, and notes the answer; returns the
    /// error code.
    #[track_caller]
    fn allocate(&mut self) -> Option<u16> {
        self.transactions += 1;
        let transaction = TransactionId::new([self.transactions; 12]);
        let mut packet = Vec::new();
        let mut writer = Writer::new(&mut packet, Method::Allocate, Class::Request, transaction);
        writer.put(&RequestedTransport::UDP);
        if let Some((realm, nonce)) = &self.told {
            assert_eq!(realm, REALM);
            let key = Key::md5(USER, realm, PASSWORD).schedule(Algorithm::Sha1);
            writer.put(&Username(USER)).put(&Realm(realm));
            writer.put(&Nonce(nonce)).sign(&key);
        }
        let sent = self.socket.send_to(&packet, self.server);
        sent.expect("the server is there");

        let mut answer = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut answer).expect("an answer");
        assert_eq!(from, self.server);
        let answer = Message::parse(&answer[..length]).expect("an answer");
        if let (Ok(Some(Realm(realm))), Ok(Some(Nonce(nonce)))) = (answer.get(), answer.get()) {
            self.told = Some((realm.to_owned(), nonce.to_owned()));
        }
        if let Ok(Some(AlternateServer(other))) = answer.get() {
            self.server = other;
        }
        let error = answer.get::<ErrorCode<'_>>().expect("a readable answer");
        let relayed = answer.get::<XorRelayedAddress>();
        assert_eq!(error.is_none(), relayed != Ok(None));
        error.map(|error| error.code)
    }
}

const OPENED: &str = "allocation.opened";
