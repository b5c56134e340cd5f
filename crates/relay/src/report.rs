//! What the operator is told: who came, who went and why, who was refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wire::Method;

use crate::{AllocationId, ClientTuple, PartnerFlaw, Reject, Traffic};

/// What happened to whom.
#[derive(Clone, Debug)]
pub enum Report {
    /// An allocation was granted.
    Opened {
        /// Which one.
        allocation: AllocationId,
        /// Whose.
        client: ClientTuple,
        /// Where the user is known.
        realm: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        user: Arc<str>,
        /// The relayed transport addresses, as the client was told: IPv4 first, one per family.
        relayed: Vec<SocketAddr>,
        /// The lifetime granted, in seconds.
        lifetime: u32,
    },
    /// An allocation is gone.
    Ended {
        /// Which one.
        allocation: AllocationId,
        /// Whose.
        client: ClientTuple,
        /// Where the user is known.
        realm: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        user: Arc<str>,
        /// The relayed transport addresses that it had to its end.
        relayed: Vec<SocketAddr>,
        /// Why.
        cause: EndCause,
        /// How long it lived.
        age: Duration,
        /// From client to peers.
        sent: Traffic,
        /// From peers to client.
        received: Traffic,
    },
    /// An allocation follows its client to another 5-tuple. RFC 8016.
    Moved {
        /// Which one.
        allocation: AllocationId,
        /// Its name until now: another, if it came from another shard.
        was: AllocationId,
        /// Where the client is now.
        client: ClientTuple,
        /// The user's realm.
        realm: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        user: Arc<str>,
    },
    /// Of the partner for NAT discovery.
    Partner {
        /// Where it writes from.
        partner: SocketAddr,
        /// What of it.
        news: PartnerNews,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        client: ClientTuple,
        /// Where the user would be known, or the realm of the listener.
        realm: Arc<str>,
        /// The USERNAME, which is only a claim where the refusal is one of credentials.
        user: Option<Box<str>>,
        /// For what.
        method: Method,
        /// Why not.
        reject: Reject,
    },
}

/// What becomes of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartnerNews {
    /// It is there, and clients are told of its address.
    Met,
    /// It has fallen silent, and NAT discovery is off until it is met again.
    Lost,
    /// Something came in its name that is not obeyed. Told at most once a minute.
    Refused(PartnerFlaw),
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The client asked for it, by a Refresh with lifetime 0.
    Deleted,
    /// Its lifetime was over.
    Expired,
    /// The client's connection ended.
    Disconnected,
    /// The server stops.
    Shutdown,
    /// The shard that its client moved to had no room for its socket.
    Stranded,
    /// The operator ended it.
    Operator,
}

impl EndCause {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
            Self::Stranded => "stranded",
            Self::Operator => "operator",
        }
    }
}
