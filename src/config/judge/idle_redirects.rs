//! `[[redirect]]`: rules that do nothing, alone or beside the others.

use std::ops::Range;

use relay::{Limits, Redirect, Transport, When};
use toml::Spanned;

use super::Judge;
use crate::config::caution::Caution;
use crate::config::file::RedirectTable;
use crate::config::{Auth, Listener};

/// Where a rule says what.
pub(super) struct Place {
    when: Range<usize>,
    to: Range<usize>,
}

impl Place {
    pub(super) fn of(table: &Spanned<RedirectTable>) -> Self {
        let RedirectTable { to, when, .. } = table.get_ref();
        let when = when.as_ref().map(Spanned::span);
        let to = match to.as_deref() {
            Some([first, .., last]) => Some(first.span().start..last.span().end),
            Some([only]) => Some(only.span()),
            Some([]) | None => None,
        };
        Self {
            when: when.unwrap_or_else(|| table.span()),
            to: to.unwrap_or_else(|| table.span()),
        }
    }
}

/// How a client comes: a rule sends it where the same way leads.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    transport: Transport,
    is_ipv4: bool,
}

impl Judge<'_> {
    /// Says which rules wait for more allocations than there can be.
    pub(super) fn waiting_redirects(
        &mut self,
        rules: &[Redirect],
        places: &[Place],
        limits: &Limits,
        auth: &Auth,
    ) {
        for (rule, place) in rules.iter().zip(places) {
            let When::Allocations(limit) = rule.when else {
                continue;
            };
            let mut realms = auth.realms.iter();
            let realm = realms.find(|realm| rule.realm.as_deref() == Some(&*realm.name));
            let totals = [limits.total, realm.and_then(|realm| realm.total)];
            if let Some(total) = totals.into_iter().flatten().min()
                && limit > total
            {
                self.say(Caution::IdleRedirect { limit, total }, place.when.clone());
            }
        }
    }

    /// Says which rules have no place for any client, and which leave all they could send on to
    /// rules before them.
    pub(super) fn passed_redirects(
        &mut self,
        rules: &[Redirect],
        places: &[Place],
        listeners: &[Listener],
    ) {
        let ways: Vec<Way> = listeners.iter().map(Way::of).collect();
        for (index, (rule, place)) in rules.iter().zip(places).enumerate() {
            let own = || ways.iter().filter(|way| way.is_served_by(rule));
            if own().next().is_none() {
                let clients = words(&ways);
                self.say(Caution::PlacelessRedirect { clients }, place.to.clone());
                continue;
            }
            let before = &rules[..index];
            let decides = |way: &&Way| {
                let earlier = |other: &Redirect| holds_with(other, rule) && way.is_served_by(other);
                before.iter().position(earlier)
            };
            let deciding: Option<Vec<usize>> = own().map(|way| decides(&way)).collect();
            if let Some(first) = deciding.and_then(|all| all.into_iter().min()) {
                let see = (places[first].when.clone(), "decides first");
                self.say_beside(Caution::PassedRedirect, place.when.clone(), see);
            }
        }
    }
}

impl Way {
    fn of(listener: &Listener) -> Self {
        Self {
            transport: listener.transport,
            is_ipv4: listener.listen.ip().to_canonical().is_ipv4(),
        }
    }

    fn is_served_by(self, rule: &Redirect) -> bool {
        let mut targets = rule.to.iter();
        targets.any(|to| to.speaks(self.transport) && to.address.is_ipv4() == self.is_ipv4)
    }
}

/// Whether a rule holds for every client, and whenever, another does.
fn holds_with(rule: &Redirect, other: &Redirect) -> bool {
    let for_all = rule.realm.is_none() || rule.realm == other.realm;
    for_all
        && match (rule.when, other.when) {
            (When::Always, _) | (When::Draining, When::Draining) => true,
            // In all there are never fewer than in a realm.
            (When::Allocations(limit), When::Allocations(other)) => limit <= other,
            (When::Draining | When::Allocations(_), _) => false,
        }
}

/// How clients come, each way once.
fn words(ways: &[Way]) -> String {
    let mut names: Vec<String> = Vec::new();
    for Way { transport, is_ipv4 } in ways {
        let transport = transport.name().to_uppercase();
        let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
        let name = format!("{transport} and {family}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", or over ")
}
