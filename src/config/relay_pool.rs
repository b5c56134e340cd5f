//! The addresses and ports of allocations, as the host has them.

use std::fmt;
use std::net::IpAddr;

use relay::{PortRange, RelayAddress};

use super::Machine;

/// The addresses and ports of allocations.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RelayPool {
    /// The first of each family is for new allocations; on the others live some from before. Empty
    /// while the host has no address but loopback.
    pub(crate) addresses: Vec<RelayAddress>,
    /// `addresses` as written; without any they are those of the host's default routes.
    pub(crate) written: Vec<IpAddr>,
    /// `external` as written: for each of `addresses`, or one of each family.
    pub(crate) external: Vec<IpAddr>,
    /// The services that are asked for the external addresses, if they are to be found out.
    pub(crate) tellers: Option<Vec<Teller>>,
    /// The ports allocations take.
    pub(crate) ports: PortRange,
}

/// A service that tells an external address of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Teller {
    /// The metadata service of the cloud that this host is in.
    Metadata,
    /// A STUN server.
    Stun(probe::Uri),
}

impl fmt::Display for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("metadata"),
            Self::Stun(server) => server.fmt(f),
        }
    }
}

impl RelayPool {
    /// The addresses for new allocations on this host as it is, and behind them those of before that
    /// it still has. `found` are the external ones that were found out.
    pub(crate) fn follow(&mut self, host: &Machine, found: &[RelayAddress]) {
        let locals = if self.written.is_empty() {
            &host.routed
        } else {
            &self.written
        };
        let pair = |(place, &local): (usize, &IpAddr)| {
            let mut found = found.iter().filter(|pair| pair.local == local);
            let mut external = self.external.iter().enumerate();
            let stands_for = |(at, ip): &(usize, &IpAddr)| {
                ip.is_ipv4() == local.is_ipv4() && (self.written.is_empty() || *at == place)
            };
            let external = match &self.tellers {
                Some(_) => found.next().map(|pair| pair.external),
                None => external.find(stands_for).map(|(_, external)| *external),
            };
            RelayAddress {
                local,
                external: external.unwrap_or(local),
            }
        };
        let mut now: Vec<_> = locals.iter().enumerate().map(pair).collect();
        for before in &self.addresses {
            let is_known = now.iter().any(|pair| pair.local == before.local);
            if !is_known && host.has(before.local) {
                now.push(*before);
            }
        }
        self.addresses = now;
    }
}
