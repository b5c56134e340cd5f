//! Addresses and ids: one type per role, so that a client is never taken for a peer.

use std::net::SocketAddr;

use wire::{AddressFamily, Transport};

/// The 5-tuple of a client, the only key it is known by. RFC 8656 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientTuple {
    /// The transport between client and server.
    pub transport: Transport,
    /// The client's reflexive address.
    pub client: SocketAddr,
    /// The server's address that the client sent to.
    pub server: SocketAddr,
}

/// The transport address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr(pub SocketAddr);

/// An allocation, never reused: a slot that is filled anew has another generation. Each shard
/// begins at a random one, so that a log can tell the allocations of all shards apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A relay socket: an allocation has at most one per address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId {
    /// The allocation that has the socket.
    pub allocation: AllocationId,
    /// The family of the socket, which tells it from the allocation's other one.
    pub family: AddressFamily,
}

impl RelayId {
    /// Its place among the relay sockets of a shard: a small number, which no other socket of that
    /// shard has as long as this one lives.
    pub const fn index(self) -> usize {
        let family = match self.family {
            AddressFamily::V4 => 0,
            AddressFamily::V6 => 1,
        };
        self.allocation.slot as usize * 2 + family
    }
}

impl std::str::FromStr for AllocationId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (slot, generation) = text.split_once('.').ok_or(NotAnId)?;
        Ok(Self {
            slot: slot.parse().map_err(|_| NotAnId)?,
            generation: u32::from_str_radix(generation, 16).map_err(|_| NotAnId)?,
        })
    }
}

/// A text that is the id of no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an allocation is named as in the log, such as 0.be76a450")]
pub struct NotAnId;

impl std::fmt::Display for AllocationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:08x}", self.slot, self.generation)
    }
}
