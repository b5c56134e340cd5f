//! Clients that are sent more than they read, and the cost for the others.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    live::LiveClient,
    server::Server,
    setup::Setup,
    socket::{LiveSocket, peer_at},
    wait_for,
    world::in_own_world,
};

use crate::server::setup;
use crate::{bystander::Bystander, clients, stream::take_frame};

#[test]
fn a_client_that_does_not_read_loses_old_media_and_costs_no_memory() {
    in_own_world(|_| does_not_read(setup(), clients::on_tcp));
}

#[test]
fn a_client_on_tls_that_does_not_read_loses_old_media_and_costs_no_memory() {
    in_own_world(|_| does_not_read(setup().with_tls(), clients::on_tls));
}

fn does_not_read(setup: Setup, client: impl FnOnce() -> LiveClient) {
    let mut server = Server::start(setup);
    let (peer, address) = peer_at(PEER);
    let (mut session, relayed) = client().allocated();
    session.bind_channel(address).expect("a channel");
    peer.connect(relayed).expect("a route to the server");
    let bystander = Bystander::start();
    let before = server.program.peak_memory();

    let mut last = flood(&peer, 64 << 20, 8192);
    let grown = server.program.peak_memory().saturating_sub(before);
    println!("a client that does not read costs {grown} bytes");
    assert!(grown <= MOST_FOR_MEDIA, "{grown} bytes");

    // The last ones are sent slowly, so that all of them reach the server.
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(5));
        last += 1;
        peer.send(&media(last, 1000)).expect("the server is there");
    }
    let heard = read_media_until(&session.socket, last);
    println!("{} of {last} datagrams came", heard.len());
    assert!(heard.is_sorted(), "out of order");
    assert!(heard.ends_with(&(last - 19..=last).collect::<Vec<u32>>()));
    // Once all is read, nothing blocks the connection any more.
    peer.send(&media(last + 1, 10))
        .expect("the server is there");
    assert_eq!(read_media_until(&session.socket, last + 1), [last + 1]);

    bystander.finish().assert_undisturbed();
    assert!(server.stop().sockets("queue-dropped") > 0);
}

#[test]
fn media_in_crumbs_costs_no_more_memory_than_in_loaves() {
    in_own_world(|_| {
        let server = Server::start(setup());
        let mut clients = Vec::new();
        for _ in 0..CROWD {
            let (peer, address) = peer_at(PEER);
            let (mut session, relayed) = clients::on_tcp().allocated();
            session.bind_channel(address).expect("a channel");
            peer.connect(relayed).expect("a route to the server");
            clients.push((session, peer));
        }
        // The kernel's buffers are filled with large datagrams first, so that the server's hold
        // only small ones.
        for (_, peer) in &clients {
            flood(peer, 4 << 20, 8192);
        }
        let before = server.program.peak_memory();
        for (_, peer) in &clients {
            flood(peer, 200_000, 4);
        }
        let grown = server.program.peak_memory().saturating_sub(before);
        println!("{CROWD} clients that do not read crumbs cost {grown} bytes");
        assert!(grown <= CROWD * MOST_FOR_CRUMBS, "{grown} bytes");
    });
}

#[test]
fn a_client_that_reads_no_answers_is_cut_off() {
    in_own_world(|_| reads_no_answers(clients::on_tcp));
}

#[test]
fn a_client_on_tls_that_reads_no_answers_is_cut_off() {
    in_own_world(|_| reads_no_answers(clients::on_tls));
}

fn reads_no_answers(client: impl FnOnce() -> LiveClient) {
    let mut server = Server::start(setup().with_tls().with("tcp.idle = '1s'"));
    let bystander = Bystander::start();
    // A client without an allocation is not read as fast as it asks.
    let (session, _) = client().allocated();
    let before = server.program.peak_memory();
    let stream = session.socket.stream();
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    let requests = REQUEST.repeat(3000);
    let start = Instant::now();
    let end = loop {
        if let Err(error) = session.socket.try_send(&requests) {
            break error.kind();
        }
        assert!(start.elapsed() < PATIENCE, "it is served for ever");
    };
    assert!(
        [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&end),
        "{end:?}"
    );
    let grown = server.program.peak_memory().saturating_sub(before);
    println!("a client that reads no answers costs {grown} bytes");
    assert!(grown <= MOST_FOR_MEDIA, "{grown} bytes");
    bystander.finish().assert_undisturbed();
    assert_eq!(server.stop().sockets("connections-broken"), 1);
}

