//! Relayed addresses, their public ones, their ports, and the threads.

use std::net::IpAddr;

use super::super::draft::Value;
use super::super::lines::Line;
use super::{Translation, from};

/// A line of `external-ip`: the public address, and the private one that it stands for.
struct External<'s> {
    line: &'s Line,
    public: IpAddr,
    private: Option<IpAddr>,
}

impl<'s> Translation<'s> {
    pub(super) fn relay(&mut self) {
        self.threads();
        if let Some(line) = self.file.last(&["allocation-default-address-family"])
            && line.value.trim_start_matches('=') == "ipv6"
        {
            self.undecided(
                line,
                "a client that asks for no family is given IPv4 here (RFC 8656)",
            );
        }
        let externals = self.externals();
        let (mut addresses, lines) = self.relay_addresses();
        if addresses.is_empty() {
            // Those of the default routes need no name, and the other family stays as it is.
            let routed = &self.source.host.routed;
            let private = externals.iter().filter_map(|it| it.private);
            addresses = one_of_each_family(private.filter(|ip| !routed.contains(ip)));
        }
        if !addresses.is_empty() {
            let texts = addresses.iter().map(IpAddr::to_string).collect();
            let table = self.draft.table("[relay]");
            table.set("addresses", Value::Texts(texts), from(lines));
        }
        self.external(&externals, &addresses);
        self.relay_ports();
    }

    fn threads(&mut self) {
        let Some(line) = self.file.last(&["relay-threads", "cpus"]) else {
            return;
        };
        // Without threads of its own coturn relays on the thread that listens.
        let threads = line.as_number().clamp(1, 128);
        let table = self.draft.table("");
        table.set("threads", Value::Plain(threads.to_string()), from([line]));
        self.mapped(line, "threads");
    }

    /// The addresses of allocations that the file names, and the lines that do.
    fn relay_addresses(&mut self) -> (Vec<IpAddr>, Vec<&'s Line>) {
        let has_own = self.file.has("relay-ip");
        let name = if has_own { "relay-ip" } else { "listening-ip" };
        let mut named: Vec<(&Line, IpAddr)> = Vec::new();
        for line in self.file.all(name) {
            match line.value.trim().parse::<IpAddr>() {
                Ok(ip) => named.push((line, ip)),
                Err(_) if has_own => self.undecided(
                    line,
                    "coturn accepts a host name here; Hairpin needs an IP address",
                ),
                Err(_) => {}
            }
        }
        let is_wild = |ip: &IpAddr| ip.is_unspecified();
        // coturn relays from loopback as well where it listens there; no peer is reached from it.
        let is_meant = |ip: &IpAddr| {
            !is_wild(ip) && (!ip.is_loopback() || named.iter().all(|(_, it)| it.is_loopback()))
        };
        let chosen = one_of_each_family(named.iter().map(|(_, ip)| *ip).filter(is_meant));
        for (line, ip) in &named {
            if !has_own {
                continue;
            }
            if chosen.contains(ip) {
                self.mapped(line, "[relay] addresses");
            } else if is_wild(ip) {
                self.needless(line, "the addresses of the default routes are used");
            } else {
                self.undecided(
                    line,
                    "one address of each family has allocations here; this one is left out",
                );
            }
        }
        let is_left_out = |ip: &&IpAddr| is_meant(ip) && !chosen.contains(*ip);
        let left_out: Vec<_> = named.iter().map(|(_, ip)| ip).filter(is_left_out).collect();
        if !has_own && !left_out.is_empty() {
            let left_out: Vec<_> = left_out.iter().map(|ip| ip.to_string()).collect();
            let sentence = format!(
                "coturn relays from every listening-ip; here one address of each family has allocations, and {} has none",
                left_out.join(", ")
            );
            self.account.decide(sentence);
        }
        let lines = named
            .iter()
            .filter(|(_, ip)| chosen.contains(ip))
            .map(|(line, _)| *line);
        (chosen.clone(), lines.collect())
    }

    fn externals(&mut self) -> Vec<External<'s>> {
        let mut externals: Vec<External<'s>> = Vec::new();
        for line in self.file.all("external-ip") {
            let (public, private) = match line.value.split_once('/') {
                Some((public, private)) => (public, Some(private)),
                None => (line.value.as_str(), None),
            };
            let address = |text: &str| text.trim().parse::<IpAddr>().ok();
            let private_ip = private.map(address);
            let (Some(public), None | Some(Some(_))) = (address(public), private_ip) else {
                self.undecided(
                    line,
                    "coturn accepts a host name here; Hairpin needs an IP address, or external = \"auto\" with external-from = \"metadata\" in a cloud",
                );
                continue;
            };
            let is_second = private.is_none() && externals.iter().any(|it| it.private.is_none());
            if is_second {
                self.undecided(
                    line,
                    "coturn takes the first address without a private one, and not this",
                );
                continue;
            }
            externals.push(External {
                line,
                public,
                private: private_ip.flatten(),
            });
        }
        externals
    }

    fn external(&mut self, externals: &[External<'_>], addresses: &[IpAddr]) {
        let of = |local: IpAddr| {
            let pair = externals.iter().find(|it| it.private == Some(local));
            let is_of_family =
                |it: &&External<'_>| it.private.is_none() && it.public.is_ipv4() == local.is_ipv4();
            pair.or_else(|| externals.iter().find(is_of_family))
        };
        let public: Vec<IpAddr> = if addresses.is_empty() {
            externals.iter().map(|it| it.public).collect()
        } else {
            let public = addresses
                .iter()
                .map(|ip| of(*ip).map_or(*ip, |it| it.public));
            public.collect()
        };
        let is_used = |it: &External<'_>| public.contains(&it.public);
        for external in externals {
            if is_used(external) {
                self.mapped(external.line, "[relay] external");
            } else {
                self.undecided(
                    external.line,
                    "no relayed address has this private address: it is left out",
                );
            }
        }
        if externals.iter().any(is_used) {
            let texts = public.iter().map(IpAddr::to_string).collect();
            let lines = externals.iter().filter(|it| is_used(it)).map(|it| it.line);
            let table = self.draft.table("[relay]");
            table.set("external", Value::Texts(texts), from(lines));
        }
    }

    /// The first and the last port of allocations, if the file has a range of them.
    pub(super) fn port_range(&self) -> Option<(u16, u16)> {
        let port = |name, default| self.file.last(&[name]).map_or(Some(default), Line::port);
        let range = (port("min-port", 49152)?, port("max-port", 65535)?);
        (range.0 <= range.1).then_some(range)
    }

    fn relay_ports(&mut self) {
        let lines = ["min-port", "max-port"].map(|name| self.file.last(&[name]));
        let lines: Vec<&Line> = lines.into_iter().flatten().collect();
        match self.port_range() {
            Some((49152, 65535)) => {
                for line in lines {
                    self.needless(line, "49152-65535 is the default range of relay ports");
                }
            }
            Some((first, last)) => {
                let table = self.draft.table("[relay]");
                table.set(
                    "ports",
                    Value::Text(format!("{first}-{last}")),
                    from(lines.iter().copied()),
                );
                for line in lines {
                    self.mapped(line, "[relay] ports");
                }
            }
            None => {
                for line in lines {
                    self.undecided(line, "min-port and max-port are not a valid range: the default 49152-65535 is used");
                }
            }
        }
    }
}

/// The first address of each family, IPv4 first.
fn one_of_each_family(ips: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = ips.partition(IpAddr::is_ipv4);
    v4.into_iter()
        .take(1)
        .chain(v6.into_iter().take(1))
        .collect()
}
