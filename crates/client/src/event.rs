//! What a client has to tell.

use std::net::SocketAddr;
use std::time::Duration;

use wire::attributes::Icmp;
use wire::stream::FrameError;
use wire::{ChannelNumber, Malformed, Method};

use crate::Request;

/// Something that the caller waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to a Binding.
    Bound {
        /// The client's address as the server sees it.
        mapped: SocketAddr,
    },
    /// There is an allocation.
    Allocated {
        /// Where peers reach the client.
        relayed: SocketAddr,
        /// The client's address as the server sees it.
        mapped: SocketAddr,
        /// How long it lives.
        lifetime: Duration,
    },
    /// The allocation has another lifetime, or with zero is gone.
    Refreshed {
        /// How long it lives from now on.
        lifetime: Duration,
    },
    /// These peers may reach the allocation.
    PermissionCreated {
        /// As asked for.
        peers: Vec<SocketAddr>,
    },
    /// A channel stands.
    ChannelBound {
        /// Its number.
        number: ChannelNumber,
        /// The peer behind it.
        peer: SocketAddr,
    },
    /// The answer to a [custom request](crate::Client::request), yes or no.
    Answered {
        /// The method of the request.
        method: Method,
        /// The error code, `None` for a success.
        code: Option<u16>,
        /// The whole answer, for [`wire::Message::parse`].
        message: Vec<u8>,
    },
    /// A peer sent something. Whether it had a permission is not asked: who tests a server must
    /// see what it should not have let pass.
    Data {
        /// The peer.
        peer: SocketAddr,
        /// What it sent.
        payload: Vec<u8>,
        /// The channel it came on, `None` if in a Data indication.
        channel: Option<ChannelNumber>,
    },
    /// A datagram for a peer was lost. RFC 8656 §11.6.
    Lost {
        /// The peer; the port is 0 where the server does not know it.
        peer: SocketAddr,
        /// What the server heard of it, of ICMP or ICMPv6 as the peer's family has it.
        icmp: Icmp,
    },
    /// A request came to nothing.
    Failed {
        /// The request.
        request: Request,
        /// Why.
        failure: Failure,
    },
    /// The stream cannot be followed any further: the connection must end, and the client with it.
    StreamBroken(FrameError),
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server said no.
    #[error("the server answered {code} {reason}")]
    Refused {
        /// The error code.
        code: u16,
        /// The server's words, which may be empty.
        reason: String,
    },
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
    /// Answers came, but none that proved to know the key. RFC 8489 §9.2.5.
    #[error("no answer with the right MESSAGE-INTEGRITY")]
    BadIntegrity,
    /// The server said yes with an attribute that must be understood and is not. RFC 8489 §6.3.3.
    #[error("the answer has the unknown attribute {0:#06x}")]
    UnknownAttribute(u16),
    /// The server said yes without an attribute that must be there.
    #[error("the answer lacks attribute {0:#06x}")]
    MissingAttribute(u16),
    /// The server said yes with an attribute that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The stream broke while the request waited.
    #[error("the stream broke: {0}")]
    StreamBroken(FrameError),
}
