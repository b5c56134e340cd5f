//! `[[redirect]]`: who is sent to another server.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use relay::{Redirect, Target, Transport, When};
use toml::Spanned;

use super::Review;
use super::net::twice;
use crate::browsers::refusing;
use crate::config::form::target;
use crate::config::remark::Remark;
use crate::config::table::{Table, Text};

impl Review<'_> {
    pub(super) fn redirects(&mut self, file: &Table<'_>) {
        let tables = file.tables("redirect");
        let shares_nonces = file.table("auth").at("nonce-secret-file").is_some();
        for table in &tables {
            let to = self.targets(table);
            let when = table.table("when");
            self.fits_ports(&when, "allocations");
            let when = match table.text("when").map(Spanned::into_inner) {
                Some("always") => When::Always,
                Some(_) => When::Draining,
                None => When::Allocations(when.number("allocations").unwrap_or_default()),
            };
            let realm = table.text("realm");
            if let Some(realm) = &realm {
                self.known_realm(realm, shares_nonces);
            }
            let realm = realm.map(|realm| realm.into_inner().into());
            let domain = self.domain(table, &to);
            self.config.redirects.push(Redirect {
                to,
                when,
                realm,
                domain,
            });
        }
        if self.is_faultless() {
            self.waiting_redirects(&tables);
            self.passed_redirects(&tables);
        }
    }

    fn targets(&mut self, table: &Table<'_>) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        let mut places: HashMap<SocketAddr, Vec<(Target, Range<usize>)>> = HashMap::new();
        for written in table.texts("to") {
            let at = written.span();
            let Some(target) = target(written.get_ref()).filter(|_| !self.is_told(&at)) else {
                continue;
            };
            if self.is_own(target) {
                let sentence =
                    format!("`[[redirect]] to` names {target}, where this server listens itself");
                let help = "name another server, as its clients reach it";
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            let here = places.entry(target.address).or_default();
            if let Some((_, first)) = here.iter().find(|(other, _)| overlap(*other, target)) {
                self.say(twice("`[[redirect]] to`", at, first.clone()));
                continue;
            }
            self.caution_target(target.address, &at);
            here.push((target, at));
            targets.push(target);
        }
        targets
    }

    /// The name for clients that check certificates: it is there if and only if some are sent on.
    fn domain(&mut self, table: &Table<'_>, to: &[Target]) -> Option<Arc<str>> {
        let is_secure = |target: &Target| target.transport.is_some_and(Transport::is_secure);
        let domain = table.text("domain");
        let secure = to.iter().find(|target| is_secure(target));
        match (&domain, secure) {
            (None, Some(target)) => {
                let mut written = table.texts("to").into_iter();
                let of = |text: &Text<'_>| self::target(text.get_ref()).as_ref() == Some(target);
                let at = written
                    .find(of)
                    .map_or(table.at.clone(), |text| text.span());
                let sentence = format!(
                    "`[[redirect]] to` names {target}, and the rule has no `domain`: clients over TLS \
                     go only where they can check a certificate"
                );
                let help = "add a line such as domain = \"b.example.org\"; no browser reads it, and \
                            without /tls browsers stay here";
                self.say(Remark::fault(at, sentence).help(help));
            }
            (Some(domain), None) => {
                let sentence = "`[[redirect]] domain` is for clients over TLS and DTLS, and `to` has \
                                no server for them";
                let help = "write one such as \"203.0.113.9:5349/tls\" in `to`";
                self.say(Remark::caution(domain.span(), sentence).help(help));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        domain.map(|domain| domain.into_inner().into())
    }

    fn caution_target(&mut self, target: SocketAddr, at: &Range<usize>) {
        let (address, port) = (target.ip(), target.port());
        if let Some(reason) = nowhere(address) {
            let sentence = format!(
                "`[[redirect]] to` names {address}, which leads clients to no other server"
            );
            self.say(Remark::caution(at.clone(), sentence).help(reason));
        }
        if let Some(who) = refusing(port) {
            let help = match port {
                ..1024 => "its users would get no relay: below 1024 it goes to 80 and 443 only",
                1024.. => {
                    "its users would get no relay: the port belongs to another protocol; take 3478, \
                     443 or 80"
                }
            };
            let sentence = format!("`[[redirect]] to` has port {port}, which {who}");
            self.say(Remark::caution(at.clone(), sentence).help(help));
        }
    }

    /// Whether clients that send to this address come here.
    fn is_own(&self, target: Target) -> bool {
        let address = target.address;
        let relays = self
            .capacity
            .map_or(&[][..], |_| &self.config.relay.addresses);
        // Behind 1:1 NAT clients know the external address of what is bound to the local one.
        let faces = relays.iter().filter(|pair| pair.external == address.ip());
        let locals = faces.map(|pair| pair.local);
        let mut locals = locals.chain([address.ip()]);
        let is_here = |ip: IpAddr| ip.is_loopback() || self.host.addresses.contains(&ip);
        let listeners = self.listeners.as_deref().unwrap_or_default();
        locals.any(|local| {
            let local = SocketAddr::new(local, address.port());
            listeners.iter().any(|listener| {
                let bound = listener.listen.ip();
                let is_heard = listener.transports.each().any(|one| target.speaks(one));
                is_heard && listener.covers(local) && (bound == local.ip() || is_here(local.ip()))
            })
        })
    }

    fn known_realm(&mut self, written: &Text<'_>, shares_nonces: bool) {
        if !self.realms.iter().any(|realm| realm == written.get_ref()) {
            let known: Vec<_> = self
                .realms
                .iter()
                .map(|realm| format!("`{realm}`"))
                .collect();
            let sentence = "`[[redirect]] realm` is none of this server's";
            let help = format!("there is {}", known.join(", "));
            self.say(Remark::fault(written.span(), sentence).help(help));
        } else if !shares_nonces {
            let sentence = "`[[redirect]] realm` needs `[auth] nonce-secret-file`: of which realm a \
                            client is shows when it has signed, and from then on Chromium signs to \
                            the next server with a nonce of this one";
            self.say(Remark::fault(written.span(), sentence).help(
                "give all servers the same secret, such as nonce-secret-file = \"nonce.secret\" in \
                 [auth]; or remove `realm`, and everyone is sent on at the first request",
            ));
        }
    }
}

/// Whether some clients may be sent to both of one address, which are one place then.
fn overlap(one: Target, other: Target) -> bool {
    match (one.transport, other.transport) {
        (None, None) => true,
        (Some(own), _) => other.speaks(own),
        (None, Some(own)) => one.speaks(own),
    }
}

/// Why an address of one host leads few clients to another server, if any.
const fn nowhere(ip: IpAddr) -> Option<&'static str> {
    let (is_loopback, is_link_local) = match ip {
        IpAddr::V4(ip) if ip.octets()[0] == 0 => {
            return Some("it stands for no host that could be sent to");
        }
        IpAddr::V4(ip) => (ip.is_loopback(), ip.is_link_local()),
        IpAddr::V6(ip) => (ip.is_loopback(), ip.is_unicast_link_local()),
    };
    if is_loopback {
        Some("Chromium and Firefox refuse it, and to any other client it is the client's own host")
    } else if is_link_local {
        Some("Firefox refuses it, and other clients reach it on one link only")
    } else {
        None
    }
}
