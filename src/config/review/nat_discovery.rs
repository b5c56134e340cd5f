//! `[nat-discovery]`: the second address and the second port.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use net::Transports;
use relay::{HostAddress, NatDiscovery, Partner, PartnerSecret, SecondAddress, Transport};

use super::Review;
use super::credentials::filled;
use super::net::{
    address, count, different_families, family, is_private, private, second_of_family, socket,
};
use crate::config::remark::Remark;
use crate::config::table::Table;
use crate::config::{Listener, RelayPool, Secret};

/// An address and port, and where they are written.
type Written = (SocketAddr, Range<usize>);

impl Review<'_> {
    /// Adds to the listeners what the second address and port need.
    pub(super) fn nat_discovery(&mut self, table: &Table<'_>) {
        let alternates = self.sockets(table, "alternate");
        let partners = self.sockets(table, "partner");
        if !self.is_good(table, &["alternate", "partner", "external"]) {
            return;
        }
        if let ([(_, alternate), ..], [(_, partner), ..]) = (&alternates[..], &partners[..]) {
            let sentence = "`[nat-discovery] partner` and `alternate` exclude each other";
            let fault = Remark::fault(partner.clone(), sentence);
            let fault = fault.see(alternate.clone(), "one host with two addresses");
            self.say(fault.help(
                "name a second address of this host, or another host that has one of its own",
            ));
            return;
        }
        let Some(externals) = self.externals(table, &alternates) else {
            return;
        };
        let secret = self.partner_secret(table, &partners);
        for (written, external) in alternates.into_iter().zip(externals) {
            self.second_address(&table.name("alternate"), written, external);
        }
        let port = table
            .number("port")
            .and_then(|port| u16::try_from(port).ok());
        let (Some(secret), Some(port)) = (secret, port) else {
            return;
        };
        for written in partners {
            let secret = PartnerSecret::new(secret.expose().as_bytes());
            let partner = Partner {
                address: written.0.ip(),
                port,
                secret,
            };
            self.partner(&table.name("partner"), partner, written);
        }
    }

    /// A second address of this host.
    fn second_address(&mut self, key: &str, written: Written, external: IpAddr) {
        let local = written.0.ip();
        if local == external && is_private(external) {
            let told = format!("clients are told the second address {external}");
            self.say(private(told, "`[nat-discovery] external`", external).at(written.1.clone()));
        }
        if self.is_on_host(key, local, &written.1)
            && let Some(first) = self.first(key, &written)
        {
            let discovery = NatDiscovery {
                primary: host_address(first.ip(), &self.config.relay),
                alternate: SecondAddress::Here(HostAddress { local, external }),
                ports: [first.port(), written.0.port()],
                tcp: listens(&self.config.listeners, Transport::Tcp, first),
                tls: listens(&self.config.listeners, Transport::Tls, first),
            };
            self.add(discovery);
        }
    }

    /// The address of another host.
    fn partner(&mut self, key: &str, partner: Partner, written: Written) {
        let (second, at) = (written.0, written.1.clone());
        let address = second.ip();
        let mut relays = self.config.relay.addresses.iter();
        if self.host.addresses.contains(&address) || relays.any(|pair| pair.external == address) {
            let help = "name the other host; a second address of this one is an `alternate`";
            self.say(Remark::fault(at, format!("{key} {address} is this host itself")).help(help));
            return;
        }
        let Some(first) = self.first(key, &written) else {
            return;
        };
        let (ports, port) = ([first.port(), second.port()], partner.port);
        let mut listeners = self.config.listeners.iter();
        let is_taken = |listener: &Listener| {
            listener.transports.has(Transport::Udp) && listener.listen.port() == port
        };
        if ports.contains(&port) || listeners.any(is_taken) {
            let sentence = format!("`[nat-discovery] port` is {port}, where clients are heard");
            let help = "partners write to a port of their own, the same on both hosts";
            self.say(Remark::fault(at, sentence).help(help));
            return;
        }
        let primary = host_address(first.ip(), &self.config.relay);
        let alternate = SecondAddress::Partner(partner);
        self.add(NatDiscovery {
            primary,
            alternate,
            ports,
            tcp: false,
            tls: false,
        });
    }

    fn add(&mut self, mut discovery: NatDiscovery) {
        let listeners = &mut self.config.listeners;
        let corners = corners(&discovery);
        add_corners(listeners, &discovery, &corners);
        // A corner may have been written with less.
        let everywhere = |transport| corners.iter().all(|at| listens(listeners, transport, *at));
        discovery.tcp &= everywhere(Transport::Tcp);
        discovery.tls &= everywhere(Transport::Tls);
        self.config.nat_discovery.push(discovery);
    }

    /// The secret shared with the partner; empty, and used by nobody, where there is none.
    fn partner_secret(&mut self, table: &Table<'_>, partners: &[Written]) -> Option<Secret> {
        let keys = ["secret", "secret-file"];
        let Some((_, at)) = partners.first() else {
            let written = keys.map(|key| Some((key, filled(table, key)?)));
            let Some((key, written)) = written.into_iter().flatten().next() else {
                return Some(Secret::new(""));
            };
            let sentence = format!("{} means nothing without `partner`", table.name(key));
            let help = "name the other host, such as partner = \"203.0.113.8:3479\"";
            self.say(Remark::fault(written.span(), sentence).help(help));
            return None;
        };
        let Some(given) = self.one_secret(table, keys).ok()? else {
            let sentence = "`[nat-discovery] partner` needs a secret that both hosts know";
            self.say(Remark::fault(at.clone(), sentence).help(
                "make one with `openssl rand -base64 32` and write it as `secret` on both hosts",
            ));
            return None;
        };
        self.know(&given.key, &given.secret, &given.at);
        Some(given.secret)
    }

    /// The address and port of the first UDP listener of the family, which `second` must not share.
    fn first(&mut self, key: &str, (second, at): &Written) -> Option<SocketAddr> {
        let same_family = |ip: IpAddr| ip.is_ipv4() == second.is_ipv4();
        let primary = self.config.listeners.iter().find(|listener| {
            listener.transports.has(Transport::Udp) && same_family(listener.listen.ip())
        });
        let Some(&Listener { listen, .. }) = primary else {
            let family = family(second.ip());
            let sentence =
                format!("{key} needs a `[[listener]]` for UDP over {family}, and there is none");
            self.say(Remark::fault(at.clone(), sentence).help(
                "add one; its address and port are the first, those of `[nat-discovery]` the second",
            ));
            return None;
        };
        let mut first = SocketAddr::new(listen.ip().to_canonical(), listen.port());
        let mut locals = self
            .config
            .relay
            .addresses
            .iter()
            .map(|address| address.local);
        if let Some(local) = locals
            .find(|local| same_family(*local))
            .filter(|_| first.ip().is_unspecified())
        {
            first.set_ip(local);
        }
        let differ = "clients compare two addresses and two ports (RFC 5780): both must differ";
        let (flaw, help) = if first.ip().is_unspecified() {
            let flaw = format!(
                "needs to know the first address, but the listener {listen} is on every one"
            );
            (
                flaw,
                "name one address in its `listen`, or in `[relay] addresses`",
            )
        } else if first.port() == 0 {
            let flaw =
                format!("needs to know the first port, but the listener {listen} leaves it open");
            (flaw, "clients expect 3478")
        } else if first.ip() == second.ip() {
            (
                format!("has the same address as the listener {first}"),
                differ,
            )
        } else if first.port() == second.port() {
            (format!("has the same port as the listener {first}"), differ)
        } else {
            return Some(first);
        };
        self.say(Remark::fault(at.clone(), format!("{key} {flaw}")).help(help));
        None
    }

    /// Addresses and ports, one of each family at most.
    fn sockets(&mut self, table: &Table<'_>, key: &str) -> Vec<Written> {
        let mut sockets: Vec<Written> = Vec::new();
        for (socket, at) in table.texts(key).into_iter().filter_map(socket) {
            let socket = SocketAddr::new(socket.ip().to_canonical(), socket.port());
            let twin = |(other, _): &&Written| other.is_ipv4() == socket.is_ipv4();
            match sockets.iter().find(twin) {
                Some((_, first)) => {
                    let first = first.clone();
                    self.say(second_of_family(&table.name(key), socket.ip(), at, first));
                }
                None => sockets.push((socket, at)),
            }
        }
        sockets
    }

    /// The address of each alternate as clients see it.
    fn externals(&mut self, table: &Table<'_>, alternates: &[Written]) -> Option<Vec<IpAddr>> {
        let externals: Vec<_> = table
            .texts("external")
            .into_iter()
            .filter_map(address)
            .collect();
        let Some(at) = table.at("external").filter(|_| !externals.is_empty()) else {
            return Some(alternates.iter().map(|(socket, _)| socket.ip()).collect());
        };
        let pairs = || externals.iter().zip(alternates);
        let key = table.name("external");
        let fault = if externals.len() != alternates.len() {
            let (count, others) = (count(externals.len()), count(alternates.len()));
            Remark::fault(
                at,
                format!("{key} has {count} and `alternate` has {others}"),
            )
        } else if let Some(((external, at), (local, _))) =
            pairs().find(|((external, _), (local, _))| external.is_ipv4() != local.is_ipv4())
        {
            different_families(&key, *external, local.ip(), at.clone())
        } else {
            return Some(
                externals
                    .into_iter()
                    .map(|(external, _)| external)
                    .collect(),
            );
        };
        self.say(fault.help(
            "give one external address per alternate, in the same order; repeat an address that \
             needs no mapping",
        ));
        None
    }
}

