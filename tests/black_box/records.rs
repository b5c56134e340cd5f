//! Records of TLS as no library would send them: in pieces, of every size, and cut anywhere.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{IpAddr, TcpStream},
    ops::RangeInclusive,
};

use lab::{
    PATIENCE,
    live::LiveClient,
    server::{BINDING, TLS_PORT, serving},
    setup::Setup,
    socket::{LiveSocket, assert_hears, peer_at},
    tls::trusting_anew,
    world::{PEER_V4, SERVER_V4},
};
use rustls::{ClientConnection, pki_types::ServerName};

#[test]
fn a_hello_is_read_however_it_is_cut() {
    serving(Setup::default().with_tls(), |_, _| {
        // The bytes of a hello one by one; and one byte of a hello in each record. RFC 8446 §5.1.
        let byte_by_byte = |stream: &mut TcpStream, hello: &[u8]| {
            for byte in hello {
                stream.write_all(&[*byte]).expect("a connection");
            }
        };
        let record_by_record = |stream: &mut TcpStream, hello: &[u8]| {
            let (header, message) = hello.split_at(RECORD_HEADER);
            for byte in message {
                let record = [&header[..3], &[0, 1, *byte]].concat();
                stream.write_all(&record).expect("a connection");
            }
        };
        let whole = |stream: &mut TcpStream, hello: &[u8]| {
            stream.write_all(hello).expect("a connection");
        };
        asks_for_a_binding(whole);
        asks_for_a_binding(byte_by_byte);
        asks_for_a_binding(record_by_record);
    });
}

/// The sizes of records are the client's, and say nothing about frames.
#[test]
fn records_of_every_size_carry_frames_whole() {
    serving(Setup::default().with_tls(), |_, _| {
        let (mut client, relayed) = LiveClient::tls().allocated();
        let (peer, address) = peer_at(PEER_V4);
        let channel = client.bind_channel(address).expect("a channel");
        let LiveSocket::Tls(session) = &client.socket else {
            panic!("a client on TLS");
        };
        // Frames of many lengths, one after the other, so that records end anywhere in them.
        let (mut waiting, mut due) = (Vec::new(), VecDeque::new());
        let (mut made, mut sent) = (0, 0);
        for size in SIZES.into_iter().flatten() {
            while waiting.len() < size {
                let data = vec![made as u8; 1 + made * 7 % 1400];
                let frame = channel_data(channel.get(), &data);
                made += frame.len();
                waiting.extend(frame);
                due.push_back((made, data));
            }
            session.send(&waiting[..size]).expect("a session");
            waiting.drain(..size);
            sent += size;
            while due.front().is_some_and(|(end, _)| *end <= sent) {
                let (_, data) = due.pop_front().expect("it was there");
                assert_hears(&peer, relayed, &data);
            }
        }
        session.send(&waiting).expect("a session");
        for (_, data) in due {
            assert_hears(&peer, relayed, &data);
        }
        peer.send_to(b"and back", relayed)
            .expect("a relayed address");
        assert_eq!(client.receive(), (address, b"and back".to_vec()));
    });
}

/// Shakes hands with a hello that is sent by `send`, and asks for a Binding.
#[track_caller]
fn asks_for_a_binding(send: impl FnOnce(&mut TcpStream, &[u8])) {
    let mut stream = TcpStream::connect((SERVER_V4, TLS_PORT)).expect("a listener");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let name: ServerName<'static> = IpAddr::from(SERVER_V4).into();
    let mut session = ClientConnection::new(trusting_anew().into(), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory");
    send(&mut stream, &hello);
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(&BINDING).expect("a session");
    let mut answer = [0; 32];
    tls.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer[..2], [0x01, 0x01]);
}

/// ChannelData as on a stream. RFC 8656 §12.5.
fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("it fits");
    let mut frame = [&channel.to_be_bytes()[..], &length.to_be_bytes(), data].concat();
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// The sizes of records: many that are small, and the largest that there may be. RFC 8446 §5.1.
const SIZES: [RangeInclusive<usize>; 4] = [1..=300, 1_000..=1_010, 4_090..=4_100, 16_380..=16_384];
/// Type, version and length. RFC 8446 §5.1.
const RECORD_HEADER: usize = 5;
