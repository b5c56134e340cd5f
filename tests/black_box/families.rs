//! Clients of either family reach peers of either family. RFC 8656 §5, §13.

use client::Transport;
use lab::{
    live::LiveClient,
    server::serving,
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::peer_of,
};
use wire::AddressFamily::{self, V4, V6};

#[test]
fn clients_of_either_family_reach_peers_of_either_family_over_udp_and_tcp() {
    serving(Setup::default(), |_, _| {
        for transport in [Transport::Udp, Transport::Tcp] {
            for (client, relay) in PAIRS {
                carry_both_ways(LiveClient::over(transport, client), relay);
            }
        }
    });
}

/// Sends to a peer of this family and back, in indications and on a channel.
#[track_caller]
fn carry_both_ways(mut session: LiveClient, relay: AddressFamily) {
    let relayed = session.allocate_of(relay).expect("an allocation");
    assert_eq!(AddressFamily::of(relayed.ip()), relay);
    let (peer, address) = peer_at(peer_of(relay));
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

/// Clients and relays of either family.
pub(crate) const PAIRS: [(AddressFamily, AddressFamily); 4] =
    [(V4, V4), (V4, V6), (V6, V4), (V6, V6)];
