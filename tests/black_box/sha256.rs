//! The project's own client and SHA-256: allowed, required, and refused without it.

use client::{Sha256, Transport};
use lab::{
    live::{Code, LiveClient},
    server::serving,
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::{PEER_V4, SERVER_V4, in_own_world},
};

#[test]
fn our_client_and_our_server_agree_on_sha256_wherever_both_may_use_it() {
    in_own_world(|world| {
        // With and without a shared secret: without one, the name is hashed.
        for (port, sha256, has_secret) in [
            (3478, "offer", true),
            (3479, "offer", false),
            (3480, "require", true),
            (3481, "require", false),
        ] {
            let setup = Setup::on_port(port).with(&format!("auth.sha256 = '{sha256}'"));
            let _server = world.serve(if has_secret {
                setup
            } else {
                setup.with(NO_SECRET)
            });
            for ours in [Sha256::Accept, Sha256::Require] {
                assert_relays(client(port, ours));
            }
        }
    });
}

#[test]
fn our_client_falls_back_to_sha1_where_it_may_and_the_server_offers_nothing_else() {
    serving(Setup::default().with("auth.sha256 = 'off'"), |_, _| {
        for ours in [Sha256::Off, Sha256::Accept] {
            assert_relays(client(3478, ours));
        }
        assert_refused(Sha256::Require);
    });
}

#[test]
fn our_client_is_refused_where_it_wants_no_sha256_and_the_server_requires_it() {
    serving(Setup::default().with("auth.sha256 = 'require'"), |_, _| {
        assert_refused(Sha256::Off);
    });
}

#[track_caller]
fn assert_refused(ours: Sha256) {
    let mut session = client(3478, ours);
    assert_eq!(session.allocate(), Err(Code(401)));
}

fn client(port: u16, ours: Sha256) -> LiveClient {
    LiveClient::to((SERVER_V4, port), Transport::Udp).with(|config| config.sha256 = ours)
}

fn assert_relays(mut session: LiveClient) {
    let relayed = session.allocate().expect("an allocation");
    let (peer, address) = peer_at(PEER_V4);
    session.bind_channel(address).expect("a channel");
    session.send(address, b"over");
    assert_hears(&peer, relayed, b"over");
    peer.send_to(b"and back", relayed).expect("a route");
    assert_eq!(session.receive(), (address, b"and back".to_vec()));
}

const NO_SECRET: &str = "auth.secrets = []";
