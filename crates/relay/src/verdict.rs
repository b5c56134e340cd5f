//! What comes out of the server: a verdict on this packet, effects for all the rest.

use std::net::SocketAddr;

use wire::{AddressFamily, RelayHeader};

use crate::{ClientTuple, DropReason, Mail, PeerAddr, RelayId, Report, ShardId};

/// What to do with the packet that was just handled.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// Send `payload` from a relay socket to a peer.
    Forward {
        /// The socket to send from.
        from: RelayId,
        /// The peer.
        to: PeerAddr,
        /// Whether the DF bit is to be set.
        dont_fragment: bool,
        /// The application data, a slice of the packet handled.
        payload: &'a [u8],
    },
    /// Send `header`, `payload` and padding to a client as one datagram or one frame.
    Deliver {
        /// The client.
        to: ClientTuple,
        /// ChannelData or Data indication header.
        header: RelayHeader,
        /// The application data, a slice of the packet handled; empty under an ICMP error.
        payload: &'a [u8],
    },
    /// Answer the sender.
    Reply(&'a [u8]),
    /// Answer the sender as if it had asked on another 5-tuple: from another of the server's UDP
    /// listeners, to another of the client's ports. RFC 5780 §6.1.
    ReplyAs {
        /// The 5-tuple that the answer travels on.
        via: ClientTuple,
        /// The message.
        message: &'a [u8],
    },
    /// Let the partner answer, from its address: write to it.
    AskPartner {
        /// The partner: there is one per family at most.
        family: AddressFamily,
        /// The note.
        note: &'a [u8],
    },
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
    /// Send application data to a peer, as [`Verdict::Forward`].
    Forward {
        /// The socket to send from.
        from: RelayId,
        /// The peer.
        to: PeerAddr,
        /// Whether the DF bit is to be set.
        dont_fragment: bool,
        /// The application data.
        payload: Vec<u8>,
    },
    /// Send application data to a client, as [`Verdict::Deliver`].
    Deliver {
        /// The client.
        to: ClientTuple,
        /// ChannelData or Data indication header.
        header: RelayHeader,
        /// The application data.
        payload: Vec<u8>,
    },
    /// Write to another shard: [`crate::Server::handle_mail`]. The sockets of [`Mail::Arrive`] go
    /// along.
    Mail {
        /// The shard.
        to: ShardId,
        /// What to write.
        mail: Mail,
    },
    /// Serve a socket that came along with [`Mail::Arrive`].
    AdoptRelay {
        /// Its name in the shard that it came from.
        was: RelayId,
        /// The name of the socket from now on.
        relay: RelayId,
    },
    /// Write to the partner of this family.
    TellPartner {
        /// Which one.
        family: AddressFamily,
        /// The note.
        note: Vec<u8>,
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
