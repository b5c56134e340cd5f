//! The requests to a server.

use std::net::SocketAddr;
use std::time::Duration;

use wire::attributes::{
    ChannelNumberAttribute, ConnectionId, DontFragment, Lifetime, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use wire::{AddressFamily, ChannelNumber, Method, Writer};

use crate::Ticket;

/// A request, without the attributes that authenticate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The reflexive address. RFC 8489 §3.
    Binding,
    /// An allocation. RFC 8656 §7.1.
    Allocate(AllocateOptions),
    /// Another lifetime for the allocation; zero ends it. RFC 8656 §8.1.
    Refresh {
        /// The lifetime asked for, in whole seconds.
        lifetime: Duration,
    },
    /// The allocation that the client had at another address. RFC 8016 §3.2.1.
    Relocate {
        /// The lifetime asked for, in whole seconds.
        lifetime: Duration,
        /// The ticket that the server gave for it.
        ticket: Ticket,
    },
    /// Permissions for the addresses of these peers. RFC 8656 §10.1.
    CreatePermission {
        /// The peers; their ports do not matter.
        peers: Vec<SocketAddr>,
    },
    /// A channel, or five more minutes for its permission and ten for itself. RFC 8656 §12.1.
    ChannelBind {
        /// The channel.
        number: ChannelNumber,
        /// The peer behind it.
        peer: SocketAddr,
    },
    /// A connection from a TCP allocation to a peer. RFC 6062 §4.3.
    Connect {
        /// The peer.
        peer: SocketAddr,
    },
    /// Makes the connection that it is sent on the other end of one with a peer. RFC 6062 §4.3.
    ConnectionBind {
        /// The connection with the peer.
        connection: ConnectionId,
    },
    /// A request that the caller wrote: [`crate::Client::request`].
    Custom(Method),
}

/// The options of an Allocate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocateOptions {
    /// The lifetime in whole seconds; the server's default if `None`.
    pub lifetime: Option<Duration>,
    /// The family of the relayed address; if `None` the attribute is left out, which means IPv4.
    pub family: Option<AddressFamily>,
    /// Whether the server is asked if it can set the DF bit: one that cannot refuses with 420.
    pub dont_fragment: bool,
    /// Whether to ask for a ticket, so that [`crate::Client::relocate`] can take the allocation
    /// along. RFC 8016 §3.1.1.
    pub mobile: bool,
    /// Whether peers are reached over TCP. RFC 6062 §4.1.
    pub tcp: bool,
}

impl Request {
    /// The method of the request.
    pub const fn method(&self) -> Method {
        match self {
            Self::Binding => Method::Binding,
            Self::Allocate(_) => Method::Allocate,
            Self::Refresh { .. } | Self::Relocate { .. } => Method::Refresh,
            Self::CreatePermission { .. } => Method::CreatePermission,
            Self::ChannelBind { .. } => Method::ChannelBind,
            Self::Connect { .. } => Method::Connect,
            Self::ConnectionBind { .. } => Method::ConnectionBind,
            Self::Custom(method) => *method,
        }
    }

    /// Whether it is signed from the start. A Binding is open to everyone, and a server that wants
    /// it signed answers 401.
    pub(crate) const fn is_signed(&self) -> bool {
        match self {
            Self::Binding => false,
            Self::Allocate(_)
            | Self::Refresh { .. }
            | Self::Relocate { .. }
            | Self::CreatePermission { .. }
            | Self::ChannelBind { .. }
            | Self::Connect { .. }
            | Self::ConnectionBind { .. }
            | Self::Custom(_) => true,
        }
    }

    /// Writes the attributes; those of a custom request are its caller's.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Binding | Self::Custom(_) => {}
            Self::Allocate(options) => {
                writer.put(if options.tcp {
                    &RequestedTransport::TCP
                } else {
                    &RequestedTransport::UDP
                });
                if let Some(lifetime) = options.lifetime {
                    writer.put(&seconds(lifetime));
                }
                if let Some(family) = options.family {
                    writer.put(&RequestedAddressFamily(Ok(family)));
                }
                if options.dont_fragment {
                    writer.put(&DontFragment);
                }
                if options.mobile {
                    writer.put(&MobilityTicket(b""));
                }
            }
            Self::Refresh { lifetime } => {
                writer.put(&seconds(*lifetime));
            }
            Self::Relocate { lifetime, ticket } => {
                writer
                    .put(&seconds(*lifetime))
                    .put(&MobilityTicket(&ticket.0));
            }
            Self::CreatePermission { peers } => {
                for peer in peers {
                    writer.put(&XorPeerAddress(*peer));
                }
            }
            Self::ChannelBind { number, peer } => {
                writer
                    .put(&ChannelNumberAttribute(number.get()))
                    .put(&XorPeerAddress(*peer));
            }
            Self::Connect { peer } => {
                writer.put(&XorPeerAddress(*peer));
            }
            Self::ConnectionBind { connection } => {
                writer.put(connection);
            }
        }
    }
}

fn seconds(lifetime: Duration) -> Lifetime {
    Lifetime(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}
