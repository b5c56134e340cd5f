//! Peers that cannot be reached. Every client sends to some, and its allocation must go on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    machine::configure,
    program::here,
    server::Server,
    socket::{assert_hears, peer_at},
    world::{CLIENT_V4, PEER_V4, in_own_world},
};

use crate::clients;
use crate::server::setup;

#[test]
fn a_send_that_fails_hurts_nothing() {
    in_own_world(|_| {
        let routes = UNREACHABLE.map(|(kind, ip)| format!("route add {kind} {ip}\n"));
        configure(here("ip"), &routes.concat());
        let mut server = Server::start(setup().with(&format!(
            "relay.addresses = ['{CLIENT_V4}']\n\
             peers.allow = ['192.0.2.0/24', '198.51.100.255', '203.0.113.9']"
        )));
        for mut session in [clients::on_udp(), clients::on_tcp()] {
            let relayed = session.allocate().expect("an allocation");
            let (peer, address) = peer_at(PEER_V4);
            let channel = session.bind_channel(address).expect("a channel");
            let round_trip = |session: &mut LiveClient| {
                session.post_on(channel, b"there");
                assert_hears(&peer, relayed, b"there");
                peer.send_to(b"back", relayed).expect("the relay is there");
                assert_eq!(
                    session.receive_within(PATIENCE).as_deref(),
                    Some(&b"back"[..])
                );
            };
            round_trip(&mut session);
            for lost in lost_peers() {
                session.create_permission(lost).expect("a permission");
                session.post(lost, b"nobody hears");
                match session.bind_channel(lost) {
                    Ok(nowhere) => session.post_on(nowhere, b"nobody hears"),
                    Err(refused) => assert_eq!((refused, lost.port()), (Code(403), 0)),
                }
                round_trip(&mut session);
            }
            session
                .refresh(Duration::from_secs(600))
                .expect("an allocation that lives");
        }
        let totals = server.stop();
        // One indication in each session, as port 0 gets no channel.
        assert_eq!(totals.dropped("peer-denied"), 2);
        // An indication and ChannelData to each, except for port 0, and for the closed port, to
        // which the kernel does send.
        let refused_by_kernel = lost_peers().len() as u64 - 2;
        assert_eq!(totals.sockets("send-failed"), 4 * refused_by_kernel);
    });
}

/// Addresses that cannot be sent to, or that no host has.
fn lost_peers() -> Vec<SocketAddr> {
    let (closed_port, address) = peer_at(PEER_V4);
    drop(closed_port);
    let mut peers = vec![
        address,
        SocketAddr::from((PEER_V4, 0)),
        SocketAddr::from((BROADCAST, 9)),
    ];
    peers.extend(UNREACHABLE.map(|(_, ip)| SocketAddr::new(ip.parse().expect("an address"), 9)));
    peers
}

/// All hosts of the lab's net, which a socket may send to only with an option.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 255);
/// Every error that a route can give.
const UNREACHABLE: [(&str, &str); 4] = [
    ("unreachable", "192.0.2.1"),
    ("prohibit", "192.0.2.2"),
    ("blackhole", "192.0.2.3"),
    ("throw", "192.0.2.4"),
];
