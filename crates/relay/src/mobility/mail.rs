//! Mail: the messages that shards send to each other while a client moves between them, or has a data
//! connection in another shard than its allocation.

use wire::ChannelNumber;

use crate::allocation::Allocation;
use crate::routes::Bound;
use crate::{ClientTuple, ConnectionId, RelayId};

/// A shard of the process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A message from shard to shard. Between two shards mail arrives in the order in which it was
/// sent.
///
/// The *host* has the allocation; the *guest shard* has the 5-tuple that its client moves to.
#[derive(Debug)]
pub enum Mail {
    /// To the host: a packet of a client that is moving.
    Pass {
        /// The new 5-tuple.
        client: ClientTuple,
        /// A datagram, or one frame of a stream.
        packet: Vec<u8>,
    },
    /// To the host: the connection of a client that is moving ended.
    Disconnected {
        /// The new 5-tuple.
        client: ClientTuple,
    },
    /// From the host: the answer to a packet that was passed.
    Reply {
        /// The new 5-tuple.
        client: ClientTuple,
        /// The response.
        message: Vec<u8>,
    },
    /// From the host, which does not know the client any more: a packet that was passed comes back.
    Return {
        /// The new 5-tuple.
        client: ClientTuple,
        /// The packet, as it was passed.
        packet: Vec<u8>,
    },
    /// From the host: nothing is to be passed for this client any more.
    Forget {
        /// The 5-tuple.
        client: ClientTuple,
    },
    /// From the host: the allocation itself.
    Arrive(Box<Arrival>),
    /// To the host: packets that were passed before this come back before [`Mail::Fenced`] does.
    Fence {
        /// The 5-tuple.
        client: ClientTuple,
    },
    /// From the host: the answer to [`Mail::Fence`].
    Fenced {
        /// The 5-tuple.
        client: ClientTuple,
        /// Whether an allocation of the host has the 5-tuple, or is moving to it: one of the
        /// packets before the fence may have shown a ticket.
        is_known: bool,
    },
    /// To the shard of a TCP allocation: a client here has bound this connection.
    Claim {
        /// The connection with the peer.
        connection: ConnectionId,
    },
    /// The answer to [`Mail::Claim`]: the peer's socket goes along.
    Yield {
        /// The connection.
        connection: ConnectionId,
    },
    /// From the shard of a TCP allocation: a connection that was claimed ends.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
    /// To the shard of a TCP allocation: a connection that was claimed has ended.
    Ended {
        /// The connection.
        connection: ConnectionId,
    },
}

impl Mail {
    /// Whether this may be lost like a packet if an inbox is full. Of all other mail there is at
    /// most one of a kind for each client that moves, or connection of a peer, and it must arrive.
    pub const fn is_packet(&self) -> bool {
        match self {
            Self::Pass { .. } | Self::Reply { .. } | Self::Return { .. } => true,
            Self::Disconnected { .. }
            | Self::Forget { .. }
            | Self::Arrive(_)
            | Self::Fence { .. }
            | Self::Fenced { .. }
            | Self::Claim { .. }
            | Self::Yield { .. }
            | Self::Close { .. }
            | Self::Ended { .. } => false,
        }
    }
}

/// An allocation between two shards: everything of it but its sockets, which travel beside it.
#[derive(Debug)]
pub struct Arrival {
    /// The allocation, under the id that it had at its last host.
    pub(crate) allocation: Allocation,
    pub(crate) channels: Vec<(ChannelNumber, Bound)>,
}

impl Arrival {
    /// The sockets that travel with it, by the ids that they had there.
    pub fn relays(&self) -> impl Iterator<Item = RelayId> {
        let relays = self.allocation.relays.iter();
        relays.map(|relay| self.allocation.relay_id(relay.family()))
    }
}
