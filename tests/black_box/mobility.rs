//! Mobility over real sockets, with several shards: a new 5-tuple comes to any of them. RFC 8016.

use std::net::{SocketAddr, UdpSocket};

use client::{AllocateOptions, Transport};
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    server::{Server, serving},
    setup::Setup,
    socket::{assert_hears, peer_at},
    wait_for,
    world::PEER_V4,
};
use wire::AddressFamily;

#[test]
fn nothing_is_lost_or_overtaken_while_an_allocation_moves_over_udp() {
    serving(four_shards(), |_, server| {
        let mut scene = Scene::new();
        for _ in 0..ROUNDS {
            scene.roam(Transport::Udp, AddressFamily::V4);
            scene.exchange();
        }
        assert_crossings(server);
    });
}

#[test]
fn nothing_is_lost_or_overtaken_while_an_allocation_moves_over_tcp() {
    serving(four_shards(), |_, server| {
        let mut scene = Scene::new();
        for _ in 0..ROUNDS {
            scene.roam(Transport::Tcp, AddressFamily::V4);
            scene.exchange();
        }
        assert_crossings(server);
    });
}

#[test]
fn an_allocation_changes_between_udp_tcp_and_tls_and_between_ipv4_and_ipv6() {
    serving(four_shards().with_tls(), |_, server| {
        let mut scene = Scene::new();
        let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let families = [AddressFamily::V6, AddressFamily::V4];
        let ways = transports
            .into_iter()
            .cycle()
            .zip(families.into_iter().cycle());
        for (transport, family) in ways.take(ROUNDS) {
            scene.roam(transport, family);
            scene.exchange();
        }
        assert_crossings(server);
    });
}

#[test]
fn where_mobility_is_off_no_ticket_is_given() {
    serving(four_shards().with("allocation.mobility = false"), |_, _| {
        let mut session = LiveClient::udp();
        assert_eq!(session.allocate_with(MOBILE), Err(Code(405)));
    });
}

/// A client with an allocation that may move, and a peer on its channel.
struct Scene {
    session: LiveClient,
    peer: UdpSocket,
    relayed: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let (peer, _) = peer_at(PEER_V4);
        let mut session = LiveClient::udp();
        let relayed = session.allocate_with(MOBILE).expect("an allocation");
        Self {
            session,
            peer,
            relayed,
        }
    }

    #[track_caller]
    fn roam(&mut self, transport: Transport, family: AddressFamily) {
        self.session.roam(transport, family).expect("a good ticket");
    }

    /// The client sends as fast as it can, and the peer answers each packet at once: so most of
    /// them are on their way while the allocation moves.
    #[track_caller]
    fn exchange(&mut self) {
        let here = self.peer.local_addr().expect("a bound socket");
        let channel = self.session.bind_channel(here).expect("a channel");
        for number in 0..PACKETS {
            self.session.post_on(channel, &number.to_be_bytes());
        }
        for number in 0..PACKETS {
            assert_hears(&self.peer, self.relayed, &number.to_be_bytes());
            let sent = self.peer.send_to(&number.to_be_bytes(), self.relayed);
            sent.expect("a route to the server");
        }
        for number in 0..PACKETS {
            let heard = self.session.receive();
            assert_eq!(heard, (here, number.to_be_bytes().to_vec()));
        }
    }
}

/// The log shows that the allocation moved in every round, and often from shard to shard, where it
/// gets another id.
#[track_caller]
fn assert_crossings(server: &Server) {
    // The log is written with a delay.
    let log = wait_for("a line for each move", PATIENCE, || {
        let log = server.log();
        let moved = log.matches("allocation.moved").count();
        (moved == ROUNDS).then_some(log)
    });
    let crossed = log.lines().filter(|line| line.contains(" was="));
    assert!(crossed.count() >= ROUNDS / 4, "{log}");
}

fn four_shards() -> Setup {
    Setup::default().with("threads = 4")
}

/// With a ticket.
const MOBILE: AllocateOptions = AllocateOptions {
    tcp: false,
    lifetime: None,
    family: None,
    dont_fragment: false,
    mobile: true,
};

/// Three of four new 5-tuples come to another shard.
const ROUNDS: usize = 20;
const PACKETS: u16 = 100;
