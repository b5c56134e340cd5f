//! TLS that is begun and not ended, handshakes without end, and what a session costs.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use lab::{
    server::{Server, TLS_PORT},
    setup::Setup,
    tls::{TlsSession, trusting_anew},
    world::in_own_world,
};
use rustls::ClientConnection;

use crate::{
    bystander::Bystander,
    clients,
    crowds::{self, assert_once_within, five_requests},
    reflection::yield_to_others,
    server::{SERVER, setup},
    silence::allow_many_files,
    strangers::socket_at,
    stream::{connect, read_to_end},
};

/// Silence before the first byte, in the middle of a handshake, and a byte now and then.
#[test]
fn connections_to_a_tls_port_that_say_nothing_or_too_little_cost_little_and_are_closed_in_time() {
    in_own_world(|_| {
        allow_many_files();
        let mut server = Server::start(with_tls().with("tcp.first-frame = '6s'"));
        let bystanders = [Bystander::start(), Bystander::of(clients::on_tls())];
        let memory = || server.program.memory();
        let start = Instant::now();
        let before = memory();
        let silent = crowd(SILENT);
        let hello = hello();
        // The last connection to be accepted is served, and so were those before it.
        drop(clients::on_tls());
        let each = memory().saturating_sub(before) / SILENT as u64;
        println!("{SILENT} connections that say nothing cost {each} bytes each");
        assert!(each <= MOST_FOR_SILENCE, "{each} bytes each");

        let before = server.program.peak_memory();
        let mut half = crowd(HALF);
        for stream in &mut half {
            stream.write_all(&hello).expect("a connection");
        }
        let slow = connect(source(0), tls_port());
        let slow = thread::spawn(move || send_slowly(slow, hello, start));
        // A server that is too busy for all of them closes the rest in time, too.
        let answered = half
            .iter()
            .filter(|it| it.peek(&mut [0]).is_ok_and(|length| length > 0));
        let answered = answered.count();
        let each = server.program.peak_memory().saturating_sub(before) / HALF as u64;
        println!("{HALF} half handshakes, {answered} of them answered, cost {each} bytes each");
        assert!(answered > 0, "no hello is answered");
        assert!(each <= MOST_FOR_A_SESSION, "{each} bytes each");

        for stream in silent.iter().chain(&half) {
            read_to_end(stream, FIRST_FRAME + LATE);
        }
        assert!(start.elapsed() >= FIRST_FRAME, "they were closed early");
        slow.join().expect("an end in time");
        for bystander in bystanders {
            bystander.finish().assert_undisturbed();
        }
        let ended = server.stop();
        let idle = (SILENT + HALF + 1) as u64;
        assert_eq!(ended.sockets("connections-idle"), idle);
    });
}

#[test]
fn a_session_that_is_silent_after_its_handshake_costs_little() {
    in_own_world(|_| {
        allow_many_files();
        let server = Server::start(with_tls());
        let config = trusting_anew().into();
        let shake = |number| {
            let stream = connect(source(number), tls_port());
            let config = std::sync::Arc::clone(&config);
            TlsSession::connect(stream, SERVER.ip().into(), config).expect("a session")
        };
        let _first: Vec<TlsSession> = (0..10).map(shake).collect();
        let before = server.program.memory();
        let sessions: Vec<TlsSession> = (0..SESSIONS).map(shake).collect();
        let each = server.program.memory().saturating_sub(before) / SESSIONS as u64;
        println!("{SESSIONS} silent TLS sessions cost {each} bytes each");
        assert!(each <= MOST_FOR_A_SESSION, "{each} bytes each");
        drop(sessions);
    });
}

/// One network has its share of handshakes; many networks together leave time to everybody else.
#[test]
fn handshakes_without_end_do_not_stall_sessions() {
    in_own_world(|_| {
        let mut server = crowds::start(with_tls());
        for (networks, what) in [(1, "one network"), (20, "twenty networks")] {
            let bystanders = [Bystander::start(), Bystander::of(clients::on_tls())];
            let (busy, start) = (server.program.processor_time(), Instant::now());
            let count = shake_hands_from(networks);
            let took = start.elapsed();
            let busy = (server.program.processor_time() - busy).as_secs_f64() / took.as_secs_f64();
            let rate = count as f64 / took.as_secs_f64();
            println!("{what}: {rate:.0} handshakes a second, the server is busy for {busy:.2}");
            for bystander in bystanders {
                let trips = bystander.finish();
                println!("beside them: {trips}");
                trips.assert_lossless();
                trips.assert_within(95, DELAYED);
            }
            if networks == 1 {
                let most = AT_ONCE + took.as_secs_f64() * A_SECOND;
                assert!(
                    (count as f64) <= most * 1.1 + THREADS as f64,
                    "{count} handshakes"
                );
            }
        }
        server.stop();
    });
}

/// Answers to these are all that a client who never reads can make the server keep.
#[test]
fn a_client_that_changes_its_keys_all_the_time_costs_no_memory() {
    in_own_world(|_| {
        let server = Server::start(with_tls());
        let bystander = Bystander::start();
        let before = server.program.peak_memory();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            change_keys(20_000);
        }
        let grown = server.program.peak_memory().saturating_sub(before);
        println!("changes of keys cost {grown} bytes");
        assert!(grown <= 2 << 20, "{grown} bytes");
        bystander.finish().assert_undisturbed();
    });
}

