//! `[[listener]]` and `[relay]`: addresses and ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use relay::{PortRange, RelayAddress};
use toml::Spanned;

use super::Judge;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, Form};
use crate::config::file::{ListenerTable, RelayTable, Text, Texts};
use crate::config::{DYNAMIC_PORTS, Listener, Relay};

impl Judge<'_> {
    pub(super) fn listeners(&mut self, tables: &[Spanned<ListenerTable>]) -> Option<Vec<Listener>> {
        if tables.is_empty() {
            return Some(Listener::defaults(self.host));
        }
        let mut listeners: Vec<(Listener, Range<usize>)> = Vec::new();
        let mut usable = true;
        for table in tables {
            let read = self
                .listener(table)
                .and_then(|read| self.once(read, &listeners));
            usable &= read.is_some();
            listeners.extend(read);
        }
        usable.then(|| {
            listeners
                .into_iter()
                .map(|(listener, _)| listener)
                .collect()
        })
    }

    /// Refuses a listener that is there already; port 0 twice is two ports.
    fn once(
        &mut self,
        (listener, at): (Listener, Range<usize>),
        others: &[(Listener, Range<usize>)],
    ) -> Option<(Listener, Range<usize>)> {
        let twin = others
            .iter()
            .find(|(other, _)| *other == listener && listener.listen.port() != 0);
        match twin {
            Some((_, first)) => {
                let see = Some((first.clone(), "first here"));
                let key = LISTEN.into();
                self.refuse_beside(Fault::Duplicate { key }, at, see)
            }
            None => Some((listener, at)),
        }
    }

    fn listener(&mut self, table: &Spanned<ListenerTable>) -> Option<(Listener, Range<usize>)> {
        let (at, table) = (table.span(), table.get_ref());
        let transport = table.transport.map(Into::into).or_else(|| {
            let (key, example) = ("transport", "transport = \"udp\"");
            self.refuse(
                Fault::Missing {
                    table: LISTENER,
                    key,
                    example,
                },
                at.clone(),
            )
        });
        let Some(written) = &table.listen else {
            let (key, example) = ("listen", "listen = \"0.0.0.0:3478\"");
            return self.refuse(
                Fault::Missing {
                    table: LISTENER,
                    key,
                    example,
                },
                at,
            );
        };
        let Ok(listen) = written.get_ref().parse::<SocketAddr>() else {
            return self.refuse(
                Fault::Form {
                    key: LISTEN.into(),
                    form: Form::SocketAddress,
                },
                written.span(),
            );
        };
        self.on_host(LISTEN, listen.ip(), written)?;
        if listen.port() == 0 {
            self.say(Caution::AnyPort, written.span());
        }
        Some((
            Listener {
                transport: transport?,
                listen,
            },
            written.span(),
        ))
    }

    pub(super) fn relay(&mut self, table: &RelayTable) -> Option<Relay> {
        let local = self.addresses(ADDRESSES, table.addresses.as_ref(), Self::on_host);
        let external = self.addresses(EXTERNAL, table.external.as_ref(), |_, _, _, _| Some(()));
        let ports = self.ports(table.ports.as_ref());
        let addresses = match (filled(&table.addresses), filled(&table.external)) {
            (Some(written), Some(list)) => self.pairwise(written, list, local?, external?),
            (Some(_), None) => Some(local?.into_iter().map(plain).collect()),
            (None, Some(list)) => self.by_family(list, external?),
            (None, None) => Some(self.host.routed.iter().copied().map(plain).collect()),
        };
        Some(Relay {
            addresses: addresses?,
            ports: ports?,
        })
    }

    /// The addresses of a list, at most one of each family, each passing `check`.
    fn addresses(
        &mut self,
        key: &'static str,
        list: Option<&Texts>,
        check: fn(&mut Self, &'static str, IpAddr, &Text) -> Option<()>,
    ) -> Option<Vec<IpAddr>> {
        let list = list.map_or(&[][..], |list| list.get_ref().as_slice());
        let mut addresses: Vec<(IpAddr, Range<usize>)> = Vec::new();
        let mut usable = true;
        for written in list {
            let Some(ip) = self.address(key, written, check) else {
                usable = false;
                continue;
            };
            let same_family = |other: &(IpAddr, _)| other.0.is_ipv4() == ip.is_ipv4();
            if let Some((other, first)) = addresses.iter().find(|other| same_family(other)) {
                let fault = if *other == ip {
                    Fault::Duplicate { key: key.into() }
                } else {
                    Fault::SecondOfFamily {
                        key: key.into(),
                        family: family(ip),
                    }
                };
                return self.refuse_beside(
                    fault,
                    written.span(),
                    Some((first.clone(), "first here")),
                );
            }
            addresses.push((ip, written.span()));
        }
        usable.then(|| addresses.into_iter().map(|(ip, _)| ip).collect())
    }

    pub(super) fn address(
        &mut self,
        key: &'static str,
        written: &Text,
        check: fn(&mut Self, &'static str, IpAddr, &Text) -> Option<()>,
    ) -> Option<IpAddr> {
        let Ok(address) = written.get_ref().parse::<IpAddr>() else {
            return self.refuse(
                Fault::Form {
                    key: key.into(),
                    form: Form::Address,
                },
                written.span(),
            );
        };
        let address = address.to_canonical();
        if let Some(kind) = not_unicast(address) {
            let key = key.into();
            return self.refuse(Fault::NotUnicast { key, address, kind }, written.span());
        }
        check(self, key, address, written)?;
        Some(address)
    }

    /// Binding is the only honest test: the kernel alone knows what it lets a process use.
    fn on_host(&mut self, key: &'static str, address: IpAddr, written: &Text) -> Option<()> {
        let Err(source) = (self.host.bind)(address) else {
            return Some(());
        };
        let here = self.host.addresses.clone();
        self.refuse(
            Fault::NotOnHost {
                key: key.into(),
                address,
                source,
                here,
            },
            written.span(),
        )
    }

    /// Both lists written: the first stands for the first, and so on.
    fn pairwise(
        &mut self,
        written: &Texts,
        list: &Texts,
        local: Vec<IpAddr>,
        external: Vec<IpAddr>,
    ) -> Option<Vec<RelayAddress>> {
        if local.len() != external.len() {
            let fault = Fault::ExternalCount {
                external: count(external.len()),
                addresses: count(local.len()),
            };
            return self.refuse_beside(
                fault,
                list.span(),
                Some((written.span(), "to pair with these")),
            );
        }
        let mut pairs = Vec::new();
        for (index, (local, external)) in local.into_iter().zip(external).enumerate() {
            if local.is_ipv4() != external.is_ipv4() {
                let see = Some((written.get_ref()[index].span(), "its pair"));
                let at = list.get_ref()[index].span();
                return self.refuse_beside(Fault::ExternalFamily { external, local }, at, see);
            }
            pairs.push(RelayAddress { local, external });
        }
        Some(pairs)
    }

    /// Only `external` written, as on a cloud machine: each stands for the
    /// host's address of its family.
    fn by_family(&mut self, list: &Texts, external: Vec<IpAddr>) -> Option<Vec<RelayAddress>> {
        let mut pairs: Vec<_> = self.host.routed.iter().copied().map(plain).collect();
        for (external, written) in external.into_iter().zip(list.get_ref()) {
            let same_family = |pair: &&mut RelayAddress| pair.local.is_ipv4() == external.is_ipv4();
            match pairs.iter_mut().find(same_family) {
                Some(pair) => pair.external = external,
                None => return self.refuse(Fault::ExternalAlone { external }, written.span()),
            }
        }
        Some(pairs)
    }

    fn ports(&mut self, written: Option<&Text>) -> Option<PortRange> {
        let Some(written) = written else {
            return Some(DYNAMIC_PORTS);
        };
        let ends = written.get_ref().split_once('-');
        let ends = ends.and_then(|(first, last)| {
            Some((
                first.trim().parse::<u16>().ok()?,
                last.trim().parse::<u16>().ok()?,
            ))
        });
        match ends {
            None => self.refuse(
                Fault::Form {
                    key: PORTS.into(),
                    form: Form::Ports,
                },
                written.span(),
            ),
            Some((0, _) | (_, 0)) => self.refuse(Fault::PortZero, written.span()),
            Some((first, last)) => match PortRange::new(first, last) {
                None => self.refuse(Fault::PortsReversed { first, last }, written.span()),
                Some(ports) => {
                    if first < 1024 {
                        self.say(Caution::PrivilegedPorts, written.span());
                    }
                    Some(ports)
                }
            },
        }
    }
}

/// A list with something in it: an empty one is as good as none.
fn filled(list: &Option<Texts>) -> Option<&Texts> {
    list.as_ref().filter(|list| !list.get_ref().is_empty())
}

fn plain(ip: IpAddr) -> RelayAddress {
    RelayAddress {
        local: ip,
        external: ip,
    }
}

pub(super) fn not_unicast(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("the unspecified");
    }
    if ip.is_multicast() {
        return Some("a multicast");
    }
    (ip == IpAddr::V4(Ipv4Addr::BROADCAST)).then_some("the broadcast")
}

pub(super) fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

pub(super) fn count(addresses: usize) -> String {
    match addresses {
        1 => "1 address".to_owned(),
        many => format!("{many} addresses"),
    }
}

const LISTENER: &str = "[[listener]]";
const LISTEN: &str = "[[listener]] listen";
const ADDRESSES: &str = "[relay] addresses";
const EXTERNAL: &str = "[relay] external";
const PORTS: &str = "[relay] ports";
