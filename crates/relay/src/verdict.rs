//! The server's output: a verdict on each packet, and effects for everything else.

use std::net::SocketAddr;
use std::time::Instant;

use crate::{
    ClientTuple, ConnectionId, DropReason, Mail, Outgoing, Passage, RelayId, Report, Route,
    ShardId, Traced, UserName,
};

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
    /// Bind a TCP socket and listen on it, then give the outcome to
    /// [`crate::Server::handle_opened`]. Each peer that connects goes to
    /// [`crate::Server::handle_accepted`]. RFC 6062 §5.1.
    OpenTcpRelay {
        /// The id of the socket from now on.
        relay: RelayId,
        /// The address to bind it to.
        local: SocketAddr,
    },
    /// Close a relay socket, for UDP or TCP.
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
    /// Write to another shard: [`crate::Server::handle_mail`]. The sockets of [`Mail::Arrive`] and
    /// [`Mail::Yield`] go along.
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
    /// Connect to a peer from the address of a relay socket, then give the outcome to
    /// [`crate::Server::handle_connected`]. Nothing is read from the peer until the connection is
    /// spliced. RFC 6062 §5.2.
    Connect {
        /// The id of the connection from now on.
        connection: ConnectionId,
        /// The address of the relay socket.
        local: SocketAddr,
        /// The address to connect to.
        peer: SocketAddr,
    },
    /// Close a connection with a peer, or stop making it; if it is spliced, the client's connection
    /// is closed, too.
    CloseConnection {
        /// The connection.
        connection: ConnectionId,
    },
    /// From its last answer on a client's connection carries the data of a peer's: pass on all bytes
    /// each way, as [`crate::Server::may_pass`] allows, then call
    /// [`crate::Server::handle_ended`]. The peer's socket may be one that is still to come from
    /// another shard: [`Effect::AdoptConnection`]. RFC 6062 §5.4.
    Splice {
        /// The client's connection.
        client: ClientTuple,
        /// The peer's.
        connection: ConnectionId,
        /// Counts and limits the data.
        passage: Passage,
    },
    /// The peer's socket came along with [`Mail::Yield`].
    AdoptConnection {
        /// The connection.
        connection: ConnectionId,
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
    /// Tell those who trace a client. It is boxed, as there is seldom one.
    Traced(Box<Traced>),
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
