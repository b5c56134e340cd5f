//! Proxies in front of the server that speak the PROXY protocol: Debian's haproxy and nginx.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
};

use client::Transport;
use lab::{
    daemons::{haproxy, nginx},
    live::LiveClient,
    server::serving,
    setup::Setup,
    socket::{assert_hears, peer_at, udp_to},
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World},
};

/// The ports of proxies on the server's host: a header of version 1 and of version 2 by haproxy, of
/// version 1 by nginx.
const PORTS: [u16; 3] = [5001, 5002, 5003];

/// The world's server, for proxies on its own host.
fn setup() -> Setup {
    Setup::default().with(&format!("proxy-protocol.tcp-from = ['{SERVER_V4}']"))
}

/// haproxy at both families, which also looks whether the server is well.
fn haproxy_sections() -> String {
    let of = |port: u16, version: &str| {
        format!(
            "listen port{port}\n bind {SERVER_V4}:{port}\n bind {SERVER_V6}:{port}\n \
             server hairpin {SERVER_V4}:3478 {version} check check-send-proxy inter 200ms\n"
        )
    };
    of(PORTS[0], "send-proxy") + &of(PORTS[1], "send-proxy-v2")
}

fn nginx_blocks() -> String {
    format!(
        "stream {{ server {{ listen {SERVER_V4}:{0}; listen [{SERVER_V6}]:{0}; \
         proxy_pass {SERVER_V4}:3478; proxy_protocol on; }} }}",
        PORTS[2]
    )
}

fn proxies(world: &World) -> [lab::daemons::Daemon; 2] {
    let at = SocketAddr::new(SERVER_V4.into(), PORTS[0]);
    [
        haproxy(|it| world.on_server_host(it), &haproxy_sections(), at),
        nginx(|it| world.on_server_host(it), &nginx_blocks()),
    ]
}

/// The proxies are on the server's own host, from where nobody may allocate: the client is the one
/// that they name.
#[test]
fn clients_behind_haproxy_and_nginx_relay_as_themselves_over_tcp() {
    serving(setup(), |world, server| {
        let _proxies = proxies(world);
        let (peer, peer_address) = peer_at(PEER_V4);
        for port in PORTS {
            for ip in [IpAddr::from(SERVER_V4), SERVER_V6.into()] {
                let mut client = LiveClient::to((ip, port), Transport::Tcp);
                assert_eq!(client.binding(), client.address());
                let relayed = client.allocate_of(wire::AddressFamily::V4);
                let relayed = relayed.expect("an allocation");
                let channel = client.bind_channel(peer_address).expect("a channel");
                client.post_on(channel, b"ping");
                assert_hears(&peer, relayed, b"ping");
                peer.send_to(b"pong", relayed).expect("a route");
                assert_eq!(client.receive(), (peer_address, b"pong".to_vec()));
            }
        }
        let ended = server.stop();
        assert_eq!(ended.sockets("proxy-header-missing"), 0);
        assert_eq!(ended.sockets("connections-broken"), 0);
    });
}

#[test]
fn a_header_from_a_host_that_is_no_proxy_is_logged_with_the_key() {
    serving(setup(), |_, server| {
        for header in [
            &b"PROXY TCP4 203.0.113.77 198.51.100.1 4711 443\r\n"[..],
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C",
        ] {
            let client = LiveClient::to((SERVER_V4, 3478), Transport::Tcp);
            client.socket.send(header);
            let mut rest = [0; 1];
            let end = std::io::Read::read(&mut client.socket.stream(), &mut rest);
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        }
        server.wait_for_line(&["PROXY header", "`tcp-from`", "[proxy-protocol]"]);
        let address = CLIENT_V4.to_string();
        let ended = server.stop();
        assert!(!ended.output.contains(&address), "{}", ended.output);
        assert_eq!(ended.sockets("proxy-header-foreign"), 2);
    });
}

