//! Sockets that systemd binds for the server.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};

use client::Transport;
use lab::{
    PATIENCE,
    live::LiveClient,
    program::Program,
    server::Server,
    setup::Setup,
    world::{SERVER_V4, SERVER_V6, World, in_own_world},
};
use rustix::process::Signal;
use tempfile::TempDir;

#[test]
fn what_is_passed_is_served_at_ports_that_the_server_may_not_bind() {
    in_own_world(|world| {
        let mut server = start(world, &["udp V4 443", "tcp V4 443", "udp V4 443"]);
        for transport in [Transport::Udp, Transport::Tcp].repeat(4) {
            LiveClient::to((SERVER_V4, 443), transport).allocated();
        }
        let log = server.stop().output;
        assert!(!log.contains("passed"), "{log}");
    });
}

#[test]
fn one_udp_socket_is_read_by_one_shard_and_that_is_said() {
    in_own_world(|world| {
        let mut server = start(world, &["udp V4 443", "tcp V4 443"]);
        for transport in [Transport::Udp, Transport::Tcp].repeat(4) {
            LiveClient::to((SERVER_V4, 443), transport).allocated();
        }
        let log = server.stop().output;
        assert!(log.contains("fewer UDP sockets were passed"), "{log}");
    });
}

#[test]
fn what_is_not_passed_is_bound_as_ever() {
    in_own_world(|world| {
        let ended = run(world, &["udp V4 443"]);
        let why = "cannot listen on tcp 198.51.100.1:443: Permission denied";
        assert!(ended.contains(why), "{ended}");
    });
}

#[test]
fn a_passed_socket_that_no_listener_has_is_named() {
    in_own_world(|world| {
        let sockets = ["udp V4 443", "tcp V4 443", "tcp V4 444", "udp V6 443"];
        let mut server = start(world, &sockets);
        let log = server.stop().output;
        assert_eq!(
            log.matches("a socket was passed that no listener has")
                .count(),
            2,
            "{log}"
        );
        assert!(log.contains("tcp444"), "{log}");
    });
}

#[test]
fn a_passed_socket_is_served_until_a_restart_also_where_a_reload_takes_its_listener_away() {
    in_own_world(|world| {
        let server = start(world, &["udp V4 443", "tcp V4 443", "udp V4 443"]);
        let config = server.config();
        let directory = Path::new(&config).parent().expect("a directory");
        let relays: [IpAddr; 1] = [SERVER_V4.into()];
        let elsewhere = SocketAddr::from((SERVER_V4, 3555));
        Setup::at(&[elsewhere], &relays)
            .with("threads = 2")
            .write(directory);
        server.program.signal(Signal::HUP);
        server.wait_for_line(&[
            "configuration.waits",
            "[[listener]] (a socket that was passed",
        ]);
        server.wait_for_line(&["configuration.reloaded", "changed=\"[[listener]]\""]);
        for transport in [Transport::Udp, Transport::Tcp].repeat(4) {
            LiveClient::to((SERVER_V4, 443), transport).allocated();
            LiveClient::to(elsewhere, transport).allocated();
        }
    });
}

#[test]
fn a_passed_socket_of_both_families_is_refused_with_what_to_write() {
    in_own_world(|world| {
        let ended = run(world, &["udp :: 443"]);
        assert!(ended.contains("BindIPv6Only=ipv6-only"), "{ended}");
    });
}

/// A server of two shards at 443 that is passed these.
fn start(world: &World, sockets: &[&str]) -> Server {
    Server::start_by(|program| passing(world, sockets, program), setup())
}

/// The output of one that does not start.
fn run(world: &World, sockets: &[&str]) -> String {
    let files = TempDir::new().expect("a directory");
    let how = |program: &str| passing(world, sockets, program);
    let ended = Program::run(setup().command(how, files.path()), PATIENCE);
    assert!(!ended.status.success(), "{}", ended.output);
    ended.output
}

fn setup() -> Setup {
    let relays: [IpAddr; 1] = [SERVER_V4.into()];
    Setup::at(&[SocketAddr::from((SERVER_V4, 443))], &relays).with("threads = 2")
}

fn passing(world: &World, sockets: &[&str], program: &str) -> Command {
    let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/black_box/passed.py");
    let mut command = world.on_server_host("python3");
    command.arg(launcher);
    for socket in sockets {
        let socket = socket.replace("V4", &SERVER_V4.to_string());
        command.arg(socket.replace("V6", &SERVER_V6.to_string()));
    }
    command.arg("--").arg(program);
    command
}
