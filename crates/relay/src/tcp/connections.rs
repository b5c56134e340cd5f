//! The peer data connections of one allocation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use wire::MacKey;

use super::Passage;
use crate::request::Head;
use crate::{ConnectionId, Effect, PeerAddr, ShardId};

/// The part of an allocation that only a TCP allocation has.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) connections: BTreeMap<ConnectionId, PeerConnection>,
    pub(crate) passage: Passage,
}

/// A connection with a peer, or one that is being made.
#[derive(Debug)]
pub(crate) struct PeerConnection {
    pub(crate) peer: PeerAddr,
    pub(crate) state: State,
    /// When it ends, unless it gets on before; of no meaning once it is bound.
    pub(crate) deadline: Instant,
}

/// How far a connection is.
#[derive(Debug)]
pub(crate) enum State {
    /// The peer has not answered; the client waits.
    Connecting(Box<Awaiting>),
    /// It waits for ConnectionBind.
    Pending,
    /// It is spliced with a connection of the client, in this shard.
    Bound(ShardId),
}

/// A Connect that is still to be answered.
#[derive(Debug)]
pub(crate) struct Awaiting {
    pub(crate) head: Head,
    /// Signs the answer.
    pub(crate) key: MacKey,
    /// The address to connect from.
    pub(crate) local: SocketAddr,
    /// The address to connect to: the local one, where the peer is a relayed address of ours.
    pub(crate) to: SocketAddr,
}

impl Awaiting {
    /// The effect that asks for the connection.
    pub(crate) const fn effect(&self, connection: ConnectionId) -> Effect {
        Effect::Connect {
            connection,
            local: self.local,
            peer: self.to,
        }
    }
}

impl Tcp {
    /// Whether there is a connection with this peer, in whatever state.
    pub(crate) fn has(&self, peer: PeerAddr) -> bool {
        self.connections.values().any(|it| it.peer == peer)
    }
}
