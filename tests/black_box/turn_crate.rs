//! The `turn` crate's client, of webrtc-rs.

use lab::{
    PATIENCE,
    server::{PASSWORD, USER, serving},
    setup::Setup,
    turn_client::{turn_client, within},
    world::{CLIENT_V4, PEER_V4},
};
use tokio::net::UdpSocket;
use webrtc_util::Conn;

use crate::credentials::EXPIRED_IN_2001;

#[test]
fn a_client_and_a_plain_peer_exchange_data() {
    serving(Setup::default(), |_, _| {
        within(PATIENCE, async {
            let client = turn_client(USER, PASSWORD).await;
            let relay = client.allocate().await.expect("an allocation");
            let relayed = relay.local_addr().expect("a relayed address");
            let peer = UdpSocket::bind((PEER_V4, 0)).await.expect("a free port");
            let peer_address = peer.local_addr().expect("a bound socket");

            // The first are sent as Send indications, the rest as ChannelData once the channel is
            // bound.
            let mut buffer = [0; 1500];
            for number in 0..50 {
                let (to_peer, to_client) = ([number; 1200], [!number; 900]);
                relay
                    .send_to(&to_peer, peer_address)
                    .await
                    .expect("it is sent");
                let (length, from) = peer.recv_from(&mut buffer).await.expect("it arrives");
                assert_eq!((&buffer[..length], from), (&to_peer[..], relayed));

                peer.send_to(&to_client, relayed).await.expect("it is sent");
                let (length, from) = relay.recv_from(&mut buffer).await.expect("it arrives");
                assert_eq!((&buffer[..length], from), (&to_client[..], peer_address));
            }
        });
    });
}

#[test]
fn the_reflexive_address_is_the_clients_own() {
    serving(Setup::default(), |_, _| {
        within(PATIENCE, async {
            let client = turn_client(USER, PASSWORD).await;
            let reflexive = client.send_binding_request().await.expect("an answer");
            assert_eq!(reflexive.ip(), CLIENT_V4);
        });
    });
}

#[test]
fn a_wrong_password_is_answered_401() {
    serving(Setup::default(), |_, _| {
        assert_refused(USER, "looking-glass");
    });
}

#[test]
fn an_unknown_user_is_answered_401() {
    serving(Setup::default(), |_, _| {
        assert_refused("mallory", PASSWORD);
    });
}

#[test]
fn an_expired_credential_is_answered_401() {
    serving(Setup::default(), |_, _| {
        let (user, password) = EXPIRED_IN_2001;
        assert_refused(user, password);
    });
}

fn assert_refused(user: &str, password: &str) {
    within(PATIENCE, async {
        let client = turn_client(user, password).await;
        let error = client
            .allocate()
            .await
            .err()
            .expect("a refusal")
            .to_string();
        assert!(error.contains("401"), "{error}");
    });
}
