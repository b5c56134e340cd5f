//! A peer: a transport address on the Internet that knows nothing of TURN.

use std::net::SocketAddr;

use relay::{ChannelNumber, Icmp};

use crate::{Client, Outcome, World};

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The peer at this address.
    ///
    /// # Panics
    /// If the text is no transport address.
    #[track_caller]
    pub fn at(address: &str) -> Self {
        Self(address.parse().expect("a transport address"))
    }

    /// The same machine on another port.
    pub const fn on_port(self, port: u16) -> Self {
        Self(SocketAddr::new(self.0.ip(), port))
    }

    /// Sends a datagram to a relayed transport address.
    pub fn send(self, world: &mut World, relayed: SocketAddr, payload: &[u8]) -> Outcome {
        world.peer_sends(self.0, relayed, payload)
    }

    /// Sends a datagram to a client's relayed address; the client gets it in a Data indication.
    #[track_caller]
    pub fn reaches(self, world: &mut World, client: Client, payload: &[u8]) {
        let outcome = self.send(world, client.relayed(world), payload);
        assert_eq!(outcome, client.hears(self, payload));
    }

    /// The same, on a channel.
    #[track_caller]
    pub fn reaches_on(self, world: &mut World, client: Client, on: ChannelNumber, payload: &[u8]) {
        let outcome = self.send(world, client.relayed(world), payload);
        assert_eq!(outcome, client.hears_on(on, self, payload));
    }

    /// A router between a relayed transport address and this peer tells the server that a datagram
    /// was lost.
    pub fn is_lost(self, world: &mut World, relayed: SocketAddr, icmp: Icmp) -> Outcome {
        world.icmp_arrives(relayed, self.0, icmp)
    }

    /// The outcome that this peer gets a datagram from a relayed transport address.
    pub fn hears(self, relayed: SocketAddr, payload: &[u8]) -> Outcome {
        self.gets(relayed, payload, false)
    }

    /// The same with the DF bit set.
    pub fn hears_unfragmented(self, relayed: SocketAddr, payload: &[u8]) -> Outcome {
        self.gets(relayed, payload, true)
    }

    fn gets(self, relayed: SocketAddr, payload: &[u8], dont_fragment: bool) -> Outcome {
        Outcome::AtPeer {
            from: relayed,
            to: self.0,
            dont_fragment,
            payload: payload.to_vec(),
        }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        peer.0
    }
}
