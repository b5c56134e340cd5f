//! Listeners: the ports of clients and what is spoken there.
//!
//! coturn tells apart by the first bytes what a client speaks, at each of its ports: TLS comes through
//! at the port for plain TCP, and plain TCP at the port for TLS. `transport = "auto"` is the same.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::draft::Value;
use super::super::lines::Line;
use super::{Certificate, Translation, from};

/// The transports that coturn serves by its switches and its certificate.
#[derive(Clone, Copy)]
struct Served {
    udp: bool,
    tcp: bool,
    tls: bool,
    /// Whether coturn does, not whether it is here.
    dtls: bool,
}

impl<'s> Translation<'s> {
    pub(super) fn listeners(&mut self) {
        let served = self.served();
        let [plain, secure] = [("listening-port", 3478), ("tls-listening-port", 5349)]
            .map(|(name, default)| self.port(name, default));
        let ips = self.listening_ips();
        let everywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let everywhere = everywhere
            .iter()
            .filter(|ip: &&IpAddr| ip.is_ipv4() || self.source.host.has_ipv6);
        let everywhere: Vec<_> = everywhere.copied().collect();
        let here = if ips.is_empty() { &everywhere } else { &ips };

        let plain_words = plain_transports(served);
        let secure_words = secure_transports(served, self.dtls, plain == secure);
        let is_default = ips.is_empty() && plain == 3478 && plain_words == ["udp", "tcp"];
        let aux = self.aux_servers();
        if !is_default || !secure_words.is_empty() || !aux.is_empty() {
            let about = [
                "listening-port",
                "tls-listening-port",
                "no-udp",
                "no-tcp",
                "no-tls",
                "no-dtls",
            ];
            let single = about.iter().filter_map(|name| self.file.last(&[name]));
            let mut comments = from(single.chain(self.file.all("listening-ip")));
            for (port, words) in [(plain, &plain_words), (secure, &secure_words)] {
                for ip in here {
                    for word in words {
                        self.listener(
                            word,
                            SocketAddr::new(*ip, port),
                            std::mem::take(&mut comments),
                        );
                    }
                }
            }
            for (line, listen) in aux {
                for word in &plain_words {
                    self.listener(word, listen, from([line]));
                }
                self.mapped(line, "[[listener]] listen");
            }
        }
        self.dtls(served, &plain_words, &secure_words);
        self.account_for_ports(served, plain == secure, is_default);
        self.say_what_is_not_spoken(served, [plain, secure], &secure_words);
        self.second_address(&ips, plain);
    }

    fn served(&self) -> Served {
        let has_certificate = self.certificate.is_found();
        Served {
            udp: !self.file.is_on("no-udp"),
            tcp: !self.file.is_on("no-tcp"),
            tls: has_certificate && !self.file.is_on("no-tls"),
            dtls: has_certificate && !self.file.is_on("no-dtls"),
        }
    }

    fn port(&mut self, name: &str, default: u16) -> u16 {
        let Some(line) = self.file.last(&[name]) else {
            return default;
        };
        line.port().unwrap_or_else(|| {
            self.undecided(
                line,
                &format!("it is no port from 1 to 65535; {default} is written in its place"),
            );
            default
        })
    }

    /// The addresses that coturn is told to listen on.
    fn listening_ips(&mut self) -> Vec<IpAddr> {
        let (mut ips, mut known) = (Vec::new(), HashSet::new());
        for line in self.file.all("listening-ip") {
            match line.value.trim().parse::<IpAddr>() {
                Ok(ip) if !known.insert(ip) => {
                    self.needless(line, "the file has this address twice")
                }
                Ok(ip) => {
                    self.mapped(line, "[[listener]] listen");
                    ips.push(ip);
                }
                Err(_) => self.undecided(
                    line,
                    "coturn accepts a host name here; Hairpin needs an IP address",
                ),
            }
        }
        ips
    }

    /// Further listeners, by IP address and port.
    fn aux_servers(&mut self) -> Vec<(&'s Line, SocketAddr)> {
        let mut servers = Vec::new();
        for line in self.file.all("aux-server") {
            match line.value.parse::<SocketAddr>() {
                Ok(listen) => servers.push((line, listen)),
                Err(_) => self.undecided(line, "here an IP address and a port are wanted"),
            }
        }
        servers
    }

    fn listener(&mut self, transport: &str, listen: SocketAddr, comments: Vec<String>) {
        let table = self.draft.another("[[listener]]");
        table.set("transport", Value::Text(transport.to_owned()), comments);
        table.set("listen", Value::Text(listen.to_string()), Vec::new());
    }

    fn dtls(&mut self, served: Served, words: &[&str], more: &[&str]) {
        if !served.dtls || !words.iter().chain(more).any(|word| *word == "auto") {
            return;
        }
        let comment = if self.dtls {
            "coturn takes DTLS wherever it has a certificate, unless it is told not to (no-dtls)."
        } else {
            "coturn took it. Here it needs a certificate with an ECDSA key; no browser speaks it."
        };
        let is_on = self.dtls.to_string();
        let table = self.draft.table("[dtls]");
        table.set("enabled", Value::Plain(is_on), vec![comment.to_owned()]);
    }

