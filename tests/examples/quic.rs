//! `examples/quic.rs`: QUIC through an allocation.

use lab::{
    PATIENCE,
    foreign::{assert_says, example},
    program::{Program, here},
    server::{PASSWORD, PORT, USER, serving},
    setup::Setup,
    world::{PEER_V4, PEER_V6, SERVER_V4, SERVER_V6},
};
use std::net::{IpAddr, SocketAddr};
use tempfile::TempDir;

#[test]
fn a_quic_client_reaches_an_ordinary_quic_server_through_the_relay() {
    serving(Setup::default(), |_, _| {
        fetches(PEER_V4.into(), SERVER_V4.into());
    });
}

#[test]
fn a_quic_client_behind_the_relay_reaches_a_server_of_the_other_address_family() {
    serving(Setup::default(), |_, _| {
        fetches(PEER_V6.into(), SERVER_V4.into());
    });
}

#[test]
fn a_quic_client_is_told_which_peers_the_relay_refuses() {
    serving(Setup::closed(), |_, _| {
        let files = TempDir::new().expect("a temporary directory");
        let (_server, server) = greeter(PEER_V4.into(), &files);
        let ended = client(server, SERVER_V4.into(), &files);
        assert!(!ended.status.success(), "{ended:?}");
        assert_says(&ended.output, "the server answered 403");
    });
}

/// A client of the TURN server at `turn` gets the greeting of a QUIC server at `peer`, to which it has the address of
/// the relay.
#[track_caller]
fn fetches(peer: IpAddr, turn: IpAddr) {
    let files = TempDir::new().expect("a temporary directory");
    let (_server, server) = greeter(peer, &files);
    let ended = client(server, turn, &files);
    assert!(ended.status.success(), "{ended:?}");
    let relayed = ended
        .output
        .lines()
        .find_map(|line| line.strip_prefix("relayed at "));
    let relayed: SocketAddr = relayed.expect("an allocation").parse().expect("an address");
    let relays: [IpAddr; 2] = [SERVER_V4.into(), SERVER_V6.into()];
    assert!(relays.contains(&relayed.ip()), "{relayed}");
    assert_says(&ended.output, &format!("Yes. To me you are at {relayed}."));
}

/// An ordinary QUIC server, which leaves its certificate among the files.
fn greeter(peer: IpAddr, files: &TempDir) -> (Program, SocketAddr) {
    let mut serve = example(here, "quic");
    let listen = SocketAddr::new(peer, 4433);
    serve.args(["serve", &listen.to_string(), "--certificate"]);
    serve.arg(files.path().join("quic.der"));
    let mut server = Program::start(serve);
    server.wait_for_words("serving at");
    (server, listen)
}

fn client(server: SocketAddr, turn: IpAddr, files: &TempDir) -> lab::program::Ended {
    let mut fetch = example(here, "quic");
    fetch.args(["fetch", &server.to_string(), "--certificate"]);
    fetch.arg(files.path().join("quic.der"));
    fetch.args(["--turn", &SocketAddr::new(turn, PORT).to_string()]);
    fetch.args(["--user", USER, "--password", PASSWORD]);
    Program::run(fetch, PATIENCE)
}
