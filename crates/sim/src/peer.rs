//! A peer: a transport address on the Internet that knows nothing of TURN.

use std::net::SocketAddr;

use crate::{Outcome, World};

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

    /// The same host on another port.
    pub const fn on_port(self, port: u16) -> Self {
        Self(SocketAddr::new(self.0.ip(), port))
    }

    /// Sends a datagram to a relayed transport address.
    pub fn send(self, world: &mut World, relayed: SocketAddr, payload: &[u8]) -> Outcome {
        world.peer_sends(self.0, relayed, payload)
    }

    /// This peer gets a datagram from a relayed transport address.
    pub fn hears(self, relayed: SocketAddr, payload: &[u8]) -> Outcome {
        Outcome::AtPeer {
            from: relayed,
            to: self.0,
            payload: payload.to_vec(),
        }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        peer.0
    }
}
