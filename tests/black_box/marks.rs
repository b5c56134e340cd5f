//! DSCP and ECN go with each datagram, also from one family to the other. RFC 8656 §13-16.

use client::Transport;
use lab::{
    live::LiveClient,
    machine::configure,
    server::{PORT, serving},
    setup::Setup,
    socket::{LiveSocket, mark, peer_at},
    world::{World, peer_of, server_of},
};
use wire::AddressFamily::{self, V4};

use crate::{
    capture::{Capture, Packet},
    families::PAIRS,
};

#[test]
fn every_datagram_of_a_batch_keeps_its_dscp_and_ecn_on_the_way_to_the_peer() {
    serving(Setup::default(), |world, server| {
        cut_early(world);
        for (client, relay) in PAIRS {
            let mut wire = Capture::of(relay);
            let (mut session, _) = LiveClient::over(Transport::Udp, client).allocated_of(relay);
            let (_peer, address) = peer_at(peer_of(relay));
            let channel = session.bind_channel(address).expect("a channel");
            // More datagrams than fit a batch, and all there at once.
            server.program.while_stopped(|| {
                for marking in markings() {
                    session.socket.mark(marking);
                    session.post(address, &[marking]);
                    session.post_on(channel, &[marking]);
                }
            });
            for marking in markings().flat_map(|marking| [marking; 2]) {
                let packet = wire.next(server_of(relay), address.ip());
                assert_eq!(
                    (&packet.payload[..], packet.marking),
                    (&[marking][..], marking)
                );
            }
        }
    });
}

#[test]
fn every_datagram_of_a_batch_keeps_its_dscp_and_ecn_on_the_way_to_the_client() {
    serving(Setup::default(), |world, server| {
        cut_early(world);
        for (client, relay) in PAIRS {
            let mut wire = Capture::of(client);
            let (mut session, relayed) =
                LiveClient::over(Transport::Udp, client).allocated_of(relay);
            let (on_channel, bound) = peer_at(peer_of(relay));
            let (other, _) = peer_at(peer_of(relay));
            session.bind_channel(bound).expect("a channel");
            server.program.while_stopped(|| {
                for marking in markings() {
                    for peer in [&on_channel, &other] {
                        mark(&peer.into(), relayed, marking);
                        let sent = peer.send_to(&[0xDA, 0x7A, marking], relayed);
                        sent.expect("a route to the relay");
                    }
                }
            });
            for marking in markings().flat_map(|marking| [marking; 2]) {
                let packet = delivered(&mut wire, &session, &[0xDA, 0x7A, marking]);
                assert_eq!(packet.marking, marking);
            }
        }
    });
}

#[test]
fn a_stream_lends_its_dscp_to_what_it_carries_and_keeps_its_ecn() {
    serving(Setup::default(), |_, _| {
        for (client, relay) in PAIRS {
            let mut wire = Capture::of(relay);
            let (mut session, _) = LiveClient::on(LiveSocket::to(
                (server_of(client), PORT).into(),
                Transport::Tcp,
                EXPEDITED,
            ))
            .allocated_of(relay);
            let (_peer, address) = peer_at(peer_of(relay));
            session.create_permission(address).expect("a permission");
            session.post(address, b"x");
            let packet = wire.next(server_of(relay), address.ip());
            assert_eq!(packet.marking, EXPEDITED, "{client:?} to {relay:?}");
        }
    });
}

#[test]
fn what_is_relayed_from_client_to_client_keeps_its_marks_too() {
    serving(Setup::default(), |_, _| {
        let mut wire = Capture::of(V4);
        let (mut alice, mut bob) = (
            LiveClient::over(Transport::Udp, V4),
            LiveClient::over(Transport::Udp, V4),
        );
        let at_alice = alice.allocate_of(V4).expect("an allocation");
        let at_bob = bob.allocate_of(V4).expect("an allocation");
        alice.create_permission(at_bob).expect("a permission");
        bob.create_permission(at_alice).expect("a permission");
        alice.socket.mark(EXPEDITED | CONGESTED);
        alice.post(at_bob, b"between relays");
        assert_eq!(bob.receive(), (at_alice, b"between relays".to_vec()));
        let packet = delivered(&mut wire, &bob, b"between relays");
        assert_eq!(packet.marking, EXPEDITED | CONGESTED);
    });
}

/// Markings: several DSCPs, each with every ECN. The first is 0.
fn markings() -> impl Iterator<Item = u8> {
    [0, 0x28, EXPEDITED, 0xC0, 0xFC]
        .into_iter()
        .flat_map(|dscp| (0..=CONGESTED).map(move |ecn| dscp | ecn))
}

/// The next packet for a client that carries this data. Packets between are skipped.
#[track_caller]
fn delivered(wire: &mut Capture, session: &LiveClient, data: &[u8]) -> Packet {
    let client = session.address().ip();
    let server = server_of(AddressFamily::of(client));
    loop {
        let packet = wire.next(server, client);
        if packet.payload.windows(data.len()).any(|it| it == data) {
            return packet;
        }
    }
}

/// Expedited forwarding. RFC 3246.
const EXPEDITED: u8 = 46 << 2;
/// ECN: congestion experienced. RFC 3168 §5.
const CONGESTED: u8 = 0b11;

/// Has the kernel cut what left in one call before the wire, as a device does: a capture would see it in one piece.
fn cut_early(world: &World) {
    configure(
        world.on_server_host("ip"),
        "link set dev server0 gso_max_segs 1\n",
    );
}
