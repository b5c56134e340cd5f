//! `[nat-discovery]`: the second address and the second port.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use relay::{HostAddress, NatDiscovery, Partner, PartnerSecret, SecondAddress, Transport};

use super::Judge;
use super::net::{count, family, not_unicast};
use super::reuse::Known;
use crate::config::fault::{Fault, Form, KeyName, NatDiscoveryFault};
use crate::config::file::{NatDiscoveryTable, OneOrMore, Several, Text};
use crate::config::{Listener, Relay, Secret};

/// An address and port, and where they are written.
type Written = (SocketAddr, Range<usize>);

impl Judge<'_> {
    /// Adds to `listeners` what the second address and port need.
    pub(super) fn nat_discovery(
        &mut self,
        table: &NatDiscoveryTable,
        listeners: &mut Vec<Listener>,
        relay: &Relay,
    ) -> Option<Vec<NatDiscovery>> {
        let alternates = self.sockets(ALTERNATE, table.alternate.as_ref())?;
        let partners = self.sockets(PARTNER, table.partner.as_ref())?;
        if let ([(_, alternate), ..], [(_, partner), ..]) = (&alternates[..], &partners[..]) {
            let see = Some((alternate.clone(), "one host with two addresses"));
            return self.refuse_beside(NatDiscoveryFault::Both, partner.clone(), see);
        }
        let externals = self.externals(table, &alternates)?;
        let secret = self.partner_secret(table, &partners);
        let port = self.number(PORT, table.port.as_ref(), 1..=65_535, DEFAULT_PORT);
        let mut found = Vec::new();
        for (written, external) in alternates.into_iter().zip(externals) {
            found.push(self.second_address(written, external, listeners, relay)?);
        }
        let (secret, port) = (secret?, port?);
        for (second, at) in partners {
            let partner = Partner {
                address: second.ip(),
                port: port as u16,
                secret: PartnerSecret::new(secret.expose().as_bytes()),
            };
            found.push(self.partner(partner, (second, at), listeners, relay)?);
        }
        Some(found)
    }

    /// A second address of this host.
    fn second_address(
        &mut self,
        (alternate, at): Written,
        external: IpAddr,
        listeners: &mut Vec<Listener>,
        relay: &Relay,
    ) -> Option<NatDiscovery> {
        let local = alternate.ip();
        if let Err(source) = (self.host.bind)(local) {
            let here = self.host.addresses.clone();
            let (key, address) = (ALTERNATE.into(), local);
            let fault = Fault::NotOnHost {
                key,
                address,
                source,
                here,
            };
            return self.refuse(fault, at);
        }
        let first = self.first(ALTERNATE, alternate, &at, listeners, relay)?;
        let discovery = NatDiscovery {
            primary: host_address(first.ip(), relay),
            alternate: SecondAddress::Here(HostAddress { local, external }),
            ports: [first.port(), alternate.port()],
            tcp: listens(listeners, Transport::Tcp, first),
        };
        add_corners(listeners, &discovery);
        Some(discovery)
    }

    /// The address of another host.
    fn partner(
        &mut self,
        partner: Partner,
        (second, at): Written,
        listeners: &mut Vec<Listener>,
        relay: &Relay,
    ) -> Option<NatDiscovery> {
        let address = second.ip();
        let is_external = |pair: &relay::RelayAddress| pair.external == address;
        if self.host.addresses.contains(&address) || relay.addresses.iter().any(is_external) {
            return self.refuse(NatDiscoveryFault::PartnerHere { address }, at);
        }
        let first = self.first(PARTNER, second, &at, listeners, relay)?;
        let ports = [first.port(), second.port()];
        let is_taken = |listener: &Listener| {
            listener.transport == Transport::Udp && listener.listen.port() == partner.port
        };
        if ports.contains(&partner.port) || listeners.iter().any(is_taken) {
            let port = partner.port;
            return self.refuse(NatDiscoveryFault::ClientsPort { port }, at);
        }
        let discovery = NatDiscovery {
            primary: host_address(first.ip(), relay),
            alternate: SecondAddress::Partner(partner),
            ports,
            tcp: false,
        };
        add_corners(listeners, &discovery);
        Some(discovery)
    }

    /// The secret shared with the partner; empty, and used by nobody, where there is none.
    fn partner_secret(
        &mut self,
        table: &NatDiscoveryTable,
        partners: &[Written],
    ) -> Option<Secret> {
        let filled = |text: &&Text| !text.get_ref().is_empty();
        let inline = table.secret.as_ref().filter(filled);
        let file = table.secret_file.as_ref().filter(filled);
        let (key, written) = match (inline, file) {
            (Some(_), Some(file)) => {
                return self.refuse(NatDiscoveryFault::TwoSecrets, file.span());
            }
            (Some(inline), None) => (SECRET, inline),
            (None, Some(file)) => (SECRET_FILE, file),
            (None, None) => {
                return match partners {
                    [] => Some(Secret::new("")),
                    [(_, at), ..] => self.refuse(NatDiscoveryFault::NoSecret, at.clone()),
                };
            }
        };
        if partners.is_empty() {
            return self.refuse(NatDiscoveryFault::NoPartner { key }, written.span());
        }
        let name = KeyName::from(key);
        let secret = if key == SECRET {
            Secret::new(written.get_ref())
        } else {
            self.secret_file(&name, written)?
        };
        let at = written.span();
        let secret = self.strong(&name, secret, &at)?;
        self.secrets.push(Known::new(&name, &secret, &at));
        Some(secret)
    }

    /// The address and port of the first UDP listener of the family, which `second` must not share.
    fn first(
        &mut self,
        key: &'static str,
        second: SocketAddr,
        at: &Range<usize>,
        listeners: &[Listener],
        relay: &Relay,
    ) -> Option<SocketAddr> {
        let same_family = |ip: IpAddr| ip.is_ipv4() == second.is_ipv4();
        let primary = listeners.iter().find(|listener| {
            listener.transport == Transport::Udp && same_family(listener.listen.ip())
        });
        let Some(&Listener { listen, .. }) = primary else {
            let family = family(second.ip());
            return self.refuse(NatDiscoveryFault::NoListener { key, family }, at.clone());
        };
        let mut first = SocketAddr::new(listen.ip().to_canonical(), listen.port());
        if listen.ip().is_unspecified() {
            let mut locals = relay.addresses.iter().map(|address| address.local);
            match locals.find(|local| same_family(*local)) {
                Some(local) => first.set_ip(local),
                None => {
                    let fault = NatDiscoveryFault::AnyAddress { key, listen };
                    return self.refuse(fault, at.clone());
                }
            }
        }
        let fault = if first.port() == 0 {
            NatDiscoveryFault::AnyPort { key, listen }
        } else if first.ip() == second.ip() {
            NatDiscoveryFault::SameAddress { key, first }
        } else if first.port() == second.port() {
            NatDiscoveryFault::SamePort { key, first }
        } else {
            return Some(first);
        };
        self.refuse(fault, at.clone())
    }

    /// Addresses and ports, one of each family at most.
    fn sockets(&mut self, key: &'static str, list: Option<&OneOrMore>) -> Option<Vec<Written>> {
        let mut sockets: Vec<Written> = Vec::new();
        for (text, at) in list.into_iter().flat_map(Several::texts) {
            let Ok(socket) = text.parse::<SocketAddr>() else {
                let (key, form) = (key.into(), Form::OneSocketAddress);
                return self.refuse(Fault::Form { key, form }, at);
            };
            let socket = SocketAddr::new(socket.ip().to_canonical(), socket.port());
            if let Some(kind) = not_unicast(socket.ip()) {
                let (key, address) = (key.into(), socket.ip());
                return self.refuse(Fault::NotUnicast { key, address, kind }, at);
            }
            if socket.port() == 0 {
                return self.refuse(NatDiscoveryFault::PortZero { key }, at);
            }
            let twin = |(other, _): &&Written| other.is_ipv4() == socket.is_ipv4();
            if let Some((_, first)) = sockets.iter().find(twin) {
                let see = Some((first.clone(), "first here"));
                let (key, family) = (key.into(), family(socket.ip()));
                return self.refuse_beside(Fault::SecondOfFamily { key, family }, at, see);
            }
            sockets.push((socket, at));
        }
        Some(sockets)
    }

    /// What clients see of each alternate.
    fn externals(
        &mut self,
        table: &NatDiscoveryTable,
        alternates: &[Written],
    ) -> Option<Vec<IpAddr>> {
        let Some(list) = table
            .external
            .as_ref()
            .filter(|list| !list.get_ref().is_empty())
        else {
            return Some(alternates.iter().map(|(socket, _)| socket.ip()).collect());
        };
        let mut externals = Vec::new();
        for written in list.get_ref() {
            externals.push(self.address(EXTERNAL, written, |_, _, _, _| Some(()))?);
        }
        if externals.len() != alternates.len() {
            let fault = NatDiscoveryFault::ExternalCount {
                external: count(externals.len()),
                alternate: count(alternates.len()),
            };
            return self.refuse(fault, list.span());
        }
        for ((external, (local, _)), written) in
            externals.iter().zip(alternates).zip(list.get_ref())
        {
            if external.is_ipv4() != local.is_ipv4() {
                let (external, local) = (*external, local.ip());
                let fault = NatDiscoveryFault::ExternalFamily { external, local };
                return self.refuse(fault, written.span());
            }
        }
        Some(externals)
    }
}

