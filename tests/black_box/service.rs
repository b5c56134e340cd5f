//! Promises to the operator: an orderly end, and a log without the clients' addresses.

use std::net::SocketAddr;

use client::{AllocateOptions, Transport};
use lab::{
    live::{Code, LiveClient},
    server::{PASSWORD, SECRET, Server, USER, serving},
    setup::Setup,
    socket::peer_at,
    world::{CLIENT_V4, PEER_V4, World, in_own_world},
};
use wire::AddressFamily;

#[test]
fn sigterm_ends_every_allocation_and_the_process() {
    serving(Setup::default(), |_, server| {
        let mut sessions: Vec<_> = (0..5).map(|_| LiveClient::udp()).collect();
        for session in &mut sessions {
            session.allocate().expect("an allocation");
        }

        let ended = server.stop();

        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        let reports = ended.output.matches("allocation.ended").count();
        assert_eq!(reports, sessions.len(), "{}", ended.output);
    });
}

#[test]
fn the_log_holds_no_address_of_a_client() {
    in_own_world(|world| {
        // Not even at the level that logs everything.
        let setup = Setup::default().with("log.level = 'trace'");
        let (log, clients) = log_of_a_busy_minute(world, setup);
        for address in clients {
            assert!(
                !log.contains(&address.ip().to_string()),
                "{address} in {log}"
            );
            assert!(
                !log.contains(&format!(":{}", address.port())),
                "{address} in {log}"
            );
        }
    });
}

#[test]
fn the_log_holds_the_clients_addresses_when_asked_to() {
    in_own_world(|world| {
        let setup = Setup::default().with("log.addresses = true");
        let (log, clients) = log_of_a_busy_minute(world, setup);
        for address in clients {
            assert!(log.contains(&address.to_string()), "{address} not in {log}");
        }
    });
}

#[test]
fn the_log_holds_no_password_and_no_secret() {
    in_own_world(|world| {
        let setup = Setup::default().with(&format!(
            "log.level = 'trace'\nlog.addresses = true\n\
             [[auth.realm]]\nname = 'example.net'\nsecrets = ['{OTHER_SECRET}']\n\
             [[oauth.key]]\nid = 'north'\nkey = '{TOKEN_KEY}'\n"
        ));
        let (log, _) = log_of_a_busy_minute(world, setup);
        for hidden in [PASSWORD, SECRET, WRONG_PASSWORD, OTHER_SECRET, TOKEN_KEY] {
            assert!(!log.contains(hidden), "{hidden} in {log}");
        }
    });
}

/// The log of a server that relayed data, moved a client and refused others, and the addresses that
/// they came from.
fn log_of_a_busy_minute(world: &World, setup: Setup) -> (String, [SocketAddr; 3]) {
    let mut server: Server = world.serve(
        // Ports that the kernel gives to no client.
        setup.with("relay.ports = '61000-65535'"),
    );
    let mut welcome = LiveClient::udp();
    let mut stranger = LiveClient::udp().login(USER, WRONG_PASSWORD);
    assert_eq!(welcome.address().ip(), CLIENT_V4);

    let mobile = AllocateOptions {
        mobile: true,
        ..AllocateOptions::default()
    };
    let relayed = welcome.allocate_with(mobile).expect("an allocation");
    let (peer, address) = peer_at(PEER_V4);
    welcome.create_permission(address).expect("a permission");
    peer.send_to(b"hello", relayed).expect("a route");
    assert_eq!(welcome.receive(), (address, b"hello".to_vec()));
    let was = welcome.address();
    let moved = welcome.roam(Transport::Udp, AddressFamily::V4);
    moved.expect("a good ticket");
    welcome.send(address, b"from elsewhere");
    let loopback = "127.0.0.1:9".parse().expect("an address");
    assert_eq!(welcome.bind_channel(loopback), Err(Code(403)));
    assert_eq!(stranger.allocate(), Err(Code(401)));

    let log = server.stop().output;
    for event in ["opened", "moved", "ended"] {
        assert!(log.contains(&format!("allocation.{event}")), "{log}");
    }
    (log, [was, welcome.address(), stranger.address()])
}

const WRONG_PASSWORD: &str = "looking-glass";
const OTHER_SECRET: &str = "a secret of another realm";
const TOKEN_KEY: &str = "ccQYbo3PSwCWXWzxvBBRhZqgsuOErrPAXcQgdJ5tC8g=";
