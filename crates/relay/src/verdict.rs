//! What comes out of the server: a verdict on this packet, effects for all the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wire::{Method, RelayHeader};

use crate::{AllocationId, ClientTuple, PeerAddr, Reject, RelayId, Traffic};

/// What to do with the packet that was just handled.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// Send `payload` from a relay socket to a peer.
    Forward {
        /// The socket to send from.
        from: RelayId,
        /// The peer.
        to: PeerAddr,
        /// The application data, a slice of the packet handled.
        payload: &'a [u8],
    },
    /// Send `header`, `payload` and padding to a client as one datagram or one frame.
    Deliver {
        /// The client.
        to: ClientTuple,
        /// ChannelData or Data indication header.
        header: RelayHeader,
        /// The application data, a slice of the packet handled.
        payload: &'a [u8],
    },
    /// Answer the sender.
    Reply(&'a [u8]),
    /// Nothing, and why. Already counted.
    Drop(DropReason),
    /// Nothing more; effects may be waiting.
    Done,
}

/// Everything that is not the verdict on one packet. Drain them after each call.
#[derive(Debug)]
pub enum Effect {
    /// Send a message to a client.
    Send {
        /// The client.
        to: ClientTuple,
        /// The message.
        message: Vec<u8>,
    },
    /// Bind a UDP socket, then tell [`crate::Server::handle_opened`] how it went.
    OpenRelay {
        /// The name of the socket from now on.
        relay: RelayId,
        /// Where to bind it.
        local: SocketAddr,
    },
    /// Close a relay socket.
    CloseRelay {
        /// The socket.
        relay: RelayId,
    },
    /// Tell the operator.
    Report(Report),
}

/// Why a relay socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another program has the port: the server tries another one.
    #[error("the port is in use")]
    InUse,
    /// This process or host has no more to give: file descriptors, memory.
    #[error("out of file descriptors or memory")]
    Exhausted,
    /// The address is not (or no longer) one of this host.
    #[error("the relay address is not on this host")]
    NotLocal,
    /// The system said no in another way.
    #[error("the system refused the socket")]
    Refused,
}

/// What happened to whom.
#[derive(Clone, Debug)]
pub enum Report {
    /// An allocation was granted.
    Opened {
        /// Which one.
        allocation: AllocationId,
        /// Whose.
        client: ClientTuple,
        /// The USERNAME.
        user: Arc<str>,
        /// The relayed transport address, as the client was told.
        relayed: SocketAddr,
        /// The lifetime granted, in seconds.
        lifetime: u32,
    },
    /// An allocation is gone.
    Ended {
        /// Which one.
        allocation: AllocationId,
        /// Whose.
        client: ClientTuple,
        /// The USERNAME.
        user: Arc<str>,
        /// The relayed transport address.
        relayed: SocketAddr,
        /// Why.
        cause: EndCause,
        /// How long it lived.
        age: Duration,
        /// From client to peers.
        sent: Traffic,
        /// From peers to client.
        received: Traffic,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        client: ClientTuple,
        /// The USERNAME, which is only a claim where the refusal is one of credentials.
        user: Option<Box<str>>,
        /// For what.
        method: Method,
        /// Why not.
        reject: Reject,
    },
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
}

impl EndCause {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet went nowhere. Nobody is told; each has a counter of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in logs and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Neither STUN nor ChannelData by its first byte. RFC 7983.
    Foreign = "foreign",
    /// Announced as STUN or ChannelData, and cannot be read.
    Malformed = "malformed",
    /// FINGERPRINT does not match. RFC 8489 §6.3.
    BadFingerprint = "bad-fingerprint",
    /// A TURN method without the magic cookie. RFC 8489 §5.
    NoCookie = "no-cookie",
    /// A response, which nobody asked for.
    UnexpectedResponse = "unexpected-response",
    /// A request with a method the server does not know. RFC 8489 §6.3.
    UnknownMethod = "unknown-method",
    /// An indication with a method that is none.
    UnknownIndication = "unknown-indication",
    /// An indication with an attribute that must be understood and is not. RFC 8489 §6.3.2.
    UnknownAttribute = "unknown-attribute",
    /// A Send indication without XOR-PEER-ADDRESS or DATA. RFC 8656 §11.2.
    IncompleteSend = "incomplete-send",
    /// A Send indication from a client without allocation.
    NoAllocation = "no-allocation",
    /// An Allocate again while its socket is being opened.
    AllocationOpening = "allocation-opening",
    /// ChannelData on a channel that is not bound.
    NoChannel = "no-channel",
    /// To a peer without permission.
    NoPermission = "no-permission",
    /// From a peer without permission.
    NoPeerPermission = "no-peer-permission",
    /// To or from a peer that the policy denies on this port.
    PeerDenied = "peer-denied",
    /// To a relayed address of ours that nobody has.
    NoRelay = "no-relay",
    /// A peer's packet for a relay socket that is gone.
    RelayGone = "relay-gone",
    /// Too large for one datagram.
    TooLarge = "too-large",
}
