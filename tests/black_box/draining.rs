//! A server that drains, and the server that its clients are sent to.

use std::time::Duration;

use lab::{
    live::{Code, LiveClient},
    server::serving,
    setup::Setup,
    socket::peer_at,
    world::{PEER_V4, in_own_world},
};
use rustix::process::Signal;

use crate::{redirects::two_servers, uclient::Uclient};

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
