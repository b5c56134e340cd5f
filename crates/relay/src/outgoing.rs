//! What leaves: one datagram or frame, to whom and from where.

use wire::{AddressFamily, RelayHeader};

use crate::{ClientTuple, PeerAddr, RelayId};

/// One datagram, or one frame of a stream, that leaves. Contents are borrowed where they are sent in
/// the same turn, and owned where they wait.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<B> {
    /// Where to, and from where.
    pub to: Destination,
    /// A whole message, or application data.
    pub contents: B,
}

/// Where a datagram or frame goes, and what that takes.
#[derive(Clone, Copy, Debug)]
pub enum Destination {
    /// Application data to a peer.
    Peer(Hop),
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
    /// A note to the partner: there is one per family at most.
    Partner(AddressFamily),
}

/// The way from a relayed transport address to a peer.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The socket to send from.
    pub from: RelayId,
    /// The peer.
    pub to: PeerAddr,
    /// Whether the DF bit is to be set. What sockets receive does not show whether it was set
    /// there, so only a Send indication can ask for it: RFC 8656 §14, alternate behaviour.
    pub dont_fragment: bool,
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