/// A client that gets no processor time, or whose network pauses, asks first and reads later.
#[test]
fn a_client_that_asks_far_ahead_hears_every_answer_once_it_reads() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let (session, _) = clients::on_tcp().allocated();
        let mut stream = session.socket.stream();
        stream.set_nonblocking(true).expect("a socket");
        // More than the buffers on the way hold the answers of.
        let requests = REQUEST.repeat(40_000);
        let (mut asked, mut heard) = (0, 0);
        let mut last = Instant::now();
        wait_for("the server to hold the client back", PATIENCE, || {
            let length = unless_blocked(stream.write(&requests[asked..])).unwrap_or(0);
            if length > 0 {
                (asked, last) = (asked + length, Instant::now());
            }
            (last.elapsed() > Duration::from_millis(500)).then_some(())
        });
        let mut buffer = vec![0; 1 << 20];
        wait_for("every answer", PATIENCE, || {
            asked += unless_blocked(stream.write(&requests[asked..])).unwrap_or(0);
            heard += unless_blocked(stream.read(&mut buffer)).unwrap_or(0);
            (heard == 40_000 * ANSWER).then_some(())
        });
        assert_eq!(server.stop().sockets("connections-broken"), 0);
    });
}

/// The result of a socket's call, unless it would have waited.
#[track_caller]
fn unless_blocked(outcome: io::Result<usize>) -> Option<usize> {
    match outcome {
        Ok(length) => Some(length),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            None
        }
    }
}

#[test]
fn clients_that_ask_all_the_time_do_not_stall_others() {
    in_own_world(|_| {
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        // Every other one is a stranger, which is answered too, though not as often as it asks.
        let clients = [false, true].repeat(4).into_iter().map(|is_stranger| {
            let mut session = clients::on_tcp();
            if !is_stranger {
                session.allocate().expect("an allocation");
            }
            let stream = session.socket.stream().try_clone().expect("a socket");
            thread::spawn(move || {
                let answers = if is_stranger { 40 } else { 1000 };
                ask_all_the_time(&stream, ANSWER * answers);
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.join().expect("a client that is served");
        }
        bystander.finish().assert_undisturbed();
        server.stop();
    });
}

/// Keeps a connection full of requests for a while, and until so many bytes of answers are read
/// between them.
fn ask_all_the_time(mut stream: &TcpStream, least: usize) {
    let start = Instant::now();
    let requests = REQUEST.repeat(3000);
    let mut buffer = vec![0; 1 << 20];
    stream.set_nonblocking(true).expect("a socket");
    let (mut at, mut heard) = (0, 0);
    // There is nothing to do where a stranger is held back.
    let done = |outcome: io::Result<usize>| {
        unless_blocked(outcome).unwrap_or_else(|| {
            thread::sleep(Duration::from_micros(100));
            0
        })
    };
    while start.elapsed() < BUSY || heard < least {
        assert!(
            start.elapsed() < PATIENCE,
            "only {heard} bytes of answers came"
        );
        at = (at + done(stream.write(&requests[at..]))) % requests.len();
        heard += done(stream.read(&mut buffer));
    }
    // The end comes amid answers.
    stream.shutdown(Shutdown::Both).expect("a connection");
}

/// Sends so many bytes as datagrams of this length, as fast as the server takes them. Returns the
/// number of the last one.
fn flood(peer: &UdpSocket, bytes: usize, length: usize) -> u32 {
    let count = u32::try_from(bytes / length).expect("fewer than that");
    for number in 1..=count {
        peer.send(&media(number, length))
            .expect("the server is there");
        if number % 64 == 0 {
            // The kernel drops datagrams that are not read: a flood does not reach a server that
            // has no processor time.
            thread::yield_now();
        }
    }
    count
}

/// A datagram that shows its number, and whether it is whole.
fn media(number: u32, length: usize) -> Vec<u8> {
    let number = number.to_be_bytes();
    number.iter().copied().cycle().take(length.max(4)).collect()
}

/// Reads until the datagram with this number has come; every one must be whole.
fn read_media_until(socket: &LiveSocket, last: u32) -> Vec<u32> {
    let (mut bytes, mut buffer, mut heard) = (Vec::new(), vec![0; 1 << 16], Vec::new());
    wait_for("the newest media", PATIENCE, || {
        let length = socket.receive(&mut buffer, PATIENCE);
        let length = length.expect("the connection lives");
        bytes.extend_from_slice(&buffer[..length]);
        while let Some((frame, rest)) = take_frame(&bytes) {
            let announced = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
            let payload = &frame[4..4 + announced];
            let number = payload.first_chunk().expect("a number");
            let number = u32::from_be_bytes(*number);
            assert!(payload == media(number, announced), "a frame is broken");
            heard.push(number);
            bytes = rest.to_vec();
        }
        (heard.last() == Some(&last)).then_some(())
    });
    assert!(bytes.is_empty(), "more than was sent");
    heard
}

/// A Binding request, and the length of its answer.
const REQUEST: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42what am I?  ";
const ANSWER: usize = 32;
const PEER: Ipv4Addr = Ipv4Addr::new(127, 100, 0, 1);
/// The queue of 256 KiB, the buffers of a shard that were not used before, and the allocator's
/// share.
const MOST_FOR_MEDIA: u64 = 2 << 20;
const CROWD: u64 = 8;
const BUSY: Duration = Duration::from_secs(2);
/// The queue again, and half as much for the allocator.
const MOST_FOR_CRUMBS: u64 = 384 << 10;
