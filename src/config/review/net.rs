//! `[[listener]]` and `[relay]`: addresses and ports.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use net::Transports;
use relay::policy::block;
use relay::{RelayAddress, Transport};
use toml::Spanned;

use super::Review;
use crate::config::form::{AUTO, teller};
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};
use crate::config::{Listener, Teller};

impl Review<'_> {
    pub(super) fn listeners(&mut self, file: &Table<'_>) {
        let mut listeners: Vec<(Listener, Range<usize>)> = Vec::new();
        // Those that stand at an address: there may be thousands of listeners, and few at one.
        let mut places: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
        for table in file.tables("listener") {
            let word = table.text("transport");
            let kinds = word.map_or(&[][..], |word| transports(word.get_ref()));
            let Some((listen, at)) = table.text("listen").and_then(socket) else {
                continue;
            };
            let key = table.name("listen");
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            if listen.port() == 0 {
                let sentence =
                    format!("{key} has port 0: the kernel picks another port at each start");
                self.say(Remark::caution(at.clone(), sentence).help("clients expect 3478"));
            }
            let shares = |other: &Listener| {
                let mut protocols = kinds.iter().map(|kind| kind.are_streams());
                protocols.any(|streams| streams == other.transports.are_streams())
            };
            // Port 0 twice is two ports.
            let mut alone = Vec::new();
            let here = match listen.port() {
                0 => &mut alone,
                _ => places.entry(listen).or_default(),
            };
            let other = here.iter().find(|index| shares(&listeners[**index].0));
            if let Some((other, first)) = other.map(|index| &listeners[*index]) {
                let fault = twice(&key, at, first.clone());
                self.say(if kinds.contains(&other.transports) {
                    fault
                } else {
                    fault.help("transport = \"auto\" serves all transports on one port")
                });
                continue;
            }
            let of_kind = |&transports| (Listener { transports, listen }, at.clone());
            here.extend(listeners.len()..listeners.len() + kinds.len());
            listeners.extend(kinds.iter().map(of_kind));
        }
        self.caution_one_family(&listeners);
        self.caution_no_ipv6(&listeners);
        if !listeners.is_empty() {
            self.config.listeners = listeners
                .into_iter()
                .map(|(listener, _)| listener)
                .collect();
        }
        let mut tables = file.tables("listener").into_iter();
        let are_good = tables.all(|table| self.is_good(&table, &["transport", "listen"]));
        self.listeners = are_good.then(|| self.config.listeners.clone());
    }

    /// On many systems `[::]` takes IPv4 as well. Here it does not, so that one server can have both.
    fn caution_one_family(&mut self, listeners: &[(Listener, Range<usize>)]) {
        let mut over_ipv4: Vec<Transports> = Vec::new();
        for (Listener { transports, listen }, _) in listeners {
            if listen.is_ipv4() && !over_ipv4.contains(transports) {
                over_ipv4.push(*transports);
            }
        }
        for (Listener { transports, listen }, at) in listeners {
            if listen.ip() == Ipv6Addr::UNSPECIFIED && !over_ipv4.contains(transports) {
                let sentence = format!(
                    "{listen} takes no IPv4, and no other `[[listener]]` does over {}: IPv4 is not served",
                    transports.protocol()
                );
                let port = listen.port();
                let help = format!("add a `[[listener]]` with listen = \"0.0.0.0:{port}\"");
                self.say(Remark::caution(at.clone(), sentence).help(help));
            }
        }
    }

    /// Entries that are written stand in place of the default ones, which have both families.
    fn caution_no_ipv6(&mut self, listeners: &[(Listener, Range<usize>)]) {
        let is_public = |ip: &&IpAddr| ip.is_ipv6() && block(**ip).is_none();
        let public = self.host.routed.iter().find(is_public);
        let has_ipv6 = listeners.iter().any(|(one, _)| one.listen.is_ipv6());
        if let (Some(ip), Some((listener, at)), false) = (public, listeners.last(), has_ipv6)
            && listener.listen.ip().is_unspecified()
        {
            let sentence = format!(
                "no `[[listener]]` takes IPv6, and this host has the address {ip}: IPv6 is not served"
            );
            let port = listener.listen.port();
            let help = format!("add a `[[listener]]` with listen = \"[::]:{port}\"");
            self.say(Remark::caution(at.clone(), sentence).help(help));
        }
    }

    /// Peers are told an address that only the network of this host reaches.
    pub(super) fn caution_private(&mut self, table: &Table<'_>) {
        let is_found_out = self.config.relay.tellers.is_some();
        let keys = ["addresses", "external"];
        if self.config.is_stun_only() || is_found_out || !self.is_good(table, &keys) {
            return;
        }
        let written = |key| table.texts(key).into_iter().filter_map(address);
        for RelayAddress { local, external } in self.config.relay.addresses.clone() {
            let is_meant = written("external").any(|(ip, _)| ip == external);
            if local == external && is_private(external) && !is_meant {
                let told = format!("peers are told the relay address {external}");
                let caution = private(told, &table.name("external"), external);
                self.say(match written("addresses").find(|(ip, _)| *ip == local) {
                    Some((_, at)) => caution.at(at),
                    None => caution,
                });
            }
        }
    }

    pub(super) fn relay(&mut self, table: &Table<'_>) {
        let local = self.addresses(table, "addresses");
        let external = self.addresses(table, "external");
        let keys = ["addresses", "external", "external-from", "ports"];
        if self.is_good(table, &keys) {
            self.tellers(table, &external);
            self.pair(table, &local, &external);
        }
        if let Some(at) = table.at("ports").filter(|at| !self.is_told(at))
            && self.config.relay.ports.first() < 1024
        {
            let key = table.name("ports");
            let sentence =
                format!("{key} reaches below 1024, where other services of this host live");
            let help = "49152-65535 is the range meant for this";
            self.say(Remark::caution(at, sentence).help(help));
        }
        self.capacity = self
            .is_good(table, &keys)
            .then(|| self.config.relay.capacity());
    }

    /// The addresses of a list, at most one of each family. Those under `addresses` are of this host.
    fn addresses(&mut self, table: &Table<'_>, key: &str) -> Vec<Spanned<IpAddr>> {
        let mut addresses: Vec<Spanned<IpAddr>> = Vec::new();
        let name = table.name(key);
        for (ip, at) in table.texts(key).into_iter().filter_map(address) {
            if self.is_told(&at) || key == "addresses" && !self.is_on_host(&name, ip, &at) {
                continue;
            }
            let mut others = addresses.iter();
            match others.find(|other| other.get_ref().is_ipv4() == ip.is_ipv4()) {
                Some(first) if *first.get_ref() == ip => self.say(twice(&name, at, first.span())),
                Some(first) => self.say(second_of_family(&name, ip, at, first.span())),
                None => addresses.push(Spanned::new(at, ip)),
            }
        }
        addresses
    }

    /// The sources of the external addresses, if they are to be found out.
    fn tellers(&mut self, table: &Table<'_>, external: &[Spanned<IpAddr>]) {
        let mut words = table.texts("external").into_iter();
        let auto = words.find(|text| *text.get_ref() == AUTO);
        let key = table.name("external-from");
        let from = table.texts("external-from");
        let tellers: Vec<Teller> = from
            .iter()
            .filter_map(|text| teller(text.get_ref()))
            .collect();
        let Some(auto) = auto else {
            if let Some(first) = from.first() {
                let sentence = format!("{key} means nothing unless `external` is \"auto\"");
                let help = "write external = \"auto\"";
                self.say(Remark::fault(first.span(), sentence).help(help));
            }
            return;
        };
        if let Some(address) = external.first() {
            let key = table.name("external");
            let sentence = format!("{key} is \"auto\", and names addresses, too");
            let fault = Remark::fault(auto.span(), sentence).see(address.span(), "such as this");
            self.say(fault.help("leave out the one or the other"));
        }
        if tellers.is_empty() {
            let sentence = "`[relay] external` is \"auto\", and `external-from` names nobody to ask: \
                            an address of this host that is private stays so";
            let help = "external-from = \"metadata\" in a cloud, or \"stun:\" and the name of a \
                        STUN server elsewhere";
            self.say(Remark::caution(auto.span(), sentence).help(help));
        }
        self.config.relay.tellers = Some(tellers);
    }

    /// Whether the host can use an address, now or when it comes. Binding is the only honest test:
    /// the kernel alone knows what it lets a process use.
    pub(super) fn is_on_host(&mut self, key: &str, address: IpAddr, at: &Range<usize>) -> bool {
        let Err(source) = (self.host.bind)(address) else {
            return true;
        };
        let here: Vec<String> = self.host.addresses.iter().map(IpAddr::to_string).collect();
        let mut help = if key.contains("[[listener]]") {
            let all = match address {
                IpAddr::V4(_) => "0.0.0.0",
                IpAddr::V6(_) => "[::]",
            };
            format!(
                "behind 1:1 NAT, {key} holds the local address, or {all} for all; `[relay] external` holds the public one"
            )
        } else if key.contains("listen") {
            format!("behind 1:1 NAT, {key} holds the local address")
        } else {
            let local = if key.contains("alternate") {
                "`alternate`"
            } else {
                "`[relay] addresses`"
            };
            format!("behind 1:1 NAT, {local} holds the local address and `external` the public one")
        };
        if !here.is_empty() {
            help += &format!("; this host has {}", here.join(", "));
        }
        let is_away = source.kind() == io::ErrorKind::AddrNotAvailable;
        // One mistake is told once: an address copied from a document is not here, either.
        self.remarks.forget_cautions(at);
        let remark = if is_away {
            let sentence = format!(
                "{key} holds {address}, which this host does not have: it is served once the host has it"
            );
            Remark::caution(at.clone(), sentence)
        } else {
            let sentence = format!("{key} holds {address}, which this host cannot use: {source}");
            Remark::fault(at.clone(), sentence)
        };
        self.say(remark.help(help));
        is_away
    }

    /// Where both lists are written, the first stands for the first, and so on. Alone, as on a cloud
    /// machine, an external address stands for the host's address of its family.
    fn pair(&mut self, table: &Table<'_>, local: &[Spanned<IpAddr>], external: &[Spanned<IpAddr>]) {
        let key = table.name("external");
        let is_alone = local.is_empty();
        if let Some(at) = table.at("external").filter(|_| !external.is_empty())
            && !is_alone
            && local.len() != external.len()
        {
            let (count, others) = (count(external.len()), count(local.len()));
            let sentence = format!(
                "{key} has {count} and {} has {others}",
                table.name("addresses")
            );
            let fault =
                Remark::fault(at, sentence).see(table.at("addresses"), "to pair with these");
            self.say(fault.help(
                "give one external address per relay address, in the same order; repeat an address \
                 that needs no mapping",
            ));
            return;
        }
        for (local, external) in local.iter().zip(external) {
            let (at, other) = (external.span(), *external.get_ref());
            if local.get_ref().is_ipv4() != other.is_ipv4() {
                let fault = different_families(&key, other, *local.get_ref(), at)
                    .see(local.span(), "its pair");
                self.say(fault.help("pair IPv4 with IPv4 and IPv6 with IPv6, in the same order"));
            }
        }
        for external in external.iter().filter(|_| is_alone) {
            let (at, ip) = (external.span(), *external.get_ref());
            let mut routed = self.host.routed.iter();
            if !routed.any(|local| local.is_ipv4() == ip.is_ipv4()) {
                let sentence = format!(
                    "{key} {ip} has no address of its family on this host to pair with: it does \
                     nothing until one comes"
                );
                self.say(Remark::caution(at, sentence));
            }
        }
        let ips = |list: &[Spanned<IpAddr>]| list.iter().map(|ip| *ip.get_ref()).collect();
        let relay = &mut self.config.relay;
        (relay.written, relay.external) = (ips(local), ips(external));
        relay.addresses.clear();
        relay.follow(self.host, &[]);
    }
}

