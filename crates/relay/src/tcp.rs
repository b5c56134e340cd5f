//! TCP allocations: an allocation whose relayed transport address takes TCP connections, and makes
//! them. RFC 6062.
//!
//! A *peer data connection* comes from Connect or from a peer, and waits for a *client data
//! connection*: a connection of the client on which ConnectionBind shows the id. From then on both
//! are one stream in two parts, which the caller splices; the core only says who may, for how long,
//! and how fast.
//!
//! The client's connection may be one of another shard, as the kernel spreads connections by a hash.
//! Ids, users and keys are therefore in a [`Register`] that the shards share, so the shard that is
//! asked decides by itself. Then it *claims* the peer's socket from the shard that has the
//! allocation, which *yields* it; that one still decides when the connection ends.

mod binding;
mod connections;
mod ending;
mod opening;
mod passage;
mod register;

pub(crate) use connections::{Awaiting, PeerConnection, State, Tcp};
pub(crate) use opening::entry;
pub use passage::Passage;
pub use register::Register;

use std::time::Duration;

/// Why a connection to a peer was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The peer, or a host on the way, refuses it.
    #[error("the peer refuses")]
    Refused,
    /// The peer does not answer in time.
    #[error("the peer does not answer")]
    TimedOut,
    /// No way leads to the peer.
    #[error("no way leads to the peer")]
    Unreachable,
    /// It is a relayed transport address of this server that takes no connections.
    #[error("no TCP allocation has this relayed address")]
    NoRelay,
    /// It was given up: the peer policy denies the peer by now, or the client has deleted the
    /// relayed address.
    #[error("the peer is denied by now, or the relayed address was deleted")]
    GivenUp,
    /// This process or host has no more to give: file descriptors, memory, or the pair of addresses
    /// was in use a moment ago.
    #[error("out of file descriptors, memory or addresses")]
    Exhausted,
}

/// How long a peer may take to answer, and then a client to bind: both are RFC 6062's least.
/// RFC 6062 §5.2, §5.3.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
