//! NAT behaviour discovery: from where a Binding response leaves. RFC 5780 §6, RFC 3489 §8.1.
//!
//! Two addresses times two ports are the four corners from which a response may come. A client
//! compares what its NAT does for each of them. Without a second address nothing of this is
//! offered, and what asks for it is an unknown attribute.

use std::net::{IpAddr, SocketAddr};

use wire::AddressFamily;
use wire::attributes::ChangeRequest;

use crate::Transport;

/// The corners of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// The address that clients know, A1 in RFC 5780.
    pub primary: HostAddress,
    /// The address that they are told of, A2.
    pub alternate: HostAddress,
    /// The port that clients know and the one that they are told of, P1 and P2: not the same.
    pub ports: [u16; 2],
    /// Whether there are listeners for TCP at all corners, too.
    pub tcp: bool,
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address sockets are bound to.
    pub local: IpAddr,
    /// The address the world knows it by; the same unless there is a 1:1 NAT.
    pub external: IpAddr,
}

impl NatDiscovery {
    /// The family of all corners.
    pub fn family(&self) -> AddressFamily {
        AddressFamily::of(self.primary.local)
    }

    /// The corner that a client sent to, `None` if it is another listener of this host.
    pub(crate) fn corner(&self, transport: Transport, server: SocketAddr) -> Option<Corner> {
        if transport == Transport::Tcp && !self.tcp {
            return None;
        }
        let ip = server.ip().to_canonical();
        let alternate_ip = which([self.primary.local, self.alternate.local], ip)?;
        let alternate_port = which(self.ports, server.port())?;
        Some(Corner {
            alternate_ip,
            alternate_port,
        })
    }

    /// Where a socket of this host is bound for a corner.
    pub(crate) fn local(&self, corner: Corner) -> SocketAddr {
        SocketAddr::new(self.address(corner).local, self.port(corner))
    }

    /// What clients see of a corner.
    pub(crate) fn external(&self, corner: Corner) -> SocketAddr {
        SocketAddr::new(self.address(corner).external, self.port(corner))
    }

    const fn address(&self, corner: Corner) -> HostAddress {
        if corner.alternate_ip {
            self.alternate
        } else {
            self.primary
        }
    }

    const fn port(&self, corner: Corner) -> u16 {
        self.ports[corner.alternate_port as usize]
    }
}

/// One of the four: which of both addresses, which of both ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corner {
    alternate_ip: bool,
    alternate_port: bool,
}

impl Corner {
    /// The corner that CHANGE-REQUEST leads to from this one. RFC 5780 §6.1, Table 1.
    pub(crate) const fn changed(self, change: ChangeRequest) -> Self {
        Self {
            alternate_ip: self.alternate_ip ^ change.ip,
            alternate_port: self.alternate_port ^ change.port,
        }
    }

    /// The corner that OTHER-ADDRESS names, whatever CHANGE-REQUEST says.
    pub(crate) const fn opposite(self) -> Self {
        self.changed(ChangeRequest {
            ip: true,
            port: true,
        })
    }
}

/// Whether it is the second of two; `None` if it is neither.
fn which<T: PartialEq>([first, second]: [T; 2], found: T) -> Option<bool> {
    if found == first {
        Some(false)
    } else {
        (found == second).then_some(true)
    }
}
