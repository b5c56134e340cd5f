//! Listeners that come and go while clients are served.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use lab::{
    PATIENCE,
    authority::Wish,
    live::{Code, LiveClient},
    server::{BINDING, PORT, Server, serving},
    setup::Setup,
    socket::{assert_hears, peer_at, udp_to},
    wait_for,
    world::{PEER_V4, SERVER_V4, in_own_world},
};
use rustix::process::Signal;
use wire::Transport;

use crate::admin::{Asked, operated, place};

/// Another port than the world's server has.
const OTHER: u16 = 3555;

fn at(port: u16) -> SocketAddr {
    (SERVER_V4, port).into()
}

fn client(port: u16, transport: Transport) -> LiveClient {
    LiveClient::to(at(port), transport)
}

/// Has the server read another configuration.
fn reload(server: &Server, setup: &Setup) {
    let config = server.config();
    setup.write(Path::new(&config).parent().expect("a directory"));
    server.program.signal(Signal::HUP);
}

/// Sends data both ways.
#[track_caller]
fn passes(client: &mut LiveClient, peer: &UdpSocket, relayed: SocketAddr) {
    let there = peer.local_addr().expect("an address");
    client.post(there, b"out");
    assert_hears(peer, relayed, b"out");
    peer.send_to(b"in", relayed).expect("a route");
    assert_eq!(client.receive(), (there, b"in".to_vec()));
}

/// With several shards the clients have sockets of several: were one of them to close, the kernel would
/// lead its clients to the others.
#[test]
fn listeners_come_and_go_at_a_reload_and_calls_on_those_that_go_have_their_end() {
    let place = place();
    let socket = place.path().join("admin.sock");
    let setup = |port: u16| {
        let keys = format!("threads = 4\nadmin.socket = '{}'", socket.display());
        Setup::on_port(port).with(&keys)
    };
    serving(setup(PORT), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (peer, there) = peer_at(PEER_V4);
        let mut calls: Vec<_> = (0..12)
            .map(|_| client(PORT, Transport::Udp).allocated())
            .collect();
        calls.push(client(PORT, Transport::Tcp).allocated());
        for (call, _) in &mut calls {
            call.create_permission(there).expect("a permission");
        }
        let told = asked.succeed(&["check", "--against-running"]);
        assert!(told.ends_with("a reload would change: nothing\n"), "{told}");

        reload(server, &setup(OTHER));
        server.wait_for_line(&["configuration.reloaded", "changed=\"[[listener]]\""]);
        server.wait_for_lines("listener.retired", 4);
        for transport in [Transport::Udp, Transport::Tcp] {
            client(OTHER, transport).allocated();
        }
        let status = asked.json(&["status"]);
        let listens = |list: &str, port: u16| {
            let listed = status[list].as_array().expect("a list");
            let ends = format!(":{port}");
            listed
                .iter()
                .all(|it| it[1].as_str().is_some_and(|it| it.ends_with(&ends)))
        };
        assert!(
            listens("listeners", OTHER) && listens("retiring", PORT),
            "{status}"
        );
        // Nothing new there: over UDP an answer sends clients elsewhere, over TCP the kernel does.
        let late = client(PORT, Transport::Udp).allocate();
        assert_eq!(late, Err(Code(508)));
        server.wait_for_line(&["cause=\"listener-retires\""]);
        let refused = TcpStream::connect(at(PORT)).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));

        let minute = Duration::from_secs(600);
        for (call, relayed) in &mut calls {
            passes(call, &peer, *relayed);
            call.refresh(minute).expect("a refresh");
            call.create_permission(there).expect("a permission");
        }
        // Nobody came over IPv6.
        server.wait_for_lines("listener.closed", 1);
        // The last one of them keeps all sockets of the address.
        while calls.len() > 2 {
            let (mut call, _) = calls.remove(0);
            call.refresh(Duration::ZERO).expect("an end");
            let (first, relayed) = &mut calls[0];
            passes(first, &peer, *relayed);
        }
        assert_eq!(server.log().matches("listener.closed").count(), 1);
        let (mut last, _) = calls.remove(0);
        last.refresh(Duration::ZERO).expect("an end");
        server.wait_for_lines("listener.closed", 2);
        let gone = udp_to(at(PORT));
        gone.send(&BINDING).expect("a route");
        let refused = gone.recv(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        // A connection has a socket of its own.
        let (tcp, relayed) = &mut calls[0];
        passes(tcp, &peer, *relayed);

        reload(server, &setup(PORT));
        server.wait_for_lines("configuration.reloaded", 2);
        client(PORT, Transport::Udp).allocated();
        client(PORT, Transport::Tcp).allocated();
    });
}

