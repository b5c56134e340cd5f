//! This host as the policy sees it: its listeners, its relayed addresses, its other addresses.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::PortRange;

/// The addresses of this server and its host. Behind a 1:1 NAT the external ones belong here too:
/// the NAT leads them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Where the server listens, over any transport. An unspecified IP address stands for every
    /// address of this host.
    pub listeners: Vec<SocketAddr>,
    /// All that is this host: its addresses, and the networks that its kernel takes for local,
    /// anycast or broadcast.
    pub addresses: Vec<IpNet>,
    /// The addresses allocations get, as bound and as clients see them.
    pub relays: Vec<IpAddr>,
    /// The ports allocations get.
    pub relay_ports: RangeInclusive<u16>,
}

impl Own {
    /// A host whose only address is that of this listener, and that relays from it as well.
    pub fn alone(listen: SocketAddr, ports: PortRange) -> Self {
        Self {
            listeners: vec![listen],
            addresses: vec![listen.ip().into()],
            relays: vec![listen.ip()],
            relay_ports: ports.first()..=ports.last(),
        }
    }

    /// Whether the server listens on this transport address.
    pub(super) fn listens_on(&self, ip: IpAddr, port: u16) -> bool {
        let mut on_port = self
            .listeners
            .iter()
            .filter(|listener| listener.port() == port);
        on_port.any(|listener| self.receives(listener.ip(), ip))
    }

    /// The ports the server listens on at `ip`.
    pub(super) fn listener_ports(&self, ip: IpAddr) -> impl Iterator<Item = u16> {
        let at_ip = self
            .listeners
            .iter()
            .filter(move |listener| self.receives(listener.ip(), ip));
        at_ip.map(SocketAddr::port)
    }

    /// Whether allocations may have this transport address.
    pub(super) fn relays_at(&self, ip: IpAddr, port: u16) -> bool {
        self.relay_ports.contains(&port) && self.is_relay(ip)
    }

    /// Whether allocations have ports of this address.
    pub(super) fn is_relay(&self, ip: IpAddr) -> bool {
        self.relays.binary_search(&ip).is_ok()
    }

    /// Whether `ip` belongs to this host.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        // They are apart from each other and in order: only the last that begins before can hold it.
        let after = self.addresses.partition_point(|net| net.network() <= ip);
        self.addresses[..after]
            .last()
            .is_some_and(|net| net.contains(&ip))
    }

    /// Everything in canonical form, every own address in `addresses`, sorted for the search.
    pub(super) fn normalised(self) -> Self {
        let canonical = |ip: IpAddr| ip.to_canonical();
        let listeners: Vec<_> = self.listeners.iter().map(canonical_socket).collect();
        let relays: Vec<_> = self.relays.into_iter().map(canonical).collect();
        let mut addresses: Vec<IpNet> = self.addresses.into_iter().map(canonical_network).collect();
        addresses.extend(relays.iter().copied().map(IpNet::from));
        addresses.extend(listeners.iter().map(|listener| IpNet::from(listener.ip())));
        let mut addresses = IpNet::aggregate(&addresses);
        addresses.sort_unstable_by_key(IpNet::network);
        Self {
            listeners,
            addresses,
            relays: sorted(relays),
            relay_ports: self.relay_ports,
        }
    }

    /// Whether a socket bound to `bound` receives what is sent to `ip`. An unspecified address is
    /// taken for both families: a socket handed to the process may be of both.
    fn receives(&self, bound: IpAddr, ip: IpAddr) -> bool {
        bound == ip || bound.is_unspecified() && (ip.is_loopback() || self.has(ip))
    }
}

/// The transport address a datagram to `addr` arrives at; scope and flow label play no part.
fn canonical_socket(addr: &SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// An IPv4 address in IPv6 form is that address; no kernel has a network of them.
fn canonical_network(network: IpNet) -> IpNet {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_canonical().into()
    } else {
        network
    }
}

fn sorted(mut ips: Vec<IpAddr>) -> Vec<IpAddr> {
    ips.sort_unstable();
    ips.dedup();
    ips
}
