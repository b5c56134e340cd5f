//! The peers that are allowed, and what belongs to this host, which none may reach.

use std::iter;
use std::net::SocketAddr;

use ipnet::IpNet;
use relay::policy::{Mode, Network, Own, Policy};
use relay::{HostAddress, RelayAddress, SecondAddress};

use super::{Config, Machine};

/// The peers that allocations may send to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Peers {
    pub(crate) mode: Mode,
    pub(crate) allow: Vec<Network>,
    pub(crate) deny: Vec<Network>,
}

impl Config {
    /// The peer policy, which also protects what belongs to this host.
    pub(crate) fn policy(&self, host: &Machine) -> Policy {
        self.policy_beside(host, &[])
    }

    /// The same while there are these listeners, too, which a reload took away.
    pub(crate) fn policy_beside(&self, host: &Machine, retiring: &[SocketAddr]) -> Policy {
        let relays = || self.relay.addresses.iter();
        // Peers reach neither the listeners nor the ports of partners.
        let listeners = self.listeners.iter().map(|listener| listener.listen);
        let listeners = listeners.chain(retiring.iter().copied());
        let partners = self.nat_discovery.iter().filter_map(|discovery| {
            let port = discovery.partner()?.port;
            Some(SocketAddr::new(discovery.primary.local, port))
        });
        // A NAT leads what is sent to an external address to the listener at the local one.
        let everywhere = listeners.chain(partners).flat_map(|listen| {
            let pairs = self
                .translated()
                .filter(move |pair| pair.local == listen.ip());
            let outside = pairs.map(move |pair| SocketAddr::new(pair.external, listen.port()));
            iter::once(listen).chain(outside)
        });
        let own = Own {
            listeners: everywhere.collect(),
            addresses: self.addresses_of(host),
            // Peers know only the external address; the local one is an address of this host.
            relays: relays().map(|pair| pair.external).collect(),
            relay_ports: self.relay.ports.first()..=self.relay.ports.last(),
        };
        Policy::new(
            self.peers.mode,
            self.peers.allow.clone(),
            self.peers.deny.clone(),
            own,
        )
    }

    /// All that leads to this host: what its kernel says, and what a NAT leads back.
    fn addresses_of(&self, host: &Machine) -> Vec<IpNet> {
        let external = self.translated().map(|pair| pair.external);
        let single = host.addresses.iter().copied().chain(external);
        let networks = host.networks.iter().copied();
        single.map(IpNet::from).chain(networks).collect()
    }

    /// The addresses of this host with those that the world knows them by.
    fn translated(&self) -> impl Iterator<Item = HostAddress> {
        let relays = self.relay.addresses.iter();
        let relays =
            relays.map(|&RelayAddress { local, external }| HostAddress { local, external });
        let discovery = self.nat_discovery.iter().flat_map(|discovery| {
            let alternate = match discovery.alternate {
                SecondAddress::Here(alternate) => Some(alternate),
                SecondAddress::Partner(_) => None,
            };
            iter::once(discovery.primary).chain(alternate)
        });
        relays.chain(discovery)
    }
}
