//! `hairpin serve` without a configuration, and with a file that lets nobody in.

use std::net::Ipv4Addr;

use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    program::{Program, here},
    server::{PASSWORD, Server, USER, serve},
    socket::{assert_hears, peer_at},
    world::{CLIENT_V4, in_own_world},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::clients;
use crate::server::setup;

#[test]
fn what_it_prints_authenticates_and_still_does_after_a_restart() {
    in_own_world(|_| {
        let home = TempDir::new().expect("a temporary directory");
        let mut server = Server::unconfigured(here, home.path(), &[]);
        let printed = &server.printed_ice_servers()[0];
        let urls = printed["urls"].as_array().expect("several");
        for transport in ["udp", "tcp"] {
            let url = format!("turn:{CLIENT_V4}:3478?transport={transport}");
            assert!(urls.contains(&url.as_str().into()), "{url} in {urls:?}");
        }
        let relayed = client_of(printed).allocate().expect("an allocation");
        assert_eq!(relayed.ip(), CLIENT_V4);
        server.stop();

        let mut server = Server::unconfigured(here, home.path(), &[]);
        client_of(printed).allocate().expect("the same secret");
        let forged = clients::on_udp()
            .login(text(&printed["username"]), "made up")
            .allocate();
        assert_eq!(forged, Err(Code(401)));
        server.stop();
    });
}

#[test]
fn loopback_peers_are_for_who_asks_for_them() {
    in_own_world(|_| {
        let home = TempDir::new().expect("a temporary directory");
        let (peer, address) = peer_at(Ipv4Addr::LOCALHOST);

        let mut server = Server::unconfigured(here, home.path(), &[]);
        let (mut session, _) = client_of(&server.printed_ice_servers()[0]).allocated();
        assert_eq!(session.create_permission(address), Err(Code(403)));
        assert_eq!(session.bind_channel(address), Err(Code(403)));
        session.send(address, b"psst");
        peer.set_nonblocking(true).expect("a socket");
        assert!(peer.recv(&mut [0; 16]).is_err(), "it was sent all the same");
        server.stop();

        let server = Server::unconfigured(here, home.path(), &["--dev"]);
        let (mut session, relayed) = client_of(&server.printed_ice_servers()[0]).allocated();
        session.create_permission(address).expect("a permission");
        session.send(address, b"hello");
        assert_hears(&peer, relayed, b"hello");
        server.wait_for_line(&["WARN", "--dev", "loopback"]);
    });
}

#[test]
fn without_a_place_for_the_secret_it_says_what_is_missing() {
    in_own_world(|_| {
        let nowhere = std::path::Path::new("");
        let mut command = serve(here);
        command.env("HOME", nowhere);
        let ended = Program::run(command, PATIENCE);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains("--state-dir"), "{}", ended.output);
    });
}

#[test]
fn a_file_without_users_and_secrets_makes_a_stun_server_that_says_so() {
    in_own_world(|_| {
        let server = Server::start(setup().without("auth"));
        for mut session in [clients::on_udp(), clients::on_tcp()] {
            session.binding();
            assert_eq!(session.allocate(), Err(Code(401)));
        }
        server.wait_for_line(&["WARN", "STUN only", "users"]);
        server.wait_for_line(&["auth.failed", "method=\"Allocate\"", "code=401", USER]);
        assert!(!server.log().contains(PASSWORD));
    });
}

fn client_of(ice_server: &Value) -> LiveClient {
    let [user, password] = ["username", "credential"].map(|key| text(&ice_server[key]));
    clients::on_udp().login(user, password)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
