//! The `turn` crate, of webrtc-rs: only a TURN client, so the other end of its call is a socket.

use std::{net::SocketAddr, time::Duration};

use lab::{
    PATIENCE,
    server::{PASSWORD, USER},
    turn_client::{turn_client, within},
    world::PEER_V4,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, interval, timeout},
};
use webrtc_util::Conn;

use crate::call::SILENCE;

/// A client and its peer, who receive from each other all the time. The client may send to a third
/// party first.
pub(crate) fn converse_for(duration: Duration, third: Option<SocketAddr>) {
    within(duration + PATIENCE, async {
        let client = turn_client(USER, PASSWORD).await;
        let relay = client.allocate().await.expect("an allocation");
        let relayed = relay.local_addr().expect("a relayed address");
        let peer = UdpSocket::bind((PEER_V4, 0)).await.expect("a free port");
        let peer_address = peer.local_addr().expect("a bound socket");
        if let Some(third) = third {
            relay.send_to(b"hello", third).await.expect("it is sent");
        }
        let end = Instant::now() + duration;
        tokio::join!(
            speak(&relay, peer_address, end),
            speak(&peer, relayed, end),
            hear(&relay, end),
            hear(&peer, end),
        );
    });
}

async fn speak(socket: &(impl Conn + ?Sized), to: SocketAddr, end: Instant) {
    let mut ticks = interval(Duration::from_millis(200));
    while Instant::now() < end {
        ticks.tick().await;
        socket.send_to(b"hello", to).await.expect("it is sent");
    }
}

async fn hear(socket: &(impl Conn + ?Sized), end: Instant) {
    let mut buffer = [0; 100];
    while Instant::now() < end {
        let heard = timeout(SILENCE, socket.recv_from(&mut buffer)).await;
        let (length, _) = heard.expect("no silence").expect("a socket that lives");
        assert_eq!(&buffer[..length], b"hello");
    }
}
