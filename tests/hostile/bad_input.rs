//! Every prefix and every single-byte corruption of a captured session, live.

use std::{
    io::Write,
    net::{Ipv4Addr, Shutdown, SocketAddr, UdpSocket},
    time::Duration,
};

use lab::{PATIENCE, live::LiveClient, server::Server, socket::peer_at, world::in_own_world};
use wire::{Message, Method, attributes::Icmp};

use crate::server::{SERVER, setup};
use crate::{
    bystander::Bystander,
    clients,
    oracle::{self, Outcome, Standing, assert_answers},
    stream::{connect, frames, read_to_end},
};

#[test]
fn no_cut_or_corrupted_datagram_of_a_stranger_does_anything() {
    in_own_world(|_| {
        let mut server = Server::start(
            // Every request is answered that may be, although all come from one address.
            setup().with(
                "unauthenticated.per-prefix = 'unlimited'\nunauthenticated.total = 'unlimited'",
            ),
        );
        let bystander = Bystander::start();
        for fingerprint in [false, true] {
            let capture = Capture::of(clients::on_udp(), fingerprint);
            for ip in [CLIENT, OTHER_CLIENT] {
                let (socket, _) = peer_at(ip);
                socket.connect(SERVER).expect("a route to the server");
                capture.fire(&socket, capture.stranger(ip));
            }
        }
        bystander.finish().assert_undisturbed();
        server.stop();
    });
}

#[test]
fn no_cut_or_corrupted_datagram_in_a_clients_name_harms_its_session() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        for fingerprint in [false, true] {
            let mut capture = Capture::of(clients::on_udp(), fingerprint);
            let standing = capture.owner();
            capture.fire(capture.session.socket.datagrams(), standing);
            capture.assert_session_lives();
        }
        bystander.finish().assert_undisturbed();
        server.stop();
    });
}

#[test]
fn no_cut_or_corrupted_stream_of_a_stranger_does_anything() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        let mut broken = 0;
        for fingerprint in [false, true] {
            let capture = Capture::of(clients::on_tcp(), fingerprint);
            for input in capture.bad_input() {
                broken += capture.connect_and_fire(&input, &[], capture.stranger(CLIENT));
            }
        }
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().sockets("connections-broken"), broken);
    });
}

#[test]
fn no_cut_or_corrupted_stream_of_a_client_does_more_than_end_it() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        let capture = Capture::of(clients::on_tcp(), false);
        // The same requests from another port open another allocation.
        let [_, _, allocate, permit, bind, ..] = &capture.messages[..] else {
            panic!("a session is longer");
        };
        let opening = [&allocate[..], permit, bind].concat();
        let mut broken = 0;
        for input in capture.bad_input() {
            broken += capture.connect_and_fire(&input, &opening, capture.stranger(CLIENT));
        }
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().sockets("connections-broken"), broken);
    });
}

/// A session, the bytes its client sent, and a peer that receives the relayed data.
struct Capture {
    session: LiveClient,
    messages: Vec<Vec<u8>>,
    nonce: Vec<u8>,
    peer: UdpSocket,
    address: SocketAddr,
}

/// The bytes that a hostile client sends, and whether it goes on afterwards.
struct BadInput {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Capture {
    fn of(mut session: LiveClient, fingerprint: bool) -> Self {
        if fingerprint {
            session = session.with(|config| config.fingerprint = true);
        }
        let (peer, address) = peer_at(PEER);
        session.binding();
        session.allocate().expect("an allocation");
        session.create_permission(address).expect("a permission");
        let channel = session.bind_channel(address).expect("a channel");
        session.post(address, b"in an indication");
        session.post_on(channel, b"on a channel, padded");
        session
            .refresh(Duration::from_secs(600))
            .expect("an allocation to refresh");
        let messages = session.sent.to_vec();
        assert_eq!(messages.len(), 8, "Allocate is asked for twice");
        let mut nonces = messages.iter().filter_map(|message| oracle::nonce(message));
        let nonce = nonces.next().expect("a signed request");
        let capture = Self {
            session,
            messages,
            nonce,
            peer,
            address,
        };
        assert_eq!(capture.relayed(2).len(), 2);
        capture
    }

    fn bad_input(&self) -> impl Iterator<Item = BadInput> + '_ {
        self.messages.iter().flat_map(|message| {
            let cut = (0..message.len()).map(|length| BadInput {
                bytes: message[..length].to_vec(),
                is_cut: true,
            });
            let corrupted = (0..message.len()).flat_map(|at| {
                [0x01, 0x80, 0xFF].map(|flip| {
                    let mut bytes = message.clone();
                    bytes[at] ^= flip;
                    BadInput {
                        bytes,
                        is_cut: false,
                    }
                })
            });
            cut.chain(corrupted)
        })
    }

    /// A sender who has only the captured bytes.
    fn stranger(&self, ip: Ipv4Addr) -> Standing {
        Standing {
            nonce: self.nonce.clone(),
            same_ip: ip == CLIENT,
            allocation: None,
            peer: self.address,
        }
    }

