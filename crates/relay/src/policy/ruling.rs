//! The policy's rulings, and their reasons.

use std::fmt;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::face::{Face, Form};
use super::network::Network;
use super::special::Block;

/// The answer for one peer transport address.
pub type Ruling = Result<Permit, Denial>;

/// Why a peer is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// A public address that no list speaks of.
    Public,
    /// An entry of the allow list.
    Listed(Network),
    /// A port this server relays from. Only an allocation of this server may be reached there:
    /// without one the datagram is dropped, never handed to the kernel.
    OwnRelay,
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("allowed: ")?;
        match self {
            Self::Public => f.write_str("a public address that no list names"),
            Self::Listed(entry) => write!(f, "named by the allow entry {entry}"),
            Self::OwnRelay => f.write_str(
                "a relayed transport address of this server, reached only while an allocation \
                 holds it",
            ),
        }
    }
}

/// Why a peer is denied, and which of its faces is to blame.
///
/// `{}` is safe for logs: it holds no address of the peer's. `{:#}` names the address judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct Denial {
    /// The address that must not be reached.
    pub face: Face,
    /// The rule that says so.
    pub rule: Rule,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { face, rule } = self;
        f.write_str("denied: ")?;
        match (f.alternate(), face.form) {
            (true, Form::Itself) => write!(f, "{} {rule}", face.ip),
            (true, form) => write!(f, "{}, inside the address ({form}), {rule}", face.ip),
            (false, Form::Itself) => write!(f, "the address {rule}"),
            (false, form) => write!(f, "the IPv4 address inside it ({form}) {rule}"),
        }
    }
}

/// A rule that denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Port 0 receives nothing.
    PortZero,
    /// 0.0.0.0 or ::, which kernels take for the host itself.
    Unspecified,
    /// A multicast group.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// A transport address this server listens on.
    OwnListener,
    /// An entry of the deny list.
    DenyList(Network),
    /// The mode is [`Mode::AllowList`](super::Mode::AllowList) and no entry names the peer.
    NotListed,
    /// An address of this host, or one that its kernel takes for local, anycast or broadcast.
    OwnAddress,
    /// A block that is not globally reachable.
    SpecialPurpose(&'static Block),
}

impl Rule {
    /// The rule's name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::PortZero => "port-zero",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::OwnListener => "own-listener",
            Self::DenyList(_) => "deny-list",
            Self::NotListed => "not-listed",
            Self::OwnAddress => "own-address",
            Self::SpecialPurpose(_) => "special-purpose",
        }
    }
}

/// The end of a sentence that begins with the address.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortZero => f.write_str("has port 0, where nothing can be reached"),
            Self::Unspecified => f.write_str("is the unspecified address, which is no peer"),
            Self::Multicast => f.write_str("is a multicast group, which is no peer"),
            Self::Broadcast => f.write_str("is the broadcast address, which is no peer"),
            Self::OwnListener => f.write_str("is where this server listens; no entry opens it"),
            Self::DenyList(entry) => write!(f, "is named by the deny entry {entry}"),
            Self::NotListed => {
                f.write_str("is named by no allow entry, and the mode is allow-list")
            }
            Self::OwnAddress => f.write_str(
                "belongs to this host; only an entry of [peers] allow for it alone opens it",
            ),
            Self::SpecialPurpose(block) => {
                write!(
                    f,
                    "lies in {block}; only an entry of [peers] allow inside this network opens it"
                )
            }
        }
    }
}

/// The answer for an IP address whose port is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpRuling {
    /// Allowed on every port from 1 on: its datagrams need no further judgement.
    EveryPort(Permit),
    /// Allowed on some ports, or its ports lead to this server's own allocations: each datagram,
    /// to the peer or from it, is judged with its port.
    SomePorts,
    /// Denied on every port.
    NoPort(Denial),
}

impl IpRuling {
    /// The ruling for the ports of both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::EveryPort(permit), Self::EveryPort(_)) => Self::EveryPort(permit),
            (Self::NoPort(denial), Self::NoPort(_)) => Self::NoPort(denial),
            (Self::EveryPort(_) | Self::SomePorts | Self::NoPort(_), _) => Self::SomePorts,
        }
    }
}

/// The ruling for ports that share one.
impl From<Ruling> for IpRuling {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ok(Permit::OwnRelay) => Self::SomePorts,
            Ok(permit @ (Permit::Public | Permit::Listed(_))) => Self::EveryPort(permit),
            Err(denial) => Self::NoPort(denial),
        }
    }
}

/// Neighbouring ports of one address that share a ruling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The ports, from 1 on.
    pub ports: RangeInclusive<u16>,
    /// The ruling for each of them.
    pub ruling: Ruling,
}