/// A record costs as much as a frame, and may hold one byte.
#[test]
fn sessions_that_send_records_of_one_byte_do_not_starve_clients_over_udp() {
    in_own_world(|_| {
        let server = crowds::start(with_tls());
        let asker = socket_at(Ipv4Addr::new(127, 51, 0, 3));
        assert_once_within(DELAYED, || {
            let crowd: Vec<(TcpStream, Vec<u8>)> = (0..CRUMBLERS).map(crumbs).collect();
            let crumblers = crowd.into_iter().map(|(mut stream, crumbs)| {
                // All that the kernel takes is there when the server goes on.
                stream.set_nonblocking(true).expect("a socket");
                let sent = stream.write(&crumbs).expect("room for some");
                (stream, sent)
            });
            let crumblers: Vec<(TcpStream, usize)> =
                server.program.while_stopped(|| crumblers.collect());
            let took = five_requests(&asker);
            let sent: usize = crumblers.iter().map(|(_, sent)| sent).sum();
            println!("{sent} bytes of crumbs");
            took
        });
    });
}

/// The connection of a session with an allocation, and records of a byte each that end no frame.
fn crumbs(number: usize) -> (TcpStream, Vec<u8>) {
    let config = trusting_anew().into();
    let mut session = ClientConnection::new(config, SERVER.ip().into()).expect("a session");
    let mut stream = connect(source(number), tls_port());
    while session.is_handshaking() {
        session.complete_io(&mut stream).expect("a handshake");
    }
    let mut crumbs = Vec::new();
    // A Binding indication with an attribute that is as long as it can be.
    let whole = [
        &b"\x00\x11\x0F\xE8\x21\x12\xA4\x42what am I?  \x80\xFF\x0F\xE4"[..],
        &[0; 4068],
    ];
    for byte in whole.concat().iter().take(4000) {
        session.writer().write_all(&[*byte]).expect("memory");
        session.write_tls(&mut crumbs).expect("memory");
    }
    (stream, crumbs)
}

/// Changes the keys of a session so often, with a request between that the server answers; reads
/// nothing. The server may end it.
fn change_keys(times: usize) {
    let mut stream = connect(source(0), tls_port());
    stream.set_write_timeout(Some(LATE)).expect("not zero");
    let config = trusting_anew().into();
    let mut session = ClientConnection::new(config, SERVER.ip().into()).expect("a session");
    while session.is_handshaking() {
        session.complete_io(&mut stream).expect("a handshake");
    }
    for _ in 0..times {
        session.refresh_traffic_keys().expect("TLS 1.3");
        session.writer().write_all(KEEPALIVE).expect("memory");
        while session.wants_write() {
            if session.write_tls(&mut stream).is_err() {
                return;
            }
        }
    }
}

/// Handshakes as fast as threads can make them; returns how many came to their end.
fn shake_hands_from(networks: usize) -> usize {
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                yield_to_others();
                let config = std::sync::Arc::new(trusting_anew());
                while !stop.load(Ordering::Relaxed) {
                    let stream = connect(source(thread % networks), tls_port());
                    // It takes its time, and fails where the server gives up waiting.
                    let session = TlsSession::connect(stream, SERVER.ip().into(), config.clone());
                    count.fetch_add(usize::from(session.is_ok()), Ordering::Relaxed);
                }
            });
        }
        thread::sleep(SHAKING);
        stop.store(true, Ordering::Relaxed);
    });
    count.into_inner()
}

/// A byte of a hello now and then, until the server has enough of it.
fn send_slowly(mut stream: TcpStream, hello: Vec<u8>, start: Instant) {
    for byte in hello {
        thread::sleep(Duration::from_millis(100));
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        assert!(
            start.elapsed() < FIRST_FRAME + LATE,
            "it is served for ever"
        );
    }
}

/// A hello of a client.
fn hello() -> Vec<u8> {
    let config = trusting_anew().into();
    let mut session = ClientConnection::new(config, SERVER.ip().into()).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory");
    hello
}

fn crowd(count: usize) -> Vec<TcpStream> {
    let all = (0..count).map(|number| connect(source(number), tls_port()));
    all.collect()
}

/// Addresses of twenty networks, as one may not have so many connections.
fn source(number: usize) -> SocketAddr {
    let net = u8::try_from(number % 20).expect("few of them");
    let ip = IpAddr::from(Ipv4Addr::new(127, 90, net, 1));
    (ip, 0).into()
}

fn tls_port() -> SocketAddr {
    (SERVER.ip(), TLS_PORT).into()
}

fn with_tls() -> Setup {
    setup().with_tls()
}

const SILENT: usize = 5000;
const HALF: usize = 2000;
const SESSIONS: usize = 500;
const CRUMBLERS: usize = 60;
const THREADS: usize = 20;
const SHAKING: Duration = Duration::from_secs(3);
const FIRST_FRAME: Duration = Duration::from_secs(6);
/// How long after the deadline a busy machine may close a connection.
const LATE: Duration = Duration::from_secs(6);
/// Before the first byte.
const MOST_FOR_SILENCE: u64 = 3072;
/// With the keys of both ways.
const MOST_FOR_A_SESSION: u64 = 24 << 10;
/// Handshakes of one network: at once, and then in a second.
const AT_ONCE: f64 = 3072.0 / 16.0;
const A_SECOND: f64 = 1024.0 / 16.0;
/// For people to notice nothing. 10 ms are the target on a quiet machine with a release build.
const DELAYED: Duration = Duration::from_millis(200);
/// A Binding indication.
const KEEPALIVE: &[u8] = b"\x00\x11\x00\x00\x21\x12\xA4\x42still there.";