/// An address of this host, and what clients see of it if `[relay]` says so.
fn host_address(local: IpAddr, relay: &Relay) -> HostAddress {
    let mut pairs = relay.addresses.iter();
    let pair = pairs.find(|pair| pair.local == local);
    let external = pair.map_or(local, |pair| pair.external);
    HostAddress { local, external }
}

/// A listener at every corner that has none, of every transport that the first one is for.
fn add_corners(listeners: &mut Vec<Listener>, discovery: &NatDiscovery) {
    let mut addresses = vec![discovery.primary.local];
    match &discovery.alternate {
        SecondAddress::Here(alternate) => addresses.push(alternate.local),
        SecondAddress::Partner(_) => {}
    }
    let transports = if discovery.tcp {
        &[Transport::Udp, Transport::Tcp][..]
    } else {
        &[Transport::Udp]
    };
    for &transport in transports {
        for port in discovery.ports {
            for address in &addresses {
                let listen = SocketAddr::new(*address, port);
                if !listens(listeners, transport, listen) {
                    listeners.push(Listener { transport, listen });
                }
            }
        }
    }
}

/// Whether a listener is heard at an address and port.
fn listens(listeners: &[Listener], transport: Transport, at: SocketAddr) -> bool {
    listeners.iter().any(|listener| {
        let ip = listener.listen.ip();
        listener.transport == transport
            && listener.listen.port() == at.port()
            && (ip.to_canonical() == at.ip() || ip.is_unspecified() && ip.is_ipv4() == at.is_ipv4())
    })
}

const ALTERNATE: &str = "[nat-discovery] alternate";
const EXTERNAL: &str = "[nat-discovery] external";
const PARTNER: &str = "[nat-discovery] partner";
const PORT: &str = "[nat-discovery] port";
const SECRET: &str = "[nat-discovery] secret";
const SECRET_FILE: &str = "[nat-discovery] secret-file";
const DEFAULT_PORT: u32 = 3480;
