//! Bans: who guesses is banned, and nobody in whose name others do.

use std::{net::Ipv4Addr, time::Duration};

use lab::{
    PATIENCE,
    server::{BINDING, Server, USER},
    world::in_own_world,
};

use crate::guessing::{guess_with, nonce_for};
use crate::server::setup;
use crate::strangers::socket_at;

#[test]
fn who_guesses_is_banned_and_who_is_forged_is_not() {
    in_own_world(|_| {
        let mut server = Server::start(setup().with("clients.ban-after = 5\nlog.addresses = true"));
        let [victim, guesser, neighbour] =
            [[127, 66, 6, 6], [127, 77, 7, 7], [127, 77, 7, 8]].map(|ip| socket_at(ip.into()));
        let is_served = |socket: &std::net::UdpSocket| {
            socket.send(&BINDING).expect("the server is there");
            socket.recv(&mut [0; 2048]).is_ok()
        };
        // Without a nonce that was sent to the victim, and with one that was sent to the guesser.
        let foreign = nonce_for(&guesser);
        for nonce in ["no nonce", &foreign] {
            for _ in 0..20 {
                victim.send(&guess_with(USER, nonce)).expect("a route");
                victim.recv(&mut [0; 2048]).expect("a refusal");
            }
        }
        assert!(is_served(&victim));
        for _ in 0..5 {
            guesser.send(&guess_with(USER, &foreign)).expect("a route");
            guesser.recv(&mut [0; 2048]).expect("a refusal");
        }
        server.wait_for_line(&["client.banned", "prefix=127.77.7.0/24", "failures=5"]);
        for banned in [&guesser, &neighbour] {
            banned.set_read_timeout(Some(SILENCE)).expect("not zero");
            assert!(!is_served(banned));
        }
        victim.set_read_timeout(Some(PATIENCE)).expect("not zero");
        assert!(is_served(&victim));
        crate::clients::on_tcp().allocated();
        assert!(is_served(&socket_at(Ipv4Addr::new(127, 77, 8, 7))));
        let ended = server.stop();
        assert_eq!(ended.output.matches("client.banned").count(), 1);
        assert_eq!(ended.dropped("client-banned"), 2);
    });
}

/// So long nothing has to come.
const SILENCE: Duration = Duration::from_millis(300);
