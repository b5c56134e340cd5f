//! A server that drains, and the server that its clients are sent to.

use std::{os::unix::net::UnixDatagram, time::Duration};

use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    server::{Server, serving},
    setup::Setup,
    socket::peer_at,
    world::{PEER_V4, in_own_world},
};
use rustix::process::Signal;

use crate::{
    admin::{Asked, operated, place},
    redirects::two_servers,
    uclient::Uclient,
};

#[test]
fn a_drained_server_exits_when_its_last_allocation_has_ended() {
    serving(Setup::default(), |_, server| {
        let (mut session, relayed) = LiveClient::udp().allocated();
        server.drain();

        let late = LiveClient::udp().allocate();
        assert_eq!(late, Err(Code(508)));

        // An allocation goes on, with new permissions too.
        let (peer, address) = peer_at(PEER_V4);
        session.create_permission(address).expect("a permission");
        peer.send_to(b"hello", relayed).expect("a route");
        assert_eq!(session.receive(), (address, b"hello".to_vec()));
        session
            .refresh(Duration::from_secs(600))
            .expect("a refresh");
        assert!(server.program.ended().is_none());

        session.refresh(Duration::ZERO).expect("an end");
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        assert!(ended.output.contains("drained"), "{}", ended.output);
    });
}

#[test]
fn a_server_without_clients_is_drained_at_once() {
    serving(Setup::default(), |_, server| {
        server.drain();
        assert_eq!(server.wait().status.code(), Some(0));
    });
}

#[test]
fn a_drained_server_ends_at_once_when_asked_again() {
    in_own_world(|world| {
        for signal in [Signal::USR1, Signal::TERM] {
            let mut server = world.serve(Setup::default());
            let _session = LiveClient::udp().allocated();
            server.drain();
            server.program.signal(signal);
            let ended = server.wait();
            assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
            let report = ended.output.contains("cause=\"shutdown\"");
            assert!(report, "{}", ended.output);
        }
    });
}

#[test]
fn a_client_is_sent_to_another_server_while_the_first_drains() {
    in_own_world(|world| {
        let [mut old, new] = two_servers(world, "when = \"draining\"");
        // Before that, the server keeps new clients.
        let (mut session, _) = LiveClient::udp().allocated();
        old.drain();
        Uclient::to(PEER_V4).relays_everything();
        Uclient::to(PEER_V4).flag("-t").relays_everything();
        assert!(new.log().matches("allocation.opened").count() >= 2);

        session.refresh(Duration::ZERO).expect("an end");
        assert_eq!(old.wait().status.code(), Some(0));
    });
}

#[test]
fn a_drain_says_what_is_left_and_ends_it_at_its_deadline() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let _calls = [(); 2].map(|()| LiveClient::udp().allocated());
        let told = asked.succeed(&["drain", "--within", "10m"]);
        for words in [
            "2 sessions are left, and the server ends with the last\n",
            " it ends whatever is left\n",
            "2 of hairpin.test\n",
            "the oldest has lived",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        server.wait_for_line(&["server.draining", "realms=\"hairpin.test 2\"", "within="]);
        let left = &asked.json(&["status"])["left"];
        assert_eq!(
            (&left["sessions"], left["ends"].is_u64()),
            (&2.into(), true)
        );
        // Another word takes the place of the one before.
        let left = &asked.json(&["drain"])["left"];
        assert_eq!(
            (&left["sessions"], left["ends"].is_u64()),
            (&2.into(), false)
        );
        asked.succeed(&["drain", "--within", "1s"]);
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        let ends = ended.output.matches("cause=\"drain-deadline\"").count();
        assert_eq!(ends, 2, "{}", ended.output);
        assert!(
            ended.output.contains("server.drain-deadline"),
            "{}",
            ended.output
        );
    });
}

/// As systemd and Kubernetes stop a service.
#[test]
fn a_server_that_is_told_to_stop_drains_for_as_long_as_it_should() {
    in_own_world(|world| {
        let place = place();
        let path = place.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("our directory");
        systemd.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let setup = |drain: &str| operated(&place, &format!("stop.drain = '{drain}'"));
        let on_host = |program: &str| {
            let mut command = world.on_server_host(program);
            command.env("NOTIFY_SOCKET", &path);
            command
        };
        let mut server = Server::start_by(on_host, setup("30s"));
        let asked = &Asked::begin(world, &server, &place);
        let (mut call, relayed) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
        call.create_permission(address).expect("a permission");
        server.program.signal(Signal::TERM);
        server.wait_for_line(&["server.draining: the server was told to stop", "within="]);
        assert_eq!(LiveClient::udp().allocate(), Err(Code(508)));
        let told = asked.fail(&["drain", "--undo"]);
        assert!(told.contains("it cannot go on"), "{told}");
        peer.send_to(b"hello", relayed).expect("a route");
        assert_eq!(call.receive(), (address, b"hello".to_vec()));
        // systemd would kill it after TimeoutStopSec=.
        let mut heard = String::new();
        while !heard.contains("EXTEND_TIMEOUT_USEC=10000000") {
            let mut message = [0; 256];
            let length = systemd.recv(&mut message).expect("a message");
            heard += &String::from_utf8_lossy(&message[..length]);
        }
        call.refresh(Duration::ZERO).expect("an end");
        assert_eq!(server.wait().status.code(), Some(0));

        for (drain, signals, cause) in [
            ("1s", vec![Signal::TERM], "cause=\"drain-deadline\""),
            (
                "30s",
                vec![Signal::TERM, Signal::TERM],
                "cause=\"shutdown\"",
            ),
            ("30s", vec![Signal::TERM, Signal::INT], "cause=\"shutdown\""),
            ("0s", vec![Signal::TERM], "cause=\"shutdown\""),
        ] {
            let mut server = world.serve(setup(drain));
            let _call = LiveClient::udp().allocated();
            let last = signals.len() - 1;
            for (at, signal) in signals.into_iter().enumerate() {
                server.program.signal(signal);
                if at < last {
                    server.wait_for_line(&["server.draining"]);
                }
            }
            let ended = server.wait();
            assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
            assert!(ended.output.contains(cause), "{drain}: {}", ended.output);
        }
    });
}
