//! `[[redirect]]`: who is sent to another server.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use relay::{Limits, Redirect, When};
use toml::Spanned;

use super::net::not_unicast;
use super::{Judge, Surroundings};
use crate::config::caution::Caution;
use crate::config::fault::{Fault, Form, RedirectFault};
use crate::config::file::{Number, RedirectTable, Text, WhenEntry};
use crate::config::{Auth, Relay};

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

    /// Says which rules wait for more allocations than there can be; `at` is where each says so.
    pub(super) fn idle_redirects(
        &mut self,
        rules: &[Redirect],
        at: Vec<Range<usize>>,
        limits: &Limits,
        auth: &Auth,
    ) {
        for (rule, at) in rules.iter().zip(at) {
            let When::Allocations(limit) = rule.when else {
                continue;
            };
            let mut realms = auth.realms.iter();
            let realm = realms.find(|realm| rule.realm.as_deref() == Some(&*realm.name));
            let totals = [limits.total, realm.and_then(|realm| realm.total)];
            if let Some(total) = totals.into_iter().flatten().min()
                && limit > total
            {
                self.say(Caution::IdleRedirect { limit, total }, at);
            }
        }
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
    ) -> Option<Vec<SocketAddr>> {
        if written.is_empty() {
            let fault = Fault::Missing {
                table: TABLE,
                key: "to",
                example: "to = [\"203.0.113.9:3478\"]",
            };
            return self.refuse(fault, table);
        }
        let mut read: Vec<(SocketAddr, Range<usize>)> = Vec::new();
        let mut usable = true;
        for written in written {
            let Some(address) = self.alternate(written, around) else {
                usable = false;
                continue;
            };
            if let Some((_, first)) = read.iter().find(|(other, _)| *other == address) {
                let see = Some((first.clone(), "first here"));
                let key = TO.into();
                return self.refuse_beside(Fault::Duplicate { key }, written.span(), see);
            }
            read.push((address, written.span()));
        }
        usable.then(|| read.into_iter().map(|(address, _)| address).collect())
    }

    fn alternate(&mut self, written: &Text, around: Surroundings<'_>) -> Option<SocketAddr> {
        let at = written.span();
        let Ok(address) = written.get_ref().parse::<SocketAddr>() else {
            let (key, form) = (TO.into(), Form::SocketAddress);
            return self.refuse(Fault::Form { key, form }, at);
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if let Some(kind) = not_unicast(address.ip()) {
            let (key, address) = (TO.into(), address.ip());
            return self.refuse(Fault::NotUnicast { key, address, kind }, at);
        }
        if address.port() == 0 {
            return self.refuse(RedirectFault::PortZero, at);
        }
        if self.is_own(address, around) {
            return self.refuse(RedirectFault::Itself { address }, at);
        }
        Some(address)
    }

    /// Whether clients that send to this address come here.
    fn is_own(&self, address: SocketAddr, around: Surroundings<'_>) -> bool {
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
                listener.covers(local) && (bound == local.ip() || is_here(local.ip()))
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
        if around.realms.contains(written.get_ref()) {
            return Some(written.into_inner());
        }
        let known = around
            .realms
            .iter()
            .map(|realm| format!("`{realm}`"))
            .collect();
        self.refuse(RedirectFault::UnknownRealm { known }, written.span())
    }
}

/// Where a rule says when it holds.
pub(super) fn place(table: &Spanned<RedirectTable>) -> Range<usize> {
    let when = table.get_ref().when.as_ref();
    when.map_or_else(|| table.span(), Spanned::span)
}

const TABLE: &str = "[[redirect]]";
const TO: &str = "[[redirect]] to";
