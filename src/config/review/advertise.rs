//! `[advertise]`: the URIs that clients are given, and the ports that browsers take.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::Range;

use net::Transports;
use probe::{Uri, UriHost};
use relay::Transport;

use super::Review;
use super::net::{socket, twice};
use crate::browsers::{MOST_URIS, rank, refusing};
use crate::config::form::{BROWSERS_PORTS, turn_uri};
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};

impl Review<'_> {
    pub(super) fn advertise(&mut self, table: &Table<'_>) {
        let key = table.name("uris");
        let mut uris: Vec<(Uri, Range<usize>)> = Vec::new();
        for text in table.texts("uris") {
            let at = text.span();
            let Ok(uri) = turn_uri(text.get_ref()) else {
                continue;
            };
            if self.is_told(&at) {
                continue;
            }
            let same = |(other, _): &&(Uri, Range<usize>)| {
                let of = |uri: &Uri| (uri.host.clone(), uri.port_or_default(), rank(uri));
                of(other) == of(&uri)
            };
            if let Some((_, first)) = uris.iter().find(same) {
                self.say(twice(&key, at, first.clone()));
                continue;
            }
            if uri.is_secure && matches!(uri.host, UriHost::Address(_)) {
                let sentence = format!("{key} names {uri}, which Firefox does not open");
                let help = "it opens TLS to names only: put a name of the certificate there";
                self.say(Remark::caution(at.clone(), sentence).help(help));
            }
            uris.push((uri, at));
        }
        if let Some((_, fifth)) = uris.get(MOST_URIS) {
            let sentence = format!("{key} has more than {MOST_URIS}");
            let help =
                "clients ask all of them at once, and Firefox warns: one of each transport does";
            self.say(Remark::fault(fifth.clone(), sentence).help(help));
        }
        self.config.advertised = uris.into_iter().map(|(uri, _)| uri).collect();
    }

    /// Over TLS the name is what clients check. Where something else ends TLS there is no certificate.
    pub(super) fn caution_uncertified(&mut self, table: &Table<'_>) {
        let certificates = &self.config.tls.certificates;
        let names: Vec<String> = certificates
            .iter()
            .map(|filed| filed.certificate.listed_names())
            .collect();
        let is_foreign = |uri: &Uri| {
            let mut all = certificates.iter();
            uri.is_secure && !all.any(|filed| filed.certificate.is_for(&uri.host))
        };
        let foreign = self.config.advertised.iter().find(|uri| is_foreign(uri));
        let (Some(uri), false) = (foreign, names.is_empty()) else {
            return;
        };
        let mut written = table.texts("uris").into_iter();
        let of = |text: &Text<'_>| turn_uri(text.get_ref()).as_ref() == Ok(uri);
        let Some(at) = written.find(of).map(|text| text.span()) else {
            return;
        };
        let sentence = format!(
            "{} names {uri}, and no certificate is for {}: clients refuse it",
            table.name("uris"),
            uri.host
        );
        let help = format!("there are certificates for {}", names.join(", "));
        self.say(Remark::caution(at, sentence).help(help));
    }

    /// Cautions where browsers do not take the port of a listener that they would relay through.
    pub(super) fn caution_ports(&mut self, file: &Table<'_>) {
        if self.config.is_stun_only() {
            return;
        }
        let listeners = self.config.listeners.iter();
        let for_browsers: HashSet<SocketAddr> = listeners
            .filter(|listener| listener.transports != Transports::Only(Transport::Dtls))
            .map(|listener| listener.listen)
            .collect();
        for table in file.tables("listener") {
            let Some((listen, at)) = table.text("listen").and_then(socket) else {
                continue;
            };
            let Some(who) = refusing(listen.port()).filter(|_| listen.port() != 0) else {
                continue;
            };
            if for_browsers.contains(&listen) && !self.is_told(&at) {
                let key = table.name("listen");
                let sentence = format!("{key} has port {}, which {who} for TURN", listen.port());
                self.say(Remark::caution(at, sentence).help(BROWSERS_PORTS));
            }
        }
    }
}
