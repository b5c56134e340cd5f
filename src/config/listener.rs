//! The addresses that clients come to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use net::Transports;
use relay::Transport;

use super::Machine;

/// One address that clients come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Listener {
    pub(crate) transports: Transports,
    pub(crate) listen: SocketAddr,
}

impl Listener {
    /// Whether it needs a certificate.
    pub(crate) fn is_secure(&self) -> bool {
        let mut each = self.transports.each();
        each.any(Transport::is_secure)
    }

    /// Whether clients may come to this address on this listener. Either may stand for every
    /// address of its family.
    pub(super) fn covers(&self, address: SocketAddr) -> bool {
        let (own, other) = (self.listen.ip(), address.ip());
        let same = own == other || own.is_unspecified() || other.is_unspecified();
        self.listen.port() == address.port() && own.is_ipv4() == other.is_ipv4() && same
    }

    /// UDP and TCP on 3478, on all addresses of both families.
    pub(crate) fn defaults(host: &Machine) -> Vec<Self> {
        let mut every: Vec<IpAddr> = vec![Ipv4Addr::UNSPECIFIED.into()];
        if host.has_ipv6 {
            every.push(Ipv6Addr::UNSPECIFIED.into());
        }
        let both = |transport: Transport| {
            every.iter().map(move |&ip| Self {
                transports: transport.into(),
                listen: SocketAddr::new(ip, STUN_PORT),
            })
        };
        both(Transport::Udp).chain(both(Transport::Tcp)).collect()
    }
}

/// The port of STUN and TURN over UDP and TCP. RFC 8489 §8.
const STUN_PORT: u16 = 3478;
