//! `[clients]`: networks that are served or not, and bans.

use std::{
    fs,
    io::Read,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    server::{BINDING, PORT, TLS_PORT, serving},
    setup::Setup,
    socket::{peer_at, udp_to},
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6},
};

use crate::admin::{Asked, operated, place};

#[test]
fn connections_and_datagrams_of_denied_networks_hear_nothing() {
    let setup = Setup::default().with_tls().with_dtls();
    let setup = setup.with(&format!(
        "clients.allow = ['::/0']\nclients.deny = ['{CLIENT_V4}']\nlog.addresses = true"
    ));
    serving(setup, |_, server| {
        let at = |port| SocketAddr::new(SERVER_V4.into(), port);
        let plain = udp_to(at(PORT));
        plain.set_read_timeout(Some(SILENCE)).expect("not zero");
        plain.send(&BINDING).expect("a route");
        assert!(plain.recv(&mut [0; 512]).is_err());
        let secure = udp_to(at(TLS_PORT));
        secure.set_read_timeout(Some(SILENCE)).expect("not zero");
        secure.send(&hello()).expect("a route");
        assert!(secure.recv(&mut [0; 512]).is_err());
        for port in [PORT, TLS_PORT] {
            let mut stream = TcpStream::connect(at(port)).expect("the kernel accepts");
            stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
            // Nothing has to be said first.
            let end = stream.read(&mut [0; 1]);
            assert!(matches!(end, Ok(0)) || end.is_err_and(|it| it.kind() != TIMEOUT));
        }
        // Another family is another network.
        let mut served = LiveClient::to((IpAddr::from(SERVER_V6), PORT), Transport::Tcp);
        assert_eq!(served.binding(), served.address());
        server.wait_for_line(&["INFO client.denied:", &format!("client={CLIENT_V4}")]);
        let ended = server.stop();
        assert_eq!(ended.dropped("client-denied"), 4);
        // Of all that comes in five seconds.
        assert_eq!(ended.output.matches("client.denied").count(), 1);
    });
}

#[test]
fn a_reload_ends_the_calls_of_clients_that_it_denies_and_lets_them_back() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (mut alice, relayed) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
        alice.create_permission(address).expect("a permission");
        let file = server.config();
        let good = fs::read_to_string(&file).expect("ours");
        let network = "198.51.100.0/24";
        fs::write(&file, format!("{good}\n[clients]\ndeny = ['{network}']\n")).expect("ours");
        let told = format!("changed: [clients]\n  [clients] deny: + \"{network}\"\n");
        assert_eq!(asked.succeed(&["reload"]), told);
        server.wait_for_line(&["allocation.ended", "cause=\"client-denied\""]);
        peer.send_to(b"lost", relayed).expect("a route");
        fs::write(&file, good).expect("ours");
        let told = format!("changed: [clients]\n  [clients] deny: - \"{network}\"\n");
        assert_eq!(asked.succeed(&["reload"]), told);
        assert_eq!(alice.refresh(MINUTE), Err(Code(437)));
        LiveClient::udp().allocated();
    });
}

#[test]
fn a_network_that_keeps_failing_is_banned_until_the_operator_lifts_it() {
    let place = place();
    let rules = "[clients]\nban-after = 3\n[log]\naddresses = true";
    serving(operated(&place, rules), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        assert_eq!(asked.succeed(&["bans"]), "no network is banned\n");
        let (mut early, _) = LiveClient::udp().allocated();
        for _ in 0..3 {
            let guesser = LiveClient::udp().login("alice", "guessed");
            assert_eq!({ guesser }.allocate(), Err(Code(401)));
        }
        let network = "198.51.100.0/24";
        server.wait_for_line(&[
            "WARN",
            "client.banned",
            &format!("prefix={network}"),
            "failures=3",
        ]);
        let banned = udp_to((IpAddr::from(SERVER_V4), PORT).into());
        banned.set_read_timeout(Some(SILENCE)).expect("not zero");
        banned.send(&BINDING).expect("a route");
        assert!(banned.recv(&mut [0; 512]).is_err());
        early.refresh(MINUTE).expect("a call goes on");
        let listed = asked.json(&["bans"]);
        assert_eq!(listed["bans"][0]["prefix"], network);
        assert_eq!(listed["bans"][0]["failures"], 3);
        assert!((3500..=3600).contains(&listed["bans"][0]["left"].as_u64().expect("seconds")));
        assert!(asked.succeed(&["bans"]).contains(network));
        let told = asked.succeed(&["session", "--user", "mallory"]);
        assert!(
            told.contains(&format!("not answered: {network} (")),
            "{told}"
        );
        let status = asked.succeed(&["status"]);
        for words in ["1 network: `hairpin bans`", "3 bad-integrity (401)"] {
            assert!(status.contains(words), "{words}: {status}");
        }
        let wrong = asked.fail(&["bans", "--lift", "192.0.2.0/24"]);
        assert!(
            wrong.contains("nobody in 192.0.2.0/24 is banned"),
            "{wrong}"
        );
        let wrong = asked.fail(&["bans", "--lift", "all"]);
        assert!(wrong.contains("such as 192.0.2.0/24"), "{wrong}");
        assert_eq!(
            asked.succeed(&["bans", "--lift", network]),
            "1 ban lifted\n"
        );
        server.wait_for_line(&["client.unbanned", network, "cause=\"lifted\""]);
        LiveClient::udp().allocated();
        assert_eq!(server.stop().dropped("client-banned"), 1);
    });
}

#[test]
fn a_ban_ends_by_itself() {
    let rules = "[clients]\nban-after = 1\nban-for = '2s'";
    serving(Setup::default().with(rules), |_, server| {
        let guesser = LiveClient::udp().login("alice", "guessed");
        assert_eq!({ guesser }.allocate(), Err(Code(401)));
        server.wait_for_line(&["client.unbanned", "cause=\"expired\""]);
        LiveClient::udp().allocated();
        assert!(!server.log().contains("prefix="));
    });
}

/// A hello of DTLS 1.2, as far as a server without rules would answer it.
fn hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([7; 32]);
    // No session, no cookie, one cipher, no compression.
    body.extend([0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
    let length = u8::try_from(body.len()).expect("a short hello");
    let mut record = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, length + 12];
    record.extend([1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length]);
    record.extend(body);
    record
}

const TIMEOUT: std::io::ErrorKind = std::io::ErrorKind::WouldBlock;
const MINUTE: Duration = Duration::from_secs(60);
/// So long nothing has to come.
const SILENCE: Duration = Duration::from_millis(300);