    /// A sender on the session's own 5-tuple.
    fn owner(&self) -> Standing {
        let signed = &self.messages[2];
        Standing {
            allocation: signed[8..20].try_into().ok(),
            ..self.stranger(CLIENT)
        }
    }

    /// Sends all bad input as datagrams, one by one, and checks the outcome of each.
    fn fire(&self, socket: &UdpSocket, mut standing: Standing) {
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let mut answer = [0; 2048];
        for (number, BadInput { bytes, .. }) in self.bad_input().enumerate() {
            let outcome = standing.outcome(&bytes);
            standing.learn(&bytes, &outcome);
            let fence = fence(number);
            socket.send(&bytes).expect("the server is there");
            socket.send(&fence).expect("the server is there");
            // An allocation is granted once its socket is open, which is after the batch of datagrams
            // in which the fence may be. Every other answer comes before that to the fence.
            let is_answered = matches!(outcome, Outcome::Success | Outcome::Refused(_));
            let mut answers: Vec<Vec<u8>> = Vec::new();
            let mut is_fenced = false;
            while !is_fenced || (is_answered && answers.iter().all(|answer| tells_a_loss(answer))) {
                let Ok(length) = socket.recv(&mut answer) else {
                    panic!("fenced {is_fenced}, no answer to {bytes:02x?}");
                };
                if answer[4..20] == fence[4..20] {
                    is_fenced = true;
                } else {
                    answers.push(answer[..length].to_vec());
                }
            }
            self.assert_became(&[(bytes, outcome)], &answers);
        }
    }

    /// Sends `opening` and bad input on a connection of its own and checks the outcome. Returns 1
    /// if the server had to end the connection.
    fn connect_and_fire(&self, input: &BadInput, opening: &[u8], mut standing: Standing) -> u64 {
        let mut bytes = [opening, &input.bytes].concat();
        if !input.is_cut {
            bytes.extend_from_slice(&fence(0));
        }
        let mut stream = connect((CLIENT, 0).into(), SERVER);
        // A connection that ends early cannot take it all.
        let _ = stream.write_all(&bytes);
        let expected = standing.outcome_of_stream(&bytes);
        if !expected.broken {
            stream.shutdown(Shutdown::Write).expect("a connection");
        }
        let answers = read_to_end(&stream, PATIENCE);
        self.assert_became(&expected.frames, &frames(&answers));
        u64::from(expected.broken)
    }

    /// Compares the packets that were sent, and their expected outcomes, with the answers.
    fn assert_became(&self, sent: &[(Vec<u8>, Outcome)], answers: &[impl AsRef<[u8]>]) {
        let answers = answers.iter().map(AsRef::as_ref);
        // A changed address may be one without a listener, so that an ICMP error comes.
        let mut answers = answers.filter(|answer| !tells_a_loss(answer));
        let mut awaited = Vec::new();
        for (packet, outcome) in sent {
            match outcome {
                Outcome::Silence => {}
                Outcome::Success | Outcome::Refused(_) => {
                    let answer = answers.next();
                    let answer = answer.unwrap_or_else(|| panic!("no answer to {packet:02x?}"));
                    assert_answers(answer, packet, outcome);
                }
                Outcome::Relayed(payload) => awaited.push(payload.clone()),
            }
        }
        let unasked: Vec<&[u8]> = answers.collect();
        assert!(unasked.is_empty(), "{sent:02x?} led to {unasked:02x?}");
        assert_eq!(self.relayed(awaited.len()), awaited, "{sent:02x?}");
    }

    /// The datagrams that the peer received, at least so many.
    fn relayed(&self, at_least: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        let mut heard = Vec::new();
        loop {
            let more = heard.len() < at_least;
            self.peer.set_nonblocking(!more).expect("a socket");
            match self.peer.recv(&mut buffer) {
                Ok(length) => heard.push(buffer[..length].to_vec()),
                Err(_) => return heard,
            }
        }
    }

    fn assert_session_lives(&mut self) {
        let refreshed = self.session.refresh(Duration::from_secs(600));
        assert_eq!(refreshed, Ok(()));
        self.session.post(self.address, b"still there?");
        assert_eq!(self.relayed(1), [b"still there?"]);
    }
}

/// A Binding request with a number: packets that were sent before it were handled before it.
fn fence(number: usize) -> [u8; 20] {
    let mut request = *b"\x00\x01\x00\x00\x21\x12\xA4\x42fence       ";
    request[12..].copy_from_slice(&number.to_be_bytes());
    request
}

/// Whether this is an ICMP error about a datagram to a peer.
fn tells_a_loss(message: &[u8]) -> bool {
    let message = Message::parse(message);
    message.is_ok_and(|it| {
        it.method() == Method::Data && it.get::<Icmp>().is_ok_and(|it| it.is_some())
    })
}

const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 7, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(127, 100, 0, 1);
