//! What can be wrong with `[nat-discovery]`.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// A mistake in `[nat-discovery]`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatDiscoveryFault {
    /// No listener has the first of both addresses.
    #[error("`{key}` needs a `[[listener]]` for UDP over {family}, and there is none")]
    NoListener {
        /// The key.
        key: &'static str,
        /// IPv4 or IPv6.
        family: &'static str,
    },
    /// The first address could be any.
    #[error("`{key}` needs to know the first address, but the listener {listen} is on every one")]
    AnyAddress {
        /// The key.
        key: &'static str,
        /// The listener.
        listen: SocketAddr,
    },
    /// The first port could be any.
    #[error("`{key}` needs to know the first port, but the listener {listen} leaves it open")]
    AnyPort {
        /// The key.
        key: &'static str,
        /// The listener.
        listen: SocketAddr,
    },
    /// Nobody can send to port 0.
    #[error("`{key}` has port 0, which no client can send to")]
    PortZero {
        /// The key.
        key: &'static str,
    },
    /// One address and two ports tell no client anything.
    #[error("`{key}` has the same address as the listener {first}")]
    SameAddress {
        /// The key.
        key: &'static str,
        /// The first address and port.
        first: SocketAddr,
    },
    /// Two addresses with the same port neither.
    #[error("`{key}` has the same port as the listener {first}")]
    SamePort {
        /// The key.
        key: &'static str,
        /// The first address and port.
        first: SocketAddr,
    },
    /// Each pairs with an `alternate`, but the lists differ in length.
    #[error("`[nat-discovery] external` has {external} and `alternate` has {alternate}")]
    ExternalCount {
        /// Entries in `external`, in words.
        external: String,
        /// Entries in `alternate`, in words.
        alternate: String,
    },
    /// A pair of an IPv4 and an IPv6 address.
    #[error("`[nat-discovery] external` {external} cannot stand for {local}: the families differ")]
    ExternalFamily {
        /// The address clients see.
        external: IpAddr,
        /// The address of this host.
        local: IpAddr,
    },
}

impl NatDiscoveryFault {
    /// What to write instead.
    pub(super) fn help(&self) -> Cow<'static, str> {
        match self {
            Self::NoListener { .. } => {
                "add one; its address and port are the first, those of `[nat-discovery]` the second"
                    .into()
            }
            Self::AnyAddress { .. } => {
                "name one address in its `listen`, or in `[relay] addresses`".into()
            }
            Self::AnyPort { .. } => "clients expect 3478".into(),
            Self::PortZero { .. } => "3479 is usual beside 3478".into(),
            Self::SameAddress { .. } | Self::SamePort { .. } => {
                "clients compare two addresses and two ports (RFC 5780): both must differ".into()
            }
            Self::ExternalCount { .. } | Self::ExternalFamily { .. } => {
                "give one external address per alternate, in the same order; repeat an address \
                 that needs no mapping"
                    .into()
            }
        }
    }
}
