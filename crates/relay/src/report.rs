//! Reports: what the operator is told about allocations, refusals and partners.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use wire::Method;

use crate::{AllocationId, Ban, ClientTuple, PartnerFlaw, Quality, Reject, Traffic};

/// An event, for the operator's log.
#[derive(Clone, Debug)]
pub enum Report {
    /// An allocation was granted.
    Opened {
        /// Its id.
        allocation: AllocationId,
        /// Its client.
        client: ClientTuple,
        /// The realm that the user belongs to.
        realm: Arc<str>,
        /// The person, or the key of a token, that it is counted under.
        user: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        credential: Arc<str>,
        /// The relayed transport addresses, as the client was told: IPv4 first, one per family.
        relayed: Vec<SocketAddr>,
        /// The lifetime granted, in seconds.
        lifetime: u32,
    },
    /// An allocation is gone.
    Ended {
        /// Its id.
        allocation: AllocationId,
        /// Its client.
        client: ClientTuple,
        /// The realm that the user belongs to.
        realm: Arc<str>,
        /// The person, or the key of a token, that it is counted under.
        user: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        credential: Arc<str>,
        /// The relayed transport addresses that it had when it ended.
        relayed: Vec<SocketAddr>,
        /// The cause of the end.
        cause: EndCause,
        /// How long it lived.
        age: Duration,
        /// Data from the client to peers.
        sent: Traffic,
        /// Data from peers to the client.
        received: Traffic,
        /// How good its legs were, if that was measured.
        quality: Option<Box<Quality>>,
    },
    /// An allocation moved to another 5-tuple of its client. RFC 8016.
    Moved {
        /// Its id.
        allocation: AllocationId,
        /// Its id before; that differs if it came from another shard.
        was: AllocationId,
        /// The client's new 5-tuple.
        client: ClientTuple,
        /// The realm that the user belongs to.
        realm: Arc<str>,
        /// The person, or the key of a token, that it is counted under.
        user: Arc<str>,
        /// The USERNAME, without the realm if it ends in it.
        credential: Arc<str>,
    },
    /// Something about the partner for NAT discovery.
    Partner {
        /// The address that it writes from.
        partner: SocketAddr,
        /// The event.
        news: PartnerNews,
    },
    /// A request was refused.
    Refused {
        /// The allocation of the client that asked, if it has one.
        allocation: Option<AllocationId>,
        /// The client that asked.
        client: ClientTuple,
        /// The realm of the user, or that of the listener if the user is not known.
        realm: Arc<str>,
        /// The person, or the key of a token, that the USERNAME names. It proves nothing if the
        /// credentials were refused.
        user: Option<Box<str>>,
        /// The USERNAME, without the realm if it ends in it.
        credential: Option<Box<str>>,
        /// The method of the request.
        method: Method,
        /// Whether the client has shown that its address is its own: over TCP, or by a nonce that was
        /// made for it. Asked only of a [`Reject::is_failed_proof`], else false.
        proven: bool,
        /// Why it was refused.
        reject: Reject,
    },
    /// A source prefix failed too often to prove who it is, and is banned.
    Banned(Ban),
    /// A client that the rules deny was not answered. Reported at most once a second; over UDP anybody can write such
    /// an address on a packet.
    Denied {
        /// Its address.
        client: IpAddr,
    },
}

/// A change in the state of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartnerNews {
    /// It is met, and clients are told of its address.
    Met,
    /// It has fallen silent, and NAT discovery is off until it is met again.
    Lost,
    /// A packet in its name was not obeyed. Reported at most once a minute.
    Ignored(PartnerFlaw),
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
    /// The address that it relayed from has left the host, or peers know the host by another.
    AddressGone,
    /// The rules deny its client by now.
    ClientDenied,
    /// The server drains, and the time that it had for that is over.
    DrainDeadline,
}

impl EndCause {
    /// Each of them.
    pub const ALL: &[Self] = &[
        Self::Deleted,
        Self::Expired,
        Self::Disconnected,
        Self::Shutdown,
        Self::Stranded,
        Self::Operator,
        Self::AddressGone,
        Self::ClientDenied,
        Self::DrainDeadline,
    ];

    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
            Self::Stranded => "stranded",
            Self::Operator => "operator",
            Self::AddressGone => "address-gone",
            Self::ClientDenied => "client-denied",
            Self::DrainDeadline => "drain-deadline",
        }
    }
}
