//! Frames on TCP: many at once, cut anywhere, as long as possible, and broken off.

use std::{
    io::Write,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use lab::{PATIENCE, live::LiveClient, server::Server, socket::peer_at, world::in_own_world};
use wire::ChannelNumber;

use crate::server::{SERVER, setup};
use crate::{
    clients,
    stream::{connect, connect_with, frames, read_to_end, reset_when_closed},
};

#[test]
fn frames_that_come_in_one_segment_are_handled_one_by_one() {
    in_own_world(|_| {
        let _server = Server::start(setup());
        let mut client = Client::new();
        let rounds = 0..100_u8;
        let all: Vec<u8> = rounds
            .clone()
            .flat_map(|round| client.round(round))
            .collect();
        client.write(&all);
        client.finish(rounds);
    });
}

#[test]
fn a_frame_cut_at_any_byte_is_whole_again() {
    in_own_world(|_| {
        let _server = Server::start(setup());
        let mut client = Client::new();
        let length = client.round(0).len();
        let cuts = 1..u8::try_from(length).expect("a short round");
        for cut in cuts.clone() {
            let round = client.round(cut);
            let (first, second) = round.split_at(cut.into());
            client.write(first);
            // A pause, so that the server reads twice.
            thread::sleep(Duration::from_millis(2));
            client.write(second);
        }
        client.finish(cuts);
    });
}

#[test]
fn frames_that_come_byte_by_byte_are_whole_again() {
    in_own_world(|_| {
        let _server = Server::start(setup());
        let mut client = Client::new();
        let rounds = 0..3;
        for round in rounds.clone() {
            for byte in client.round(round) {
                client.write(&[byte]);
                thread::sleep(Duration::from_millis(1));
            }
        }
        client.finish(rounds);
    });
}

#[test]
fn channel_data_as_long_as_can_be_does_not_hang_the_connection() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let (peer, address) = peer_at(PEER);
        let (mut session, relayed) = clients::on_tcp().allocated();
        let channel = session.bind_channel(address).expect("a channel");
        let mut buffer = vec![0; 70_000];
        // UDP carries no more than 65,507 bytes, ChannelData announces up to 65,535.
        for length in [65_503, 65_507, 65_508, 65_535, 0, 1] {
            let data = vec![0x5A; length];
            session.post_on(channel, &data);
            session.binding();
            if length <= 65_507 {
                let heard = peer.recv(&mut buffer).expect("the peer hears it");
                assert_eq!(buffer[..heard], data, "{length} bytes");
                peer.send_to(&data, relayed).expect("a datagram that fits");
                let back = session.receive_within(PATIENCE).expect("it comes back");
                assert_eq!(back, data, "{length} bytes");
            }
        }
        drop(session);
        server.wait_for_line(&["allocation.ended", "cause=\"disconnected\""]);
        assert_eq!(server.stop().dropped("too-large"), 2);
    });
}

/// RFC 8489 §5. The rest of such a frame never comes, so the server must not wait for it.
#[test]
fn a_stun_length_that_is_no_multiple_of_four_ends_the_connection_at_once() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let client = Client::new();
        let stranger = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
        for mut stream in [&stranger, client.session.socket.stream()] {
            let mut bytes = binding(1).to_vec();
            bytes.extend_from_slice(b"\x00\x01\x00\x02");
            stream.write_all(&bytes).expect("a connection");
        }
        for stream in [&stranger, client.session.socket.stream()] {
            let answers = read_to_end(stream, PATIENCE);
            assert_eq!(frames(&answers).len(), 1, "what came before is answered");
        }
        server.wait_for_line(&["allocation.ended", "cause=\"disconnected\""]);
        assert_eq!(server.stop().sockets("connections-broken"), 2);
    });
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answers() {
    in_own_world(|_| {
        let server = Server::start(setup());
        let client = Client::new();
        let mut stream = client.session.socket.stream();
        stream.write_all(&binding(1)).expect("a connection");
        stream.write_all(&binding(2)[..19]).expect("a connection");
        stream.shutdown(Shutdown::Write).expect("a connection");
        let answers = read_to_end(stream, PATIENCE);
        let [answer] = frames(&answers)[..] else {
            panic!("one answer was awaited: {answers:02x?}");
        };
        assert_eq!(answer[4..20], binding(1)[4..20]);
        server.wait_for_line(&["allocation.ended", "cause=\"disconnected\""]);
    });
}

