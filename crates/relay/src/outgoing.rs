//! Outgoing: one datagram or frame, and its destination.

use std::net::SocketAddr;

use wire::{AddressFamily, RelayHeader};

use crate::{ClientTuple, PeerAddr, RelayId, ShardId};

/// One datagram, or one frame of a stream, that leaves. Its contents are borrowed where it is sent
/// in the same turn, and owned where it waits.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<B> {
    /// Its destination, and the address that it leaves from.
    pub to: Destination,
    /// A whole message, or application data.
    pub contents: B,
}

/// The destination of a datagram or frame, and what is needed to send it there.
#[derive(Clone, Copy, Debug)]
pub enum Destination {
    /// Application data to a peer.
    Peer(Hop),
    /// Application data to another relayed address of this server, whose allocation is in another
    /// shard: that one's [`crate::Server::handle_crossing`] takes it.
    Relayed(Crossing),
    /// Application data to a client: header, contents and padding make one datagram or one frame.
    Client {
        /// The client.
        client: ClientTuple,
        /// ChannelData or Data indication header.
        header: RelayHeader,
    },
    /// A message to a client. It is the sender of the request, or for NAT discovery the same client
    /// by another 5-tuple: from another of the server's UDP listeners, to another of the client's
    /// ports (RFC 5780 §6.1).
    Answer(ClientTuple),
    /// A note to the partner of this family.
    Partner(AddressFamily),
}

/// The way from a relayed transport address to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The socket to send from.
    pub from: RelayId,
    /// The peer.
    pub to: PeerAddr,
    /// Whether the DF bit is to be set. A received datagram does not show whether its DF bit was
    /// set, so only a Send indication can ask for it: RFC 8656 §14, alternate behaviour.
    pub dont_fragment: bool,
}

/// The way from a relayed transport address to one of another shard of this process, beside the
/// kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The shard that has the receiver's allocation.
    pub shard: ShardId,
    /// The sender's relayed transport address: the peer that the receiver sees.
    pub from: PeerAddr,
    /// The address that the receiver's relay socket is bound to.
    pub to: SocketAddr,
}

impl<B> Outgoing<B> {
    /// A message to a client.
    pub(crate) const fn answer(to: ClientTuple, contents: B) -> Self {
        Self {
            to: Destination::Answer(to),
            contents,
        }
    }
}

impl<B: AsRef<[u8]>> Outgoing<B> {
    /// The same, with contents of its own, so that it can wait.
    pub fn owned(&self) -> Outgoing<Vec<u8>> {
        Outgoing {
            to: self.to,
            contents: self.contents.as_ref().to_vec(),
        }
    }

    /// The same, with borrowed contents.
    pub fn borrowed(&self) -> Outgoing<&[u8]> {
        Outgoing {
            to: self.to,
            contents: self.contents.as_ref(),
        }
    }
}
