//! Events: results and data for the caller.

use std::net::SocketAddr;
use std::time::Duration;

use wire::attributes::{ConnectionId, Icmp};
use wire::stream::FrameError;
use wire::{ChannelNumber, Malformed, Method};

use crate::Request;

/// A result or data that the caller waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to a Binding.
    Bound {
        /// The client's address as the server sees it.
        mapped: SocketAddr,
    },
    /// An allocation was granted.
    Allocated {
        /// The address that peers reach the client at.
        relayed: SocketAddr,
        /// The client's address as the server sees it.
        mapped: SocketAddr,
        /// How long it lives.
        lifetime: Duration,
    },
    /// The allocation has another lifetime; with zero it has ended.
    Refreshed {
        /// How long it lives from now on.
        lifetime: Duration,
    },
    /// These peers may reach the allocation.
    PermissionCreated {
        /// The peers, as asked for.
        peers: Vec<SocketAddr>,
    },
    /// A channel was bound or prolonged.
    ChannelBound {
        /// Its number.
        number: ChannelNumber,
        /// The peer behind it.
        peer: SocketAddr,
    },
    /// A connection from a TCP allocation to a peer was made: another connection to the server is to
    /// bind it, within 30 seconds. RFC 6062 §4.3.
    Connected {
        /// The peer.
        peer: SocketAddr,
        /// Its name.
        connection: ConnectionId,
    },
    /// A peer has connected to the TCP allocation; it is to be bound likewise. RFC 6062 §4.4.
    ConnectionAttempt {
        /// The peer.
        peer: SocketAddr,
        /// Its name.
        connection: ConnectionId,
    },
    /// The stream is the other end of a connection with a peer from now on: no more frames, but
    /// [`Event::Bytes`]. RFC 6062 §4.5.
    ConnectionBound {
        /// The connection with the peer.
        connection: ConnectionId,
    },
    /// Bytes that a peer sent, on a stream that was bound to a connection with it.
    Bytes(Vec<u8>),
    /// The answer to a [custom request](crate::Client::request), success or error.
    Answered {
        /// The method of the request.
        method: Method,
        /// The error code, `None` for a success.
        code: Option<u16>,
        /// The whole answer, for [`wire::Message::parse`].
        message: Vec<u8>,
    },
    /// A peer sent data. The client does not check whether the peer had a permission: a test of a
    /// server must see data that the server should have dropped.
    Data {
        /// The peer.
        peer: SocketAddr,
        /// Its payload.
        payload: Vec<u8>,
        /// The channel that it came on, `None` if in a Data indication.
        channel: Option<ChannelNumber>,
    },
    /// A datagram for a peer was lost. RFC 8656 §11.6.
    Lost {
        /// The peer; the port is 0 where the server does not know it.
        peer: SocketAddr,
        /// The ICMP error that the server got, of ICMP or ICMPv6 by the peer's family.
        icmp: Icmp,
    },
    /// A request failed.
    Failed {
        /// The request.
        request: Request,
        /// Why.
        failure: Failure,
    },
    /// The bytes of the stream are no frames any more: the connection must end, and the client with
    /// it.
    StreamBroken(FrameError),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused it.
    #[error("the server answered {code}{}{reason}", if reason.is_empty() { "" } else { " " })]
    Refused {
        /// The error code.
        code: u16,
        /// The server's words, which may be empty.
        reason: String,
    },
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
    /// Answers came, but none was signed with the key. RFC 8489 §9.2.5.
    #[error("no answer with the right MESSAGE-INTEGRITY")]
    BadIntegrity,
    /// The server granted it with a comprehension-required attribute that is not known.
    /// RFC 8489 §6.3.3.
    #[error("the answer has the unknown attribute {0:#06x}")]
    UnknownAttribute(u16),
    /// The server granted it without an attribute that must be there.
    #[error("the answer lacks attribute {0:#06x}")]
    MissingAttribute(u16),
    /// The server granted it with an attribute that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The stream broke while the request waited for its answer.
    #[error("the stream broke: {0}")]
    StreamBroken(FrameError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_reason_is_told_without_a_space_behind_its_code() {
        let told = |reason: &str| {
            let reason = reason.to_owned();
            Failure::Refused { code: 401, reason }.to_string()
        };
        assert_eq!(told(""), "the server answered 401");
        assert_eq!(told("Nobody"), "the server answered 401 Nobody");
    }
}
