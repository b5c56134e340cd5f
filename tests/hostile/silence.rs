//! Streams that send nothing, too little, or nothing of use.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    server::{BINDING, Server},
    wait_for,
    world::in_own_world,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::{SERVER, setup};
use crate::{
    bystander::Bystander,
    clients,
    stream::{connect, read_to_end},
};

#[test]
fn connections_that_say_nothing_cost_little_and_are_closed_in_time() {
    in_own_world(|_| {
        allow_many_files();
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        let before = server.program.memory();
        let start = Instant::now();
        let silent: Vec<TcpStream> = (0..2000_u16)
            .map(|number| connect((crowd(number), 0).into(), SERVER))
            .collect();
        let connected = Instant::now();
        // The last connection to be accepted is served, and so were those before it.
        let mut last = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
        assert!(is_answered(&mut last));
        let each = server.program.memory().saturating_sub(before) / 2000;
        println!("a silent connection costs {each} bytes");
        assert!(each <= MOST_FOR_SILENCE, "{each} bytes each");

        for stream in &silent {
            let said = read_to_end(stream, FIRST_FRAME + LATE);
            assert!(said.is_empty(), "{said:02x?}");
        }
        assert!(start.elapsed() >= FIRST_FRAME, "they were closed early");
        assert!(connected.elapsed() <= FIRST_FRAME + LATE);
        // A client that has sent a frame is not silent.
        assert!(is_answered(&mut last));
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().sockets("connections-idle"), 2000);
    });
}

#[test]
fn a_connection_without_a_frame_of_use_is_closed_in_time_however_busy() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("tcp.first-frame = '3s'"));
        let bystander = Bystander::start();
        let useless: [&[u8]; 4] = [
            // One byte of a request at a time.
            b"\x00",
            // A response to no request.
            b"\x01\x01\x00\x00\x21\x12\xA4\x42not to you..",
            // A channel that is not bound.
            b"\x40\x00\x00\x04lost",
            // An Allocate without the magic cookie.
            b"\x00\x03\x00\x00old as clients..",
        ];
        let deadline = Duration::from_secs(3);
        let attempts = useless.map(|bytes| {
            thread::spawn(move || {
                let mut stream = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
                let start = Instant::now();
                while start.elapsed() < deadline + LATE {
                    // It fails once the server has closed, as the test expects.
                    let _ = stream.write_all(bytes);
                    if is_closed(&mut stream) {
                        return start.elapsed();
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                panic!("{bytes:02x?} keeps a connection open");
            })
        });
        for attempt in attempts {
            let took = attempt.join().expect("an end in time");
            assert!(took >= deadline, "closed after {took:?}");
        }
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().sockets("connections-idle"), 4);
    });
}

#[test]
fn a_client_that_falls_silent_is_closed_unless_it_has_an_allocation() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("tcp.idle = '1s'"));
        let mut visitor = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
        let (mut resident, _) = clients::on_tcp().allocated();
        assert!(is_answered(&mut visitor));
        let start = Instant::now();
        assert!(read_to_end(&visitor, LATE).is_empty());
        assert!(start.elapsed() >= Duration::from_millis(900));
        // Long enough to be closed several times.
        thread::sleep(Duration::from_secs(3));
        resident.binding();
        // Without its allocation it is a stranger, too.
        resident
            .refresh(Duration::ZERO)
            .expect("the allocation's end");
        assert!(read_to_end(resident.socket.stream(), LATE).is_empty());
        assert_eq!(server.stop().sockets("connections-idle"), 2);
    });
}

/// RFC 8489 §3, RFC 5626 §4.4.2; the blank Send indication is pjnath's.
#[test]
fn a_keepalive_now_and_then_keeps_a_strangers_connection_open() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("tcp.idle = '2s'"));
        let mut visitors = KEEPALIVES.map(|_| connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER));
        // Several times as long as they may be silent.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(6) {
            for (visitor, keepalive) in visitors.iter_mut().zip(KEEPALIVES) {
                visitor.write_all(keepalive).expect("a connection");
                assert!(!is_closed(visitor), "{:?}", start.elapsed());
            }
            thread::sleep(Duration::from_millis(500));
        }
        let fallen_silent = Instant::now();
        for visitor in &visitors {
            assert!(read_to_end(visitor, LATE).is_empty());
        }
        assert!(fallen_silent.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.stop().sockets("connections-idle"), 2);
    });
}

