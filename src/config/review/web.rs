//! `[proxy-protocol]` and `[web]`: what stands before and behind the listeners.

use std::net::SocketAddr;

use net::Transports;
use net::proxy::Proxies;
use relay::Transport;

use super::Review;
use super::net::socket;
use crate::config::form::network;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn proxy_protocol(&mut self, table: &Table<'_>) {
        self.config.proxies.tcp = self.proxies(table, "tcp-from", Transports::are_streams, "TCP");
        self.config.proxies.udp =
            self.proxies(table, "udp-from", |listener| !listener.are_streams(), "UDP");
    }

    /// The networks under a key, for the listeners of one kind.
    fn proxies(
        &mut self,
        table: &Table<'_>,
        key: &str,
        are_meant: fn(Transports) -> bool,
        protocol: &str,
    ) -> Proxies {
        if let Some(first) = table.texts(key).first()
            && self.takes(are_meant) == Some(false)
        {
            let name = table.name(key);
            let sentence = format!("{name} means nothing: no `[[listener]]` takes {protocol}");
            self.say(Remark::fault(first.span(), sentence).help("leave it out, or add a listener"));
        }
        self.believed(table, key)
    }

    /// The networks of hosts that say who their clients are.
    pub(super) fn believed(&mut self, table: &Table<'_>, key: &str) -> Proxies {
        let name = table.name(key);
        let mut networks = Vec::new();
        for text in table.texts(key) {
            let Some(written) = network(text.get_ref()) else {
                continue;
            };
            if written.prefix_len() == 0 {
                let sentence =
                    format!("{name} names {written}: every host is believed to be a proxy");
                self.say(Remark::fault(text.span(), sentence).help(
                    "name the addresses of the proxies: who can reach this server from there chooses \
                     the address that it has for policy, quotas and logs",
                ));
            }
            networks.push(written);
        }
        networks.into_iter().collect()
    }

    pub(super) fn web(&mut self, table: &Table<'_>) {
        let takes_tls = |listener: Transports| listener.has(Transport::Tls);
        let https = self.backend(
            table,
            "https-backend",
            (takes_tls, "TLS", "\"auto\" or \"tls\""),
        );
        let takes_all = |listener: Transports| listener == Transports::Datagrams;
        let quic = self.backend(table, "quic-backend", (takes_all, "QUIC", "\"auto\""));
        let web = &mut self.config.web;
        (web.https, web.quic) = (https, quic);
        if let Some(at) = table.at("proxy-protocol")
            && web.proxy_protocol
            && table.at("https-backend").is_none()
        {
            let key = table.name("proxy-protocol");
            let fault = Remark::fault(at, format!("{key} means nothing without `https-backend`"));
            self.say(fault.help("name the web server, such as https-backend = \"127.0.0.1:8443\""));
        }
    }

    /// The server that a key names, for listeners that have something for it.
    fn backend(
        &mut self,
        table: &Table<'_>,
        key: &str,
        (are_meant, what, word): (fn(Transports) -> bool, &str, &str),
    ) -> Option<SocketAddr> {
        let (backend, at) = table.text(key).and_then(socket)?;
        if self.is_told(&at) {
            return None;
        }
        let name = table.name(key);
        if self.takes(are_meant) == Some(false) {
            let sentence = format!("{name} means nothing: no `[[listener]]` takes {what}");
            let help = format!("write transport = {word} at one, such as that on port 443");
            self.say(Remark::fault(at.clone(), sentence).help(help));
        }
        let is_stream = what == "TLS";
        // A NAT leads what is sent to an external address to the local one.
        let mut relays = self.config.relay.addresses.iter();
        let local = relays.find(|pair| pair.external == backend.ip());
        let local = local.map_or(backend.ip(), |pair| pair.local);
        let is_own = self.config.listeners.iter().any(|listener| {
            let is_wildcard = listener.listen.ip().is_unspecified();
            listener.transports.are_streams() == is_stream
                && listener.covers(SocketAddr::new(local, backend.port()))
                && (!is_wildcard || self.host.has(local))
        });
        if is_own {
            let sentence = format!("{name} is a `[[listener]]` of this server");
            let help = "have the web server listen at another port, such as 127.0.0.1:8443";
            self.say(Remark::fault(at, sentence).help(help));
        }
        Some(backend)
    }

    /// Whether a listener is one of these; `None` if not all are known.
    pub(super) fn takes(&self, are_meant: fn(Transports) -> bool) -> Option<bool> {
        let mut listeners = self.listeners.as_ref()?.iter();
        Some(listeners.any(|listener| are_meant(listener.transports)))
    }
}