/// The transports that a word of `transport` stands for.
fn transports(word: &str) -> &'static [Transports] {
    match word {
        "udp" => &[Transports::Only(Transport::Udp)],
        "tcp" => &[Transports::Only(Transport::Tcp)],
        "tls" => &[Transports::Only(Transport::Tls)],
        "dtls" => &[Transports::Only(Transport::Dtls)],
        "auto" => &[Transports::Datagrams, Transports::Streams],
        _ => &[],
    }
}

/// Whether an address is of a network of its own.
pub(super) fn is_private(ip: IpAddr) -> bool {
    block(ip).is_some_and(|block| !block.is_documentation())
}

/// The caution about an address that others are told and cannot reach.
pub(super) fn private(told: String, external: &str, ip: IpAddr) -> Remark {
    let help = format!(
        "behind 1:1 NAT {external} holds the public {} address; where everybody is in that network, \
         write {ip} there",
        family(ip)
    );
    Remark::overall(format!("{told}, which only its own network reaches")).help(help)
}

pub(super) fn socket(text: Text<'_>) -> Option<(SocketAddr, Range<usize>)> {
    let socket: SocketAddr = text.get_ref().parse().ok()?;
    let socket = SocketAddr::new(socket.ip().to_canonical(), socket.port());
    Some((socket, text.span()))
}

pub(super) fn address(text: Text<'_>) -> Option<(IpAddr, Range<usize>)> {
    let address: IpAddr = text.get_ref().parse().ok()?;
    Some((address.to_canonical(), text.span()))
}

/// Whether no two can listen there at the same time.
pub(super) fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || is_any)
}

pub(super) fn twice(key: &str, at: Range<usize>, first: Range<usize>) -> Remark {
    Remark::fault(at, format!("{key} is given twice")).see(first, "first here")
}

pub(super) fn second_of_family(
    key: &str,
    ip: IpAddr,
    at: Range<usize>,
    first: Range<usize>,
) -> Remark {
    let sentence = format!(
        "{key} names a second {} address: one of each family is used",
        family(ip)
    );
    Remark::fault(at, sentence).see(first, "first here")
}

pub(super) fn different_families(
    key: &str,
    external: IpAddr,
    local: IpAddr,
    at: Range<usize>,
) -> Remark {
    Remark::fault(
        at,
        format!("{key} {external} cannot stand for {local}: the families differ"),
    )
}

pub(super) fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

pub(super) fn count(addresses: usize) -> String {
    let plural = if addresses == 1 { "" } else { "es" };
    format!("{addresses} address{plural}")
}