#[test]
fn a_connection_that_ends_within_a_frame_frees_its_port_at_once() {
    in_own_world(|_| {
        let server = Server::start(setup().with("relay.ports = '20000-20000'"));
        for (number, is_reset) in [false, true, false, true].into_iter().enumerate() {
            let stream = connect_with((Ipv4Addr::LOCALHOST, 0).into(), SERVER, |socket| {
                if is_reset {
                    reset_when_closed(socket);
                }
            });
            let mut session = clients::on_stream(stream);
            let relayed = session.allocate().expect("the only port is free");
            assert_eq!(relayed.port(), 20_000);
            let mut stream = session.socket.stream();
            stream
                .write_all(&[0x40, 0, 0xFF, 0xFF, 1, 2, 3])
                .expect("a connection");
            drop(session);
            lab::wait_for("the allocation's end", PATIENCE, || {
                let log = server.log();
                let ended = log.matches("allocation.ended").count();
                assert_eq!(ended, log.matches("cause=\"disconnected\"").count());
                (ended == number + 1).then_some(())
            });
        }
    });
}

#[test]
fn a_client_that_comes_back_on_the_same_port_begins_anew() {
    in_own_world(|_| {
        let server = Server::start(setup());
        let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 12_345));
        for _ in 0..100 {
            let stream = connect_with(source, SERVER, |socket| {
                socket.set_reuseaddr(true).expect("a socket option");
                reset_when_closed(socket);
            });
            let (session, _) = clients::on_stream(stream).allocated();
            // Work for the server while the client leaves and comes back.
            let busy = binding(0).repeat(4000);
            let mut stream = session.socket.stream();
            stream.write_all(&busy).expect("a connection");
        }
        drop(server);
    });
}

/// A client with a channel, and its peer.
struct Client {
    session: LiveClient,
    channel: ChannelNumber,
    peer: UdpSocket,
    send: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let (mut session, _) = clients::on_tcp().allocated();
        let (peer, address) = peer_at(PEER);
        let channel = session.bind_channel(address).expect("a channel");
        session.post(address, b"send 0");
        let send = session.sent.last().expect("an indication").clone();
        let mut buffer = [0; 64];
        let length = peer.recv(&mut buffer).expect("it is relayed");
        assert_eq!(&buffer[..length], b"send 0");
        Self {
            session,
            channel,
            peer,
            send,
        }
    }

    /// A request, ChannelData with padding and an indication.
    fn round(&self, number: u8) -> Vec<u8> {
        let [c0, c1] = self.channel.get().to_be_bytes();
        let mut round = binding(number).to_vec();
        round.extend_from_slice(&[c0, c1, 0, 9]);
        round.extend_from_slice(b"channel ");
        round.extend_from_slice(&[number, 0, 0, 0]);
        let mut send = self.send.clone();
        let at = send.windows(6).position(|window| window == b"send 0");
        send[at.expect("the data") + 5] = number;
        round.extend_from_slice(&send);
        round
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut stream: &TcpStream = self.session.socket.stream();
        stream.write_all(bytes).expect("the connection lives");
    }

    /// Asserts that the answers to these rounds come, and nothing else.
    fn finish(self, rounds: std::ops::Range<u8>) {
        let mut buffer = [0; 64];
        for number in rounds.clone() {
            for mut expected in [b"channel ".to_vec(), b"send ".to_vec()] {
                expected.push(number);
                let length = self.peer.recv(&mut buffer).expect("it is relayed");
                assert_eq!(buffer[..length], expected);
            }
        }
        let stream = self.session.socket.stream();
        stream.shutdown(Shutdown::Write).expect("a connection");
        let answers = read_to_end(stream, PATIENCE);
        let answered: Vec<u8> = frames(&answers).iter().map(|frame| frame[19]).collect();
        assert_eq!(answered, rounds.collect::<Vec<u8>>());
    }
}

/// A Binding request with a number of its own.
fn binding(number: u8) -> [u8; 20] {
    let mut request = *b"\x00\x01\x00\x00\x21\x12\xA4\x42which round?";
    request[19] = number;
    request
}

const PEER: Ipv4Addr = Ipv4Addr::new(127, 100, 0, 1);
