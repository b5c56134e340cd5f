//! `[[listener]]` and `[relay]`: addresses and ports.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use relay::policy::block;
use relay::{RelayAddress, Transport};
use toml::Spanned;

use super::Review;
use crate::config::Listener;
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};

impl Review<'_> {
    pub(super) fn listeners(&mut self, file: &Table<'_>) {
        let mut listeners: Vec<(Listener, Range<usize>)> = Vec::new();
        for table in file.tables("listener") {
            let is_tcp = table
                .text("transport")
                .is_some_and(|word| *word.get_ref() == "tcp");
            let transport = if is_tcp {
                Transport::Tcp
            } else {
                Transport::Udp
            };
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
            let listener = Listener { transport, listen };
            // Port 0 twice is two ports.
            let twin = listeners
                .iter()
                .find(|(other, _)| *other == listener && listen.port() != 0);
            if let Some((_, first)) = twin {
                self.say(twice(&key, at, first.clone()));
            } else {
                listeners.push((listener, at));
            }
        }
        self.caution_one_family(&listeners);
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
        for (Listener { transport, listen }, at) in listeners {
            let mut others = listeners.iter().map(|(other, _)| other);
            let has_ipv4 =
                others.any(|other| other.transport == *transport && other.listen.is_ipv4());
            if listen.ip() == Ipv6Addr::UNSPECIFIED && !has_ipv4 {
                let sentence = format!(
                    "{listen} takes no IPv4, and no other `[[listener]]` does over {}: IPv4 is not served",
                    transport.name()
                );
                let port = listen.port();
                let help = format!("add a `[[listener]]` with listen = \"0.0.0.0:{port}\"");
                self.say(Remark::caution(at.clone(), sentence).help(help));
            }
        }
    }

    /// Peers are told an address that only the network of this host reaches.
    pub(super) fn caution_private(&mut self, table: &Table<'_>) {
        if self.config.is_stun_only() || !self.is_good(table, &["addresses", "external"]) {
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
        let keys = ["addresses", "external", "ports"];
        if self.is_good(table, &keys) {
            self.pair(table, local, external);
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

    /// Binding is the only honest test: the kernel alone knows what it lets a process use.
    pub(super) fn is_on_host(&mut self, key: &str, address: IpAddr, at: &Range<usize>) -> bool {
        let Err(source) = (self.host.bind)(address) else {
            return true;
        };
        let here: Vec<String> = self.host.addresses.iter().map(IpAddr::to_string).collect();
        let local = if key.contains("alternate") {
            "`alternate`"
        } else {
            "`[relay] addresses`"
        };
        let mut help = format!(
            "behind 1:1 NAT, {local} holds the local address and `external` the public one"
        );
        if !here.is_empty() {
            help += &format!("; this host has {}", here.join(", "));
        }
        let sentence = format!("{key} holds {address}, which this host cannot use: {source}");
        self.say(Remark::fault(at.clone(), sentence).help(help));
        false
    }

    /// The host's addresses, and the external ones that alone, as on a cloud machine, stand for the
    /// address of their family.
    fn routed(&mut self, key: &str, external: Vec<Spanned<IpAddr>>) -> Vec<RelayAddress> {
        let mut pairs: Vec<_> = self.host.routed.iter().copied().map(plain).collect();
        for external in external {
            let (at, external) = (external.span(), external.into_inner());
            let mut twins = pairs.iter_mut();
            if let Some(pair) = twins.find(|pair| pair.local.is_ipv4() == external.is_ipv4()) {
                pair.external = external;
                continue;
            }
            let sentence =
                format!("{key} {external} has no address of its family on this host to pair with");
            let help = "name the address it stands for in `[relay] addresses`";
            self.say(Remark::fault(at, sentence).help(help));
        }
        pairs
    }

    /// Where both lists are written, the first stands for the first, and so on.
    fn pair(
        &mut self,
        table: &Table<'_>,
        local: Vec<Spanned<IpAddr>>,
        external: Vec<Spanned<IpAddr>>,
    ) {
        let key = table.name("external");
        if local.is_empty() {
            self.config.relay.addresses = self.routed(&key, external);
            return;
        }
        let mut pairs: Vec<_> = local.iter().map(|local| plain(*local.get_ref())).collect();
        if let Some(at) = table.at("external").filter(|_| !external.is_empty())
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
        for ((pair, local), external) in pairs.iter_mut().zip(&local).zip(&external) {
            let (at, external) = (external.span(), *external.get_ref());
            if pair.local.is_ipv4() != external.is_ipv4() {
                let fault = different_families(&key, external, pair.local, at)
                    .see(local.span(), "its pair");
                self.say(fault.help("pair IPv4 with IPv4 and IPv6 with IPv6, in the same order"));
            }
            pair.external = external;
        }
        self.config.relay.addresses = pairs;
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

fn plain(ip: IpAddr) -> RelayAddress {
    RelayAddress {
        local: ip,
        external: ip,
    }
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