#[test]
fn a_stranger_is_closed_in_the_end_whatever_it_sends() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("tcp.stranger-lifetime = '3s'"));
        let lifetime = Duration::from_secs(3);
        let (mut resident, _) = clients::on_tcp().allocated();
        let sent = [KEEPALIVES[0], KEEPALIVES[1], &BINDING];
        let strangers = sent.map(|bytes| {
            thread::spawn(move || {
                let mut stream = connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER);
                let start = Instant::now();
                while start.elapsed() < lifetime + LATE {
                    // It fails once the server has closed, as the test expects.
                    let _ = stream.write_all(bytes);
                    thread::sleep(Duration::from_millis(100));
                    if is_closed(&mut stream) {
                        return start.elapsed();
                    }
                }
                panic!("{bytes:02x?} keeps a connection open");
            })
        });
        for stranger in strangers {
            let took = stranger.join().expect("an end in time");
            assert!(took >= lifetime, "closed after {took:?}");
        }
        // A client with an allocation is no stranger, and has the whole time again once that has
        // ended.
        resident.binding();
        thread::sleep(lifetime);
        resident
            .refresh(Duration::ZERO)
            .expect("the allocation's end");
        let start = Instant::now();
        assert!(read_to_end(resident.socket.stream(), lifetime + LATE).is_empty());
        assert!(start.elapsed() >= lifetime - Duration::from_millis(200));
        assert_eq!(server.stop().sockets("connections-overdue"), 4);
    });
}

#[test]
fn connections_have_limits_for_one_net_and_for_all() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("tcp.per-prefix = 4\ntcp.connections = 6"));
        let from =
            |net: u8, host: u8| connect((Ipv4Addr::new(127, net, 0, host), 0).into(), SERVER);
        let is_refused = |stream: &TcpStream| read_to_end(stream, PATIENCE).is_empty();
        let mut one_net: Vec<TcpStream> = (1..=4).map(|host| from(9, host)).collect();
        assert!(is_refused(&from(9, 5)));
        let mut other_net = [from(10, 1), from(10, 2)];
        assert!(is_refused(&from(11, 1)));
        for stream in one_net.iter_mut().chain(&mut other_net) {
            assert!(is_answered(stream));
        }
        // A place is free again when its connection ends.
        one_net.pop();
        wait_for("a free place", PATIENCE, || {
            is_answered(&mut from(9, 6)).then_some(())
        });
        assert!(server.stop().sockets("connections-refused") >= 2);
    });
}

/// Whether a Binding over this connection is answered.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 32];
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.write_all(&BINDING).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.starts_with(&[0x01, 0x01])
}

/// Whether the server has closed the connection, with unread answers or without.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 512];
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).expect("a socket");
    end
}

/// Two nets, as one may not have so many connections.
fn crowd(number: u16) -> IpAddr {
    let [net, host] = [number % 2 + 1, number / 2 % 250 + 1].map(|part| part as u8);
    Ipv4Addr::new(127, net, 0, host).into()
}

/// The server raises its limit by itself; the test does it here.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the limit that was granted");
}

/// A Binding indication, and a Send indication without anything.
const KEEPALIVES: [&[u8]; 2] = [
    b"\x00\x11\x00\x00\x21\x12\xA4\x42still there.",
    b"\x00\x16\x00\x00\x21\x12\xA4\x42still there.",
];
/// The default of the server.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// How long after the deadline a busy machine may close a connection.
const LATE: Duration = Duration::from_secs(5);
/// The memory that a connection may cost the process before its first byte. Memory of the kernel is
/// not counted.
const MOST_FOR_SILENCE: u64 = 2560;
