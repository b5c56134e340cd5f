//! What the operator is promised: an orderly end, and a log that keeps the clients' addresses to
//! itself.

use std::net::UdpSocket;

use wire::AddressFamily;

use crate::{
    lab::{
        server::{PASSWORD, SECRET, Server, Setup, USER},
        world::{CLIENT_V4, PEER_V4, World, in_own_world},
    },
    session::{Refused, Session},
};

#[test]
fn sigterm_ends_every_allocation_and_the_process() {
    in_own_world(|world| {
        let mut server = world.serve(Setup::default());
        let mut sessions: Vec<_> = (0..5)
            .map(|_| Session::new(Setup::default().port))
            .collect();
        for session in &mut sessions {
            session.allocate(AddressFamily::V4).expect("an allocation");
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
        // Not even where everything is logged.
        let setup = Setup {
            log_level: "trace",
            ..Setup::default()
        };
        let (log, sessions) = log_of_a_busy_minute(world, setup);
        for session in sessions {
            let address = session.address();
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
        let setup = Setup {
            log_addresses: true,
            ..Setup::default()
        };
        let (log, sessions) = log_of_a_busy_minute(world, setup);
        for session in sessions {
            let address = session.address();
            assert!(log.contains(&address.to_string()), "{address} not in {log}");
        }
    });
}

#[test]
fn the_log_holds_no_password_and_no_secret() {
    in_own_world(|world| {
        let setup = Setup {
            log_level: "trace",
            log_addresses: true,
            ..Setup::default()
        };
        let (log, _) = log_of_a_busy_minute(world, setup);
        for hidden in [PASSWORD, SECRET, WRONG_PASSWORD] {
            assert!(!log.contains(hidden), "{hidden} in {log}");
        }
    });
}

/// What a server logs that relayed data and refused all that it can refuse, and the clients.
fn log_of_a_busy_minute(world: &World, setup: Setup) -> (String, [Session; 2]) {
    let port = setup.port;
    let mut server: Server = world.serve(setup);
    let mut welcome = Session::new(port);
    let mut stranger = Session::of(port, USER, WRONG_PASSWORD);
    assert_eq!(welcome.address().ip(), CLIENT_V4);

    let relayed = welcome.allocate(AddressFamily::V4).expect("an allocation");
    let peer = UdpSocket::bind((PEER_V4, 0)).expect("a free port");
    let address = peer.local_addr().expect("a bound socket");
    welcome.create_permission(address).expect("a permission");
    peer.send_to(b"hello", relayed).expect("a route");
    assert_eq!(welcome.receive(), (address, b"hello".to_vec()));
    let loopback = "127.0.0.1:9".parse().expect("an address");
    assert_eq!(welcome.bind_channel(loopback), Err(Refused(403)));
    assert_eq!(stranger.allocate(AddressFamily::V4), Err(Refused(401)));

    let log = server.stop().output;
    assert!(
        log.contains("allocation.opened") && log.contains("allocation.ended"),
        "{log}"
    );
    (log, [welcome, stranger])
}

const WRONG_PASSWORD: &str = "looking-glass";
