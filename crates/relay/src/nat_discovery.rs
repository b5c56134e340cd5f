//! NAT behaviour discovery: the address and port that a Binding response leaves from. RFC 5780 §6,
//! RFC 3489 §8.1.
//!
//! Two addresses times two ports are the four corners from which a response may come. A client
//! compares what its NAT does for each of them. The second address belongs to this host or to a
//! partner. Without one the server offers no NAT discovery, and treats the attributes that ask for
//! it as unknown.

mod line;
mod note;
mod partners;
mod window;

pub(crate) use line::{Line, Lines};
pub(crate) use note::{Errand, LENGTH};
pub(crate) use partners::Partners;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wire::AddressFamily;
use wire::attributes::ChangeRequest;
use zeroize::Zeroizing;

use crate::{DropReason, Transport};

/// The corners of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// The address that clients know, A1 in RFC 5780.
    pub primary: HostAddress,
    /// The address that clients are told of in OTHER-ADDRESS, A2.
    pub alternate: SecondAddress,
    /// The port that clients know and the one that they are told of, P1 and P2. They differ.
    pub ports: [u16; 2],
    /// Whether there are also TCP listeners at all corners.
    pub tcp: bool,
    /// The same for TLS.
    pub tls: bool,
}

/// The host that has the second address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondAddress {
    /// This host.
    Here(HostAddress),
    /// Another host, whose server has this one for its partner.
    Partner(Partner),
}

/// A server on another host, with the same two ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The address that the world knows it by.
    pub address: IpAddr,
    /// The UDP port that partners write to: the same on both hosts, and neither of `ports`.
    pub port: u16,
    /// The secret that both partners have.
    pub secret: PartnerSecret,
}

impl Partner {
    /// The address that its notes come from and ours go to.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The secret that seals the notes between partners.
#[derive(Clone, PartialEq, Eq)]
pub struct PartnerSecret(Zeroizing<Vec<u8>>);

impl PartnerSecret {
    /// It should be at least 16 bytes that nobody can guess.
    pub fn new(secret: &[u8]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PartnerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartnerSecret(***)")
    }
}

/// Why a packet from a partner's address is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartnerFlaw {
    /// It is not sealed with our secret.
    #[error(
        "it has another secret, or somebody writes in its name (key `secret` in [nat-discovery])"
    )]
    Secret,
    /// Its stamp is too old, or in the future.
    #[error("its clock is {} s off: let both hosts set theirs by NTP", .off.as_secs())]
    Clock {
        /// How far off the stamp is.
        off: Duration,
    },
    /// Its address or ports are not those that it should have.
    #[error(
        "it has another address or other ports than expected: `partner` in [nat-discovery] is the \
         address of its first UDP [[listener]], and both ports are the same on both hosts"
    )]
    Setting,
    /// It came before, or was meant for another session of this server.
    #[error("what it wrote was heard before, or is not for this run of this server")]
    Replayed,
}

impl PartnerFlaw {
    /// The reason that it is counted under.
    pub const fn drop_reason(self) -> DropReason {
        match self {
            Self::Secret | Self::Setting => DropReason::BadNote,
            Self::Clock { .. } | Self::Replayed => DropReason::StaleNote,
        }
    }
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
        let is_heard = match transport {
            Transport::Udp => true,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
            // RFC 5780 has none of it, and a response from elsewhere would be none of the session.
            Transport::Dtls => false,
        };
        if !is_heard {
            return None;
        }
        let ip = server.ip().to_canonical();
        let alternate_ip = match &self.alternate {
            SecondAddress::Here(alternate) => which([self.primary.local, alternate.local], ip)?,
            SecondAddress::Partner(_) if ip == self.primary.local => false,
            SecondAddress::Partner(_) => return None,
        };
        let alternate_port = which(self.ports, server.port())?;
        Some(Corner {
            alternate_ip,
            alternate_port,
        })
    }

    /// The address that a socket of this host is bound to for a corner, `None` if the corner is the
    /// partner's.
    pub(crate) fn local(&self, corner: Corner) -> Option<SocketAddr> {
        let ip = match &self.alternate {
            _ if !corner.alternate_ip => self.primary.local,
            SecondAddress::Here(alternate) => alternate.local,
            SecondAddress::Partner(_) => return None,
        };
        Some(SocketAddr::new(ip, self.port(corner)))
    }

    /// The address and port of a corner as clients see them.
    pub(crate) fn external(&self, corner: Corner) -> SocketAddr {
        let ip = match &self.alternate {
            _ if !corner.alternate_ip => self.primary.external,
            SecondAddress::Here(alternate) => alternate.external,
            SecondAddress::Partner(partner) => partner.address,
        };
        SocketAddr::new(ip, self.port(corner))
    }

    /// The partner that has the second address, unless this host has it.
    pub const fn partner(&self) -> Option<&Partner> {
        match &self.alternate {
            SecondAddress::Here(_) => None,
            SecondAddress::Partner(partner) => Some(partner),
        }
    }

    const fn port(&self, corner: Corner) -> u16 {
        self.ports[corner.alternate_port as usize]
    }
}

/// One of the four corners: which of both addresses, which of both ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corner {
    alternate_ip: bool,
    alternate_port: bool,
}

impl Corner {
    /// The corner at the partner where a client asked, as the partner's note says.
    const fn at_partner(alternate_port: bool) -> Self {
        Self {
            alternate_ip: true,
            alternate_port,
        }
    }

    /// Whether it has the second port.
    pub(crate) const fn alternate_port(self) -> bool {
        self.alternate_port
    }

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
