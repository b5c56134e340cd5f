//! Clients behind a proxy, and visitors of the web server on the same port.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE, authority::Wish, raw::forge, server::Server, setup::Setup, socket::udp_to, wait_for,
    world::in_own_world,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::{
    bystander::Bystander,
    server::{SERVER, setup},
    silence::allow_many_files,
    stream::{connect, read_to_end},
};

#[test]
fn five_thousand_connections_of_a_proxy_that_dribble_a_header_cost_little_and_end_in_time() {
    in_own_world(|_| {
        allow_many_files();
        let more = "proxy-protocol.tcp-from = ['127.9.0.0/16']\ntcp.first-frame = '5s'";
        let mut server = Server::start(setup().with(more));
        let bystander = Bystander::start();
        let before = server.program.memory();
        let mut crowd: Vec<TcpStream> = (0..5000_u16)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                let mut stream = connect((Ipv4Addr::new(127, 9, high, low), 0).into(), SERVER);
                stream.write_all(b"PROXY TCP4 192.0.2.").expect("a server");
                stream
            })
            .collect();
        let connected = Instant::now();
        for digit in [b"7", b"8", b"9"] {
            for stream in &mut crowd {
                // The first may be over already.
                let _ = stream.write_all(digit);
            }
            thread::sleep(Duration::from_millis(500));
        }
        let each = server.program.memory().saturating_sub(before) / 5000;
        println!("a header that dribbles costs {each} bytes");
        assert!(each <= MOST_FOR_A_HEADER, "{each} bytes each");
        for stream in &crowd {
            assert!(read_to_end(stream, PATIENCE).is_empty());
        }
        assert!(connected.elapsed() <= Duration::from_secs(10));
        bystander.finish().assert_undisturbed();
        let ended = server.stop();
        assert_eq!(ended.sockets("connections-idle"), 5000);
    });
}

/// As fast as the server passes them on.
#[test]
fn visitors_of_the_web_server_who_load_without_end_disturb_no_call() {
    in_own_world(|_| {
        let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = web.local_addr().expect("a bound socket");
        thread::spawn(move || {
            for stream in web.incoming() {
                let mut stream = stream.expect("a connection");
                // It ends when the visitor does.
                thread::spawn(move || while stream.write_all(&[7; 64 << 10]).is_ok() {});
            }
        });
        let port = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
        let setup = with_web(port, &format!("https-backend = '{at}'"));
        let mut server = Server::start(setup);
        let bystander = Bystander::start();
        let end = Instant::now() + Duration::from_secs(3);
        let visitors: Vec<_> = (1..=20)
            .map(|host| {
                let mut stream = connect((Ipv4Addr::new(127, 30, 0, host), 0).into(), port);
                stream.write_all(&hello()).expect("a server");
                thread::spawn(move || {
                    let (mut buffer, mut loaded) = (vec![0; 64 << 10], 0);
                    while Instant::now() < end {
                        loaded += stream.read(&mut buffer).expect("a page without end");
                    }
                    loaded
                })
            })
            .collect();
        let loaded = visitors.into_iter().map(|it| it.join().expect("a visitor"));
        let loaded: Vec<usize> = loaded.collect();
        println!(
            "20 visitors loaded {} MiB",
            loaded.iter().sum::<usize>() >> 20
        );
        assert!(loaded.iter().all(|loaded| *loaded > 0), "{loaded:?}");
        bystander.finish().assert_undisturbed();
        assert_eq!(server.stop().sockets("web-connections"), 20);
    });
}

#[test]
fn forged_beginnings_of_quic_take_bounded_memory_and_disturb_no_call() {
    in_own_world(|_| {
        allow_many_files();
        let web = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = web.local_addr().expect("a bound socket");
        let port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 443);
        let setup = with_web(port.into(), &format!("quic-backend = '{at}'"));
        let mut server = Server::start(setup);
        let bystander = Bystander::start();
        let before = server.program.memory();
        let start = Instant::now();
        for number in 0..FORGED {
            let [_, high, middle, low] = number.to_be_bytes();
            let source = Ipv4Addr::new(127, 20 + high, middle, low);
            forge(&initial(), SocketAddrV4::new(source, 4711), port);
        }
        let took = start.elapsed();
        let grown = server.program.memory().saturating_sub(before);
        println!("{FORGED} forged beginnings in {took:?} cost {grown} bytes of memory");
        assert!(grown <= MOST_FOR_FORGED, "{grown} bytes");
        // In ten seconds those that nobody stands behind have ended.
        let client = udp_to(SocketAddr::V4(port));
        web.set_nonblocking(true).expect("a socket");
        wait_for("a flow of a client that is there", PATIENCE, || {
            while web.recv(&mut [0; 2048]).is_ok() {}
            client
                .send(&[&initial()[..1199], b"!"].concat())
                .expect("a route");
            thread::sleep(Duration::from_millis(100));
            let mut datagram = [0; 2048];
            let mut came = || web.recv(&mut datagram).map(|length| datagram[length - 1]);
            std::iter::from_fn(|| came().ok()).find(|last| *last == b'!')
        });
        bystander.finish().assert_undisturbed();
        let ended = server.stop();
        let flows = ended.sockets("quic-flows");
        println!("{flows} flows, {} refused", ended.sockets("quic-refused"));
        let most = FLOWS * (1 + start.elapsed().as_secs() / 10);
        assert!((FLOWS..=most).contains(&flows), "{flows} flows");
    });
}

/// The server with another listener, for everything, and what `[web]` says.
fn with_web(listen: SocketAddr, web: &str) -> Setup {
    setup().with_certificates(&[Wish::RIGHT]).with(&format!(
        "[[listener]]\ntransport = 'auto'\nlisten = '{listen}'\n[web]\n{web}"
    ))
}

/// The hello of a client that asks for another name.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = "www.test".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a name");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    hello
}

/// A datagram that may begin a connection. RFC 9000 §17.2.2.
fn initial() -> Vec<u8> {
    let mut datagram = b"\xC3\0\0\0\x01\x08invented\x03own".to_vec();
    datagram.resize(1200, 0);
    datagram
}

const FORGED: u32 = 30_000;
/// Those of one shard whose clients have shown nothing.
const FLOWS: u64 = 1024;
/// Some 4 KiB each.
const MOST_FOR_FORGED: u64 = 4 << 20;
const MOST_FOR_A_HEADER: u64 = 3 * 1024;