    fn account_for_ports(&mut self, served: Served, is_one: bool, is_default: bool) {
        let listen = "[[listener]] listen";
        if let Some(line) = self.file.last(&["listening-port"]) {
            if is_default && line.port() == Some(3478) {
                self.needless(line, "3478 is the port of the listeners");
            } else {
                self.mapped(line, listen);
            }
        }
        let is_off = self.file.is_on("no-tls") && self.file.is_on("no-dtls");
        if let Some(line) = self.file.last(&["tls-listening-port"]) {
            if served.tls || served.dtls || is_one {
                self.mapped(line, listen);
            } else if matches!(self.certificate, Certificate::Missing(_)) && !is_off {
                self.undecided(
                    line,
                    "nothing listens there without the certificate: import the file again when that can be read",
                );
            } else {
                self.needless(
                    line,
                    "without a certificate, or with no-tls and no-dtls, nothing listens there",
                );
            }
        }
        for (name, is_served) in [("no-tls", served.tls), ("no-dtls", served.dtls)] {
            if let Some(line) = self
                .file
                .last(&[name])
                .filter(|line| matches!(line.flag(), Ok(true)))
            {
                if !matches!(self.certificate, Certificate::None) || is_served {
                    self.mapped(line, "[[listener]] transport");
                } else {
                    self.needless(line, "there is no certificate, and so neither TLS nor DTLS");
                }
            }
        }
        for name in ["no-udp", "no-tcp"] {
            if let Some(line) = self
                .file
                .last(&[name])
                .filter(|line| matches!(line.flag(), Ok(true)))
            {
                self.mapped(line, "[[listener]] transport");
            }
        }
    }

    /// coturn takes any transport at any port; a listener takes one of them, or all.
    fn say_what_is_not_spoken(
        &mut self,
        served: Served,
        [plain, secure]: [u16; 2],
        words: &[&str],
    ) {
        if served.dtls && !self.dtls {
            self.account.differ(
                "DTLS is not served: it needs a certificate with an ECDSA key here, and no browser speaks it",
            );
        }
        if plain == secure || !served.tls {
            return;
        }
        if words.contains(&"tls") {
            let sentence = format!(
                "port {secure} takes TLS alone; coturn also took plain TCP there, and transport = \"auto\" does \
                 (it opens UDP as well)"
            );
            // 5349 is known as the port for TLS; a well-known port of the web is chosen to pass firewalls.
            if secure == 5349 || !served.tcp {
                self.account.differ(sentence);
            } else {
                self.account.decide(sentence);
            }
        }
        if words.contains(&"dtls") && served.udp {
            self.account.differ(format!(
                "port {secure} takes DTLS alone; coturn also took plain UDP there"
            ));
        }
        if !(served.udp && served.tcp) {
            self.account
                .differ(format!("port {plain} takes no TLS; coturn did"));
        }
    }

    /// coturn up to 4.6 speaks RFC 5780 by itself wherever it listens on two addresses.
    fn second_address(&mut self, ips: &[IpAddr], plain: u16) {
        let port = self.file.last(&["alt-listening-port"]);
        let asked = port.or_else(|| {
            self.file
                .last(&["rfc5780"])
                .filter(|line| !matches!(line.flag(), Ok(false)))
        });
        let alternate = port.and_then(Line::port).or_else(|| plain.checked_add(1));
        let second = |is_v4: bool| ips.iter().filter(move |ip| ip.is_ipv4() == is_v4).nth(1);
        let seconds: Vec<IpAddr> = [second(true), second(false)]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let is_off = self.file.has("no-rfc5780") || self.file.is_on("no-udp");
        let (Some(alternate), false, false) = (alternate, seconds.is_empty(), is_off) else {
            if let Some(line) = asked {
                self.needless(line, "coturn has NAT discovery with two addresses in `listening-ip` alone, and without no-rfc5780");
            }
            return;
        };
        let sockets = seconds
            .iter()
            .map(|ip| SocketAddr::new(*ip, alternate).to_string());
        let sockets: Vec<String> = sockets.collect();
        if let Some(line) = asked {
            let table = self.draft.table("[nat-discovery]");
            table.set("alternate", Value::Texts(sockets), from([line]));
            self.mapped(line, "[nat-discovery] alternate");
        } else {
            let key = format!("alternate = {sockets:?}");
            let comment = vec![
                "coturn has it on by itself where there are two addresses.".to_owned(),
                key.clone(),
            ];
            self.draft.table("[nat-discovery]").remark(comment);
            self.account.differ(format!("NAT discovery by two addresses (RFC 5780) is off unless it is asked for: [nat-discovery] {key}"));
        }
    }
}

/// The listeners at the port for clients in the clear.
fn plain_transports(served: Served) -> Vec<&'static str> {
    if served.udp && served.tcp && served.tls {
        return vec!["auto"];
    }
    let words = [("udp", served.udp), ("tcp", served.tcp)];
    words
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(word, _)| word)
        .collect()
}

/// The listeners at the port for TLS and DTLS, which may be the same port.
fn secure_transports(served: Served, can_dtls: bool, is_one: bool) -> Vec<&'static str> {
    let streams = served.tls && !(is_one && served.tcp);
    let datagrams = served.dtls && !(is_one && served.udp);
    if streams && datagrams && served.udp && served.tcp {
        return vec!["auto"];
    }
    let words = [("tls", streams), ("dtls", datagrams && can_dtls)];
    words
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(word, _)| word)
        .collect()
}
