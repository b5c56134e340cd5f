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
    /// One host with two addresses, or two hosts with one each.
    #[error("`[nat-discovery] partner` and `alternate` exclude each other")]
    Both,
    /// A host cannot be its own partner.
    #[error("`[nat-discovery] partner` {address} is this host itself")]
    PartnerHere {
        /// The address.
        address: IpAddr,
    },
    /// Anyone could send in the partner's name.
    #[error("`[nat-discovery] partner` needs a secret that both hosts know")]
    NoSecret,
    /// Which of both?
    #[error("`[nat-discovery] secret-file` and `secret` exclude each other")]
    TwoSecrets,
    /// A secret that nobody shares.
    #[error("`{key}` means nothing without `partner`")]
    NoPartner {
        /// The key.
        key: &'static str,
    },
    /// Clients send there.
    #[error("`[nat-discovery] port` is {port}, where clients are heard")]
    ClientsPort {
        /// The port.
        port: u16,
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
            Self::Both => {
                "name a second address of this host, or another host that has one of its own".into()
            }
            Self::PartnerHere { .. } => {
                "name the other host; a second address of this one is an `alternate`".into()
            }
            Self::NoSecret => {
                "make one with `openssl rand -base64 32` and write it as `secret` on both hosts"
                    .into()
            }
            Self::TwoSecrets => "keep the file".into(),
            Self::NoPartner { .. } => {
                "name the other host, such as partner = \"203.0.113.8:3479\"".into()
            }
            Self::ClientsPort { .. } => {
                "partners write to a port of their own, the same on both hosts".into()
            }
            Self::ExternalCount { .. } | Self::ExternalFamily { .. } => {
                "give one external address per alternate, in the same order; repeat an address \
                 that needs no mapping"
                    .into()
            }
        }
    }
}