#[test]
fn a_listener_that_comes_back_before_its_last_call_has_ended_is_one_again() {
    serving(Setup::default(), |_, server| {
        let (mut call, relayed) = client(PORT, Transport::Udp).allocated();
        let (peer, there) = peer_at(PEER_V4);
        call.create_permission(there).expect("a permission");
        reload(server, &Setup::on_port(OTHER));
        server.wait_for_lines("configuration.reloaded", 1);
        assert_eq!(client(PORT, Transport::Udp).allocate(), Err(Code(508)));
        reload(server, &Setup::default());
        server.wait_for_lines("configuration.reloaded", 2);
        let (mut second, _) = client(PORT, Transport::Udp).allocated();
        passes(&mut call, &peer, relayed);
        call.refresh(Duration::ZERO).expect("an end");
        // It stays, now that nothing retires any more.
        std::thread::sleep(Duration::from_secs(2));
        second.refresh(Duration::from_secs(600)).expect("a refresh");
        client(PORT, Transport::Udp).allocated();
    });
}

#[test]
fn a_listener_that_cannot_be_had_makes_the_reload_fail_whole() {
    in_own_world(|world| {
        let place = place();
        let server = world.serve(operated(&place, ""));
        let asked = &Asked::begin(world, &server, &place);
        let _other = world.serve(Setup::on_port(OTHER));
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        let (mut call, _) = client(PORT, Transport::Udp).allocated();
        let refused = |more: &str, words: &[&str]| {
            // A user beside the listener, who is not to be known either.
            let users = "auth.users]\nbob = 'looking-glass'\n";
            let text = good.replacen("auth.users]\n", users, 1) + more;
            fs::write(&file, text).expect("our directory");
            for command in [["reload"].as_slice(), &["reload", "--dry-run"]] {
                let told = asked.fail(command);
                for word in words {
                    assert!(told.contains(word), "{word}: {told}");
                }
            }
        };
        let listener = |transport: &str, listen: SocketAddr| {
            format!("\n[[listener]]\ntransport = '{transport}'\nlisten = '{listen}'\n")
        };
        for transport in ["udp", "tcp"] {
            let words = [transport, ":3555", "key `listen`", "another program"];
            refused(&listener(transport, at(OTHER)), &words);
        }
        // The kernel would lead the clients of the one to the other.
        let every = ([0, 0, 0, 0], PORT).into();
        refused(
            &listener("udp", every),
            &["0.0.0.0:3478", "198.51.100.1:3478", "restart"],
        );
        let mut bob = client(PORT, Transport::Udp).login("bob", "looking-glass");
        assert_eq!(bob.allocate(), Err(Code(401)));
        call.refresh(Duration::from_secs(600)).expect("a refresh");
        let log = server.log();
        assert_eq!(
            log.matches("configuration.refused").count(),
            3,
            "a dry run is no news: {log}"
        );
        assert!(!log.contains("listener.retired"), "{log}");
    });
}

#[test]
fn tls_begins_at_a_reload_that_brings_its_certificate() {
    in_own_world(|world| {
        let server = world.serve(Setup::default());
        let (mut call, _) = client(PORT, Transport::Tcp).allocated();
        let missing = format!("[[listener]]\ntransport = 'tls'\nlisten = '{}'", at(5349));
        reload(&server, &Setup::default().with(&missing));
        server.wait_for_line(&["configuration.refused"]);
        reload(
            &server,
            &Setup::default()
                .with(&missing)
                .with_certificates(&[Wish::RIGHT]),
        );
        server.wait_for_line(&[
            "configuration.reloaded",
            "[[listener]]",
            "[[tls.certificates]]",
        ]);
        LiveClient::tls().allocated();
        // One port for both from now on, and TCP alone again: connections live on.
        let text = |transports: &str| {
            let listen = at(PORT);
            format!("listener = [{{ transport = '{transports}', listen = '{listen}' }}]")
        };
        let only = |transports: &str| {
            let setup = Setup::default().without("listener").with(&text(transports));
            setup.with_certificates(&[Wish::RIGHT])
        };
        reload(&server, &only("auto"));
        server.wait_for_lines("configuration.reloaded", 2);
        let (mut secure, _) = client(PORT, Transport::Tls).allocated();
        let (mut udp, _) = client(PORT, Transport::Udp).allocated();
        reload(&server, &only("tcp"));
        server.wait_for_lines("configuration.reloaded", 3);
        for call in [&mut call, &mut secure, &mut udp] {
            call.refresh(Duration::from_secs(600)).expect("a refresh");
        }
        assert_eq!(client(PORT, Transport::Udp).allocate(), Err(Code(508)));
        wait_for("a listener without TLS", PATIENCE, || {
            let mut plain = client(PORT, Transport::Tcp);
            plain.allocate().ok()
        });
    });
}
