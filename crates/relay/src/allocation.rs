//! An allocation: all that one client has. RFC 8656 §3.2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use wire::{AddressFamily, ChannelNumber, MacKey, TransactionId};

use crate::permissions::Permissions;
use crate::ports::Parity;
use crate::{AllocationId, ClientTuple, RelayId};

/// Packets and bytes of application data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Their payload, without any header.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) const fn count(&mut self, payload: usize) {
        self.packets += 1;
        self.bytes += payload as u64;
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) id: AllocationId,
    pub(crate) client: ClientTuple,
    pub(crate) user: Arc<str>,
    /// Verifies what the client signs and signs what it is answered.
    pub(crate) key: MacKey,
    /// The Allocate that this answers: the same again hears the same.
    pub(crate) transaction: TransactionId,
    /// The lifetime that Allocate was granted, in seconds.
    pub(crate) lifetime: u32,
    pub(crate) born: Instant,
    pub(crate) deadline: Instant,
    pub(crate) relay: Relay,
    pub(crate) phase: Phase,
    pub(crate) permissions: Permissions,
    /// What [`crate::routes::Routes`] knows of this client.
    pub(crate) channels: Vec<ChannelNumber>,
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
}

/// The relay socket of an allocation, by its two faces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// Which ports will do, should this one be in use.
    pub(crate) parity: Parity,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
    /// The relayed transport address: where peers find it.
    pub(crate) relayed: SocketAddr,
}

/// No success before the socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The socket is asked for; the client waits.
    Opening {
        /// Whether the answer wants a FINGERPRINT.
        fingerprint: bool,
        /// Ports tried before this one.
        tries: u32,
    },
    /// The client has heard success.
    Open,
}

impl Allocation {
    pub(crate) const fn relay_id(&self) -> RelayId {
        RelayId {
            allocation: self.id,
            family: self.family(),
        }
    }

    pub(crate) const fn family(&self) -> AddressFamily {
        AddressFamily::of(self.relay.local.ip())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }
}
