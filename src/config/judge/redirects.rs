//! `[[redirect]]`: who is sent to another server.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use relay::{Redirect, Target, Transport, When};
use toml::Spanned;

use super::net::not_unicast;
use super::{Judge, Surroundings};
use crate::config::Relay;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, Form, RedirectFault};
use crate::config::file::{Number, RedirectTable, Text, WhenEntry};

impl Judge<'_> {
    pub(super) fn redirects(
        &mut self,
        tables: Vec<Spanned<RedirectTable>>,
        around: Surroundings<'_>,
    ) -> Option<Vec<Redirect>> {
        let read: Vec<_> = tables
            .into_iter()
            .map(|table| self.redirect(table, around))
            .collect();
        read.into_iter().collect()
    }

    fn redirect(
        &mut self,
        table: Spanned<RedirectTable>,
        around: Surroundings<'_>,
    ) -> Option<Redirect> {
        let at = table.span();
        let RedirectTable { to, when, realm } = table.into_inner();
        let to = self.alternates(to.as_deref().unwrap_or_default(), at.clone(), around);
        let when = self.when(when, at, around.relay);
        let realm = realm.map(|written| self.known_realm(written, around));
        Some(Redirect {
            to: to?,
            when: when?,
            realm: match realm {
                Some(realm) => Some(realm?.into()),
                None => None,
            },
        })
    }

    fn alternates(
        &mut self,
        written: &[Text],
        table: Range<usize>,
        around: Surroundings<'_>,
    ) -> Option<Vec<Target>> {
        if written.is_empty() {
            let fault = Fault::Missing {
                table: TABLE,
                key: "to",
                example: "to = [\"203.0.113.9:3478\"]",
            };
            return self.refuse(fault, table);
        }
        let mut read: Vec<(Target, Range<usize>)> = Vec::new();
        let mut usable = true;
        for written in written {
            let Some(target) = self.target(written, around) else {
                usable = false;
                continue;
            };
            if let Some((_, first)) = read.iter().find(|(other, _)| overlap(*other, target)) {
                let see = Some((first.clone(), "first here"));
                let key = TO.into();
                return self.refuse_beside(Fault::Duplicate { key }, written.span(), see);
            }
            read.push((target, written.span()));
        }
        usable.then(|| read.into_iter().map(|(target, _)| target).collect())
    }

    fn target(&mut self, written: &Text, around: Surroundings<'_>) -> Option<Target> {
        let at = written.span();
        let Some(Target { address, transport }) = read_target(written.get_ref()) else {
            let (key, form) = (TO.into(), Form::Target);
            return self.refuse(Fault::Form { key, form }, at);
        };
        if let Some(kind) = not_unicast(address.ip()) {
            let (key, address) = (TO.into(), address.ip());
            return self.refuse(Fault::NotUnicast { key, address, kind }, at);
        }
        let port = address.port();
        if port == 0 {
            return self.refuse(RedirectFault::PortZero, at);
        }
        let target = Target { address, transport };
        if self.is_own(target, around) {
            return self.refuse(RedirectFault::Itself { target }, at);
        }
        if let Some(reason) = nowhere(address.ip()) {
            let address = address.ip();
            self.say(Caution::LocalTarget { address, reason }, at.clone());
        }
        if is_blocked(port) {
            self.say(Caution::BlockedPort { port }, at);
        }
        Some(target)
    }

    /// Whether clients that send to this address come here.
    fn is_own(&self, target: Target, around: Surroundings<'_>) -> bool {
        let address = target.address;
        let relays = around.relay.map_or(&[][..], |relay| &relay.addresses);
        // Behind 1:1 NAT clients know the external address of what is bound to the local one.
        let faces = relays.iter().filter(|pair| pair.external == address.ip());
        let locals = faces.map(|pair| pair.local);
        let mut locals = locals.chain([address.ip()]);
        let is_here = |ip: IpAddr| ip.is_loopback() || self.host.addresses.contains(&ip);
        let listeners = around.listeners.unwrap_or_default();
        locals.any(|local| {
            let local = SocketAddr::new(local, address.port());
            listeners.iter().any(|listener| {
                let bound = listener.listen.ip();
                let is_heard = target.speaks(listener.transport);
                is_heard && listener.covers(local) && (bound == local.ip() || is_here(local.ip()))
            })
        })
    }

    fn when(
        &mut self,
        written: Option<Spanned<WhenEntry>>,
        table: Range<usize>,
        relay: Option<&Relay>,
    ) -> Option<When> {
        match written.map(Spanned::into_inner) {
            Some(WhenEntry::Always) => Some(When::Always),
            Some(WhenEntry::Draining) => Some(When::Draining),
            Some(WhenEntry::Allocations(Some(limit))) => self.threshold(&limit, relay),
            Some(WhenEntry::Allocations(None)) => {
                let fault = Fault::Missing {
                    table: "[[redirect]] when",
                    key: "allocations",
                    example: "when = { allocations = 1000 }",
                };
                self.refuse(fault, table)
            }
            None => {
                let fault = Fault::Missing {
                    table: TABLE,
                    key: "when",
                    example: "when = \"draining\"",
                };
                self.refuse(fault, table)
            }
        }
    }

    fn threshold(&mut self, written: &Number, relay: Option<&Relay>) -> Option<When> {
        let key = "[[redirect]] when.allocations";
        self.number(key, Some(written), 1..=u32::MAX, 1)?;
        let limit = self.quota(key, Some(written), relay)?;
        limit.map(When::Allocations)
    }

    fn known_realm(&mut self, written: Text, around: Surroundings<'_>) -> Option<String> {
        let at = written.span();
        if !around.realms.contains(written.get_ref()) {
            let known = around.realms.iter().map(|realm| format!("`{realm}`"));
            let known = known.collect();
            return self.refuse(RedirectFault::UnknownRealm { known }, at);
        }
        if !around.shares_nonces {
            return self.refuse(RedirectFault::RealmWithoutNonceSecret, at);
        }
        Some(written.into_inner())
    }
}

/// An address and a port, and the transport behind it if there is one.
fn read_target(written: &str) -> Option<Target> {
    let (address, transport) = match written.rsplit_once('/') {
        Some((address, "udp")) => (address, Some(Transport::Udp)),
        Some((address, "tcp")) => (address, Some(Transport::Tcp)),
        Some(_) => return None,
        None => (written, None),
    };
    let address: SocketAddr = address.parse().ok()?;
    Some(Target {
        address: SocketAddr::new(address.ip().to_canonical(), address.port()),
        transport,
    })
}

/// Whether some clients may be sent to both, which are one place then.
fn overlap(one: Target, other: Target) -> bool {
    let same = one.transport.is_none_or(|own| other.speaks(own));
    one.address == other.address && same
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

/// Whether Chromium refuses to send TURN to a port.
const fn is_blocked(port: u16) -> bool {
    match port {
        80 | 443 => false,
        ..1024 => true,
        // Kept for other protocols, by Firefox too.
        1719
        | 1720
        | 1723
        | 2049
        | 3659
        | 4045
        | 5060
        | 5061
        | 6000
        | 6566
        | 6665..=6669
        | 6697
        | 10080 => true,
        1024.. => false,
    }
}

const TABLE: &str = "[[redirect]]";
const TO: &str = "[[redirect]] to";