#[test]
fn a_proxy_that_sends_no_header_is_told_by_name() {
    let setup = Setup::default().with(&format!("proxy-protocol.tcp-from = ['{CLIENT_V4}']"));
    serving(setup, |_, server| {
        let client = LiveClient::to((SERVER_V4, 3478), Transport::Tcp);
        client.socket.send(&lab::server::BINDING);
        server.wait_for_line(&[
            "PROXY header",
            "198.51.100.2",
            "send-proxy-v2",
            "`tcp-from`",
        ]);
        assert_eq!(server.stop().sockets("proxy-header-missing"), 1);
    });
}

/// A proxy for one client, at this address: each datagram gets a header of version 2, and answers
/// come back without one.
fn proxy_for_one(front: UdpSocket, back: UdpSocket) {
    let (there, here) = (front.try_clone(), back.try_clone());
    let at = front.local_addr().expect("a bound socket");
    let (clients, client) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (front, mut buffer) = (there.expect("a socket"), [0; 2048]);
        while let Ok((length, from)) = front.recv_from(&mut buffer) {
            let _ = clients.send(from);
            let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (from, at) else {
                continue;
            };
            let mut datagram = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C".to_vec();
            datagram.extend(source.ip().octets());
            datagram.extend(destination.ip().octets());
            datagram.extend(source.port().to_be_bytes());
            datagram.extend(destination.port().to_be_bytes());
            datagram.extend(&buffer[..length]);
            let _ = back.send(&datagram);
        }
    });
    thread::spawn(move || {
        let (back, mut buffer) = (here.expect("a socket"), [0; 2048]);
        let client = client.recv().expect("a first datagram");
        while let Ok(length) = back.recv(&mut buffer) {
            let _ = front.send_to(&buffer[..length], client);
        }
    });
}

#[test]
fn a_client_behind_a_proxy_of_datagrams_relays_as_itself() {
    let setup = Setup::default().with("proxy-protocol.udp-from = ['203.0.113.9']");
    serving(setup, |_, server| {
        let (front, at) = peer_at(PEER_V4);
        let back = peer_at(PEER_V4).0;
        back.connect((SERVER_V4, 3478)).expect("a route");
        proxy_for_one(front, back);
        let mut client = LiveClient::to(at, Transport::Udp);
        assert_eq!(client.binding(), client.address());
        let (mut client, relayed) = client.allocated();
        let (peer, peer_address) = peer_at(PEER_V4);
        let channel = client.bind_channel(peer_address).expect("a channel");
        client.post_on(channel, b"ping");
        assert_hears(&peer, relayed, b"ping");
        peer.send_to(b"pong", relayed).expect("a route");
        assert_eq!(client.receive(), (peer_address, b"pong".to_vec()));
        drop(client);
        assert_eq!(server.stop().sockets("proxy-header-missing"), 0);
    });
}

/// nginx writes a line of version 1 before the first datagram of a client, and what follows is the
/// client's alone: it could name any address there.
#[test]
fn nginx_in_front_of_udp_is_refused_with_the_reason() {
    let setup = Setup::default().with(&format!("proxy-protocol.udp-from = ['{SERVER_V4}']"));
    serving(setup, |world, server| {
        let blocks = format!(
            "stream {{ server {{ listen {SERVER_V4}:5004 udp; proxy_pass {SERVER_V4}:3478; \
             proxy_protocol on; }} }}"
        );
        let _nginx = nginx(|it| world.on_server_host(it), &blocks);
        let client = udp_to((SERVER_V4, 5004).into());
        client.send(&lab::server::BINDING).expect("a route");
        server.wait_for_line(&["version 2", "nginx", "`udp-from`"]);
        client.send(&lab::server::BINDING).expect("a route");
        // A client that is not behind the proxy is served.
        let mut other = LiveClient::udp();
        assert_eq!(other.binding(), other.address());
    });
}
