//! A server at all addresses of its host, and one that wants the port of another.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket},
    time::Duration,
};

use lab::{
    PATIENCE,
    machine::configure,
    program::{Program, here},
    server::{PORT, Server},
    socket::peer_at,
    world::{CLIENT_V4, CLIENT_V6, PEER_V4, PEER_V6, in_own_world},
};
use tempfile::TempDir;

use crate::clients;
use crate::server::{SERVER, setup, setup_at};

#[test]
fn a_server_at_all_addresses_answers_from_the_one_that_was_asked() {
    in_own_world(|_| {
        let _server = Server::start(setup_at(&[ANY_V4, ANY_V6]));
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
            let mut session = clients::on_udp_to(server);
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
        let server = Server::start(setup_at(&[ANY_V4]));
        let (mut session, first) = clients::on_udp().allocated();
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
        let _server = Server::start(setup());
        for listen in [SERVER, ANY_V4] {
            assert_cannot_listen(listen, "udp");
            // Every new client still reaches the first server, whatever the rival did.
            for _ in 0..50 {
                let mut session = clients::on_udp();
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
        assert_cannot_listen(SERVER, "udp");
        drop(other);
        let other = TcpListener::bind(SERVER).expect("a free port");
        assert_cannot_listen(SERVER, "tcp");
        drop(other);
        Server::start(setup());
    });
}

/// Starts a server that must fail, and must tell the operator what to do.
#[track_caller]
fn assert_cannot_listen(listen: SocketAddr, transport: &str) {
    let files = TempDir::new().expect("a temporary directory");
    let ended = Program::run(setup_at(&[listen]).command(here, files.path()), PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let place = format!("cannot listen on {transport} {listen}");
    for words in [&place[..], "key `listen`", "another program", "ss -ln"] {
        assert!(ended.output.contains(words), "{words}: {}", ended.output);
    }
}

/// A link-local address, which needs the name of its interface.
fn link_local() -> SocketAddr {
    let ip = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 0x77);
    configure(
        here("ip"),
        &format!("address add {ip}/64 dev {INTERFACE} nodad\n"),
    );
    let mut ip_link = here("ip");
    ip_link.args(["-oneline", "link", "show", INTERFACE]);
    let link = Program::succeed(ip_link);
    let (scope, _) = link.split_once(':').expect("number: name: ...");
    let scope = scope.parse().expect("the interface's number");
    SocketAddrV6::new(ip, 3478, 0, scope).into()
}

/// The wire of the lab's world.
const INTERFACE: &str = "client0";

const ANY_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
const ANY_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);
