//! The outcome of a packet.

use std::net::SocketAddr;

use relay::{ChannelNumber, ClientTuple, DropReason, Icmp};

use crate::{Answer, Client};

/// Where a packet, or data that the server sent because of it, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sender was answered.
    Answered(Answer),
    /// The sender was answered on another 5-tuple than it asked on.
    AnsweredAs(ClientTuple, Answer),
    /// A peer got a datagram.
    AtPeer {
        /// The address that it comes from, as the peer sees it.
        from: SocketAddr,
        /// The peer.
        to: SocketAddr,
        /// Whether its DF bit is set.
        dont_fragment: bool,
        /// The application data.
        payload: Vec<u8>,
    },
    /// A client got application data.
    AtClient {
        /// The client.
        client: Client,
        /// The peer that it is said to come from.
        peer: SocketAddr,
        /// The channel that it came on, `None` if in a Data indication.
        channel: Option<ChannelNumber>,
        /// The application data.
        payload: Vec<u8>,
    },
    /// A client was told of an ICMP error.
    IcmpAtClient {
        /// The client.
        client: Client,
        /// The peer that the lost datagram was for.
        peer: SocketAddr,
        /// The error.
        icmp: Icmp,
    },
    /// The server dropped it.
    Lost(DropReason),
    /// It was sent to a port of the machine that no socket has.
    NoSocket,
    /// The server took it and sends nothing, or not yet.
    Silent,
}

impl Outcome {
    /// The answer.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            other @ (Self::AnsweredAs(..)
            | Self::AtPeer { .. }
            | Self::AtClient { .. }
            | Self::IcmpAtClient { .. }
            | Self::Lost(_)
            | Self::NoSocket
            | Self::Silent) => panic!("no answer, but {other:?}"),
        }
    }
}

/// Asserts that a packet was dropped, and why.
#[track_caller]
pub fn assert_lost(outcome: Outcome, why: DropReason) {
    assert_eq!(outcome, Outcome::Lost(why));
}