/// An address of this host, and what clients see of it if `[relay]` says so.
fn host_address(local: IpAddr, relay: &RelayPool) -> HostAddress {
    let mut pairs = relay.addresses.iter();
    let pair = pairs.find(|pair| pair.local == local);
    let external = pair.map_or(local, |pair| pair.external);
    HostAddress { local, external }
}

/// The corners that are this host's.
fn corners(discovery: &NatDiscovery) -> Vec<SocketAddr> {
    let mut addresses = vec![discovery.primary.local];
    match &discovery.alternate {
        SecondAddress::Here(alternate) => addresses.push(alternate.local),
        SecondAddress::Partner(_) => {}
    }
    let at = |port: u16| addresses.iter().map(move |ip| SocketAddr::new(*ip, port));
    discovery.ports.into_iter().flat_map(at).collect()
}

/// A listener at every corner that has none, of every transport that the first one is for.
fn add_corners(listeners: &mut Vec<Listener>, discovery: &NatDiscovery, corners: &[SocketAddr]) {
    let streams = match (discovery.tcp, discovery.tls) {
        (true, true) => Some(Transports::Streams),
        (true, false) => Some(Transports::Only(Transport::Tcp)),
        (false, true) => Some(Transports::Only(Transport::Tls)),
        (false, false) => None,
    };
    for transports in [Some(Transports::Only(Transport::Udp)), streams] {
        let Some(transports) = transports else {
            continue;
        };
        let is_stream = transports.are_streams();
        for &listen in corners {
            let mut kinds = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter();
            let is_taken = kinds.any(|transport| {
                transport.is_stream() == is_stream && listens(listeners, transport, listen)
            });
            if !is_taken {
                listeners.push(Listener { transports, listen });
            }
        }
    }
}

/// Whether a listener is heard at an address and port.
fn listens(listeners: &[Listener], transport: Transport, at: SocketAddr) -> bool {
    listeners.iter().any(|listener| {
        let ip = listener.listen.ip();
        listener.transports.has(transport)
            && listener.listen.port() == at.port()
            && (ip.to_canonical() == at.ip() || ip.is_unspecified() && ip.is_ipv4() == at.is_ipv4())
    })
}
