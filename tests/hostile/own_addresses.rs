//! A server at all addresses of its host, and one that wants the port of another.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket},
    process::Command,
    time::Duration,
};

use lab::{
    PATIENCE,
    program::Program,
    socket::peer_at,
    world::{CLIENT_V4, CLIENT_V6, PEER_V4, PEER_V6, in_own_world},
};
use tempfile::TempDir;

use crate::{
    server::{SERVER, Server, Setup},
    session,
};

#[test]
fn a_server_at_all_addresses_answers_from_the_one_that_was_asked() {
    in_own_world(|_| {
        let _server = Server::start(Setup {
            listen: &["0.0.0.0:3478", "[::]:3478"],
            ..Setup::default()
        });
        let mut addresses: Vec<SocketAddr> = ["127.0.0.1", "127.0.0.5", "::1"]
            .map(|ip| ip.parse().expect("an address"))
            .into_iter()
            .chain::<[IpAddr; 4]>([
                CLIENT_V4.into(),
                PEER_V4.into(),
                CLIENT_V6.into(),
                PEER_V6.into(),
            ])
            .map(|ip| SocketAddr::new(ip, 3478))
            .collect();
        addresses.push(link_local());
        for server in addresses {
            // The socket is connected to this address, so the client receives from no other.
            let mut session = session::on_udp_to(server);
            let mapped = session.binding();
            let own = session
                .socket
                .datagrams()
                .local_addr()
                .expect("a bound socket");
            assert_eq!((mapped.ip(), mapped.port()), (own.ip(), own.port()));
            let relayed = session.allocate().expect("an allocation");
            let (peer, address) = peer_at([127, 100, 0, 1]);
            session.bind_channel(address).expect("a channel");
            peer.send_to(b"to you", relayed)
                .expect("the relay is there");
            let heard = session.receive_within(PATIENCE);
            assert_eq!(heard.as_deref(), Some(&b"to you"[..]), "{server}");
        }
    });
}

#[test]
fn one_client_port_may_have_an_allocation_at_every_address_of_the_server() {
    in_own_world(|_| {
        let server = Server::start(Setup {
            listen: &["0.0.0.0:3478"],
            ..Setup::default()
        });
        let mut session = session::on_udp();
        let first = session.allocate().expect("an allocation");
        let other = SocketAddr::from(([127, 0, 0, 5], 3478));
        session
            .socket
            .datagrams()
            .connect(other)
            .expect("a route to the server");
        let second = session
            .allocate()
            .expect("an allocation of another 5-tuple");
        assert_ne!(first, second);
        session.refresh(Duration::ZERO).expect("its own end");
        server.wait_for_line(&["allocation.ended", &second.to_string()]);
        assert_eq!(server.log().matches("allocation.ended").count(), 1);
    });
}

#[test]
fn no_second_server_takes_a_part_of_the_clients() {
    in_own_world(|_| {
        let _server = Server::start(Setup::default());
        let rivals: [&'static [&'static str]; 2] = [&["127.0.0.1:3478"], &["0.0.0.0:3478"]];
        for listen in rivals {
            assert_cannot_listen(listen, "udp");
            // Every new client still reaches the first server, whatever the rival did.
            for _ in 0..50 {
                let mut session = session::on_udp();
                session.binding();
                session.allocate().expect("an allocation");
                session.refresh(Duration::ZERO).expect("its end");
            }
        }
    });
}

#[test]
fn a_port_that_any_other_program_has_is_named() {
    in_own_world(|_| {
        let other = UdpSocket::bind(SERVER).expect("a free port");
        assert_cannot_listen(&["127.0.0.1:3478"], "udp");
        drop(other);
        let other = TcpListener::bind(SERVER).expect("a free port");
        assert_cannot_listen(&["127.0.0.1:3478"], "tcp");
        drop(other);
        Server::start(Setup::default());
    });
}

/// Starts a server that must fail, and must tell the operator what to do.
#[track_caller]
fn assert_cannot_listen(listen: &'static [&'static str], transport: &str) {
    let files = TempDir::new().expect("a temporary directory");
    let setup = Setup {
        listen,
        ..Setup::default()
    };
    let ended = setup.start(&files).wait(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let place = format!("cannot listen on {transport} {}", listen[0]);
    for words in [&place[..], "key `listen`", "another program", "ss -ln"] {
        assert!(ended.output.contains(words), "{words}: {}", ended.output);
    }
}

/// A link-local address, which needs the name of its interface.
fn link_local() -> SocketAddr {
    let ip = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 0x77);
    run_ip(&[
        "address",
        "add",
        &format!("{ip}/64"),
        "dev",
        INTERFACE,
        "nodad",
    ]);
    let link = run_ip(&["-oneline", "link", "show", INTERFACE]);
    let (scope, _) = link.split_once(':').expect("number: name: ...");
    let scope = scope.parse().expect("the interface's number");
    SocketAddrV6::new(ip, 3478, 0, scope).into()
}

fn run_ip(arguments: &[&str]) -> String {
    let mut ip = Command::new("ip");
    ip.args(arguments);
    let ended = Program::run(ip, "iproute2", PATIENCE);
    assert!(ended.status.success(), "{}", ended.output);
    ended.output
}

/// The wire of the lab's world.
const INTERFACE: &str = "client0";
