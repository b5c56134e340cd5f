//! Clients of either family reach peers of either family. RFC 8656 §5, §13.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use client::Transport;
use wire::AddressFamily::{self, V4, V6};

use crate::{
    lab::{
        PATIENCE,
        server::Setup,
        world::{PEER_V4, PEER_V6, in_own_world},
    },
    session::Session,
};

#[test]
fn clients_of_either_family_reach_peers_of_either_family_over_udp_and_tcp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        for transport in [Transport::Udp, Transport::Tcp] {
            for (client, relay) in PAIRS {
                carry_both_ways(Session::over(transport, client), relay);
            }
        }
    });
}

/// Sends to a peer of this family and back, in indications and on a channel.
#[track_caller]
fn carry_both_ways(mut session: Session, relay: AddressFamily) {
    let relayed = session.allocate(relay).expect("an allocation");
    assert_eq!(AddressFamily::of(relayed.ip()), relay);
    let (peer, address) = peer(relay);
    session.create_permission(address).expect("a permission");
    session.post(address, b"hi");
    assert_hears(&peer, relayed, b"hi");
    let answer = |data: &[u8]| peer.send_to(data, relayed).expect("a route to the relay");
    answer(b"ho");
    assert_eq!(session.receive(), (address, b"ho".to_vec()));
    let channel = session.bind_channel(address).expect("a channel");
    session.post_on(channel, b"hi again");
    assert_hears(&peer, relayed, b"hi again");
    answer(b"ho again");
    assert_eq!(session.receive(), (address, b"ho again".to_vec()));
}

/// A socket of the peer, and its address.
pub(crate) fn peer(family: AddressFamily) -> (UdpSocket, SocketAddr) {
    let ip: IpAddr = match family {
        V4 => PEER_V4.into(),
        V6 => PEER_V6.into(),
    };
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let patience = socket.set_read_timeout(Some(PATIENCE));
    patience.expect("patience is not zero");
    (socket, address)
}

/// Asserts that the peer's next datagram is this one, from there.
#[track_caller]
pub(crate) fn assert_hears(peer: &UdpSocket, relayed: SocketAddr, data: &[u8]) {
    let mut buffer = [0; 65536];
    let (length, from) = peer.recv_from(&mut buffer).expect("the peer hears");
    assert_eq!((from, &buffer[..length]), (relayed, data));
}

/// Clients and relays of either family.
pub(crate) const PAIRS: [(AddressFamily, AddressFamily); 4] =
    [(V4, V4), (V4, V6), (V6, V4), (V6, V6)];
