//! The server's output: a verdict on each packet, and effects for everything else.

use std::net::SocketAddr;
use std::time::Instant;

use crate::{DropReason, Mail, Outgoing, RelayId, Report, Route, ShardId, UserName};

/// The outcome of the packet that was just handled. An answer borrows the server (`'s`), which
/// wrote it; application data borrows the packet (`'p`), so that a whole batch can be handled before
/// any of its data is sent.
#[derive(Debug)]
pub enum Verdict<'s, 'p> {
    /// Send a message, which the server holds until its next call.
    Answer(Outgoing<&'s [u8]>),
    /// Send application data, a slice of the packet that was handled; it is empty for an ICMP
    /// error.
    Relay(Outgoing<&'p [u8]>),
    /// Send nothing, for this reason. It is counted already.
    Drop(DropReason),
    /// Send nothing; effects may be waiting.
    Done,
}

/// Everything that is not the verdict on one packet. Drain them after each turn.
#[derive(Debug)]
pub enum Effect {
    /// Send a message, or application data that came by way of another shard.
    Send(Outgoing<Vec<u8>>),
    /// Bind a UDP socket, then give the outcome to [`crate::Server::handle_opened`].
    OpenRelay {
        /// The id of the socket from now on.
        relay: RelayId,
        /// The address to bind it to.
        local: SocketAddr,
    },
    /// Close a relay socket.
    CloseRelay {
        /// The socket.
        relay: RelayId,
    },
    /// A channel is bound: a data path beside the server, such as the kernel's, may carry its
    /// packets.
    Bind(Route),
    /// A channel is no longer bound. This comes before [`Effect::CloseRelay`] of its socket, and
    /// before another [`Effect::Bind`] of its number or its peer.
    Unbind(Route),
    /// Write to another shard: [`crate::Server::handle_mail`]. The sockets of [`Mail::Arrive`] go
    /// along.
    Mail {
        /// The shard to write to.
        to: ShardId,
        /// The mail.
        mail: Mail,
    },
    /// Serve a socket that came along with [`Mail::Arrive`].
    AdoptRelay {
        /// Its id in the shard that it came from.
        was: RelayId,
        /// Its id from now on.
        relay: RelayId,
    },
    /// Ask the key store for a user, once at a time. The outcome goes to
    /// [`crate::Server::handle_key`] whenever it comes; nothing but the user's requests waits.
    FetchKey {
        /// The user.
        name: UserName,
        /// When the server stops waiting for it.
        deadline: Instant,
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
    /// The system refused for another reason.
    #[error("the system refused the socket")]
    System,
}
