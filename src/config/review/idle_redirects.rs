//! `[[redirect]]`: rules that do nothing, alone or beside the others.

use std::ops::Range;

use relay::{Redirect, Transport, When};

use super::Review;
use crate::config::Listener;
use crate::config::remark::Remark;
use crate::config::table::Table;

/// How a client comes: a rule sends it where one of the same kind would.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Arrival {
    transport: Transport,
    is_ipv4: bool,
}

impl Review<'_> {
    /// Says which rules wait for more allocations than there can be.
    pub(super) fn waiting_redirects(&mut self, tables: &[Table<'_>]) {
        for (index, table) in tables.iter().enumerate() {
            let rule = &self.config.redirects[index];
            let When::Allocations(limit) = rule.when else {
                continue;
            };
            let mut realms = self.config.auth.realms.iter();
            let realm = realms.find(|realm| rule.realm.as_deref() == Some(&*realm.name));
            let totals = [
                self.config.allocation.total,
                realm.and_then(|realm| realm.total),
            ];
            if let Some(total) = totals.into_iter().flatten().min()
                && limit > total
            {
                let sentence = format!(
                    "`[[redirect]] when` waits for {limit} allocations, but there are never more \
                     than {total}"
                );
                let help = "lower it, or raise `total` in [allocation] or in the realm";
                self.say(Remark::caution(at_when(table), sentence).help(help));
            }
        }
    }

    /// Says which rules have no place for any client, and which leave all they could send on to
    /// rules before them.
    pub(super) fn passed_redirects(&mut self, tables: &[Table<'_>]) {
        let rules = self.config.redirects.clone();
        let arrivals: Vec<Arrival> = self
            .listeners
            .iter()
            .flatten()
            .flat_map(Arrival::at)
            .collect();
        for (index, (rule, table)) in rules.iter().zip(tables).enumerate() {
            let own = || arrivals.iter().filter(|arrival| arrival.is_served_by(rule));
            if own().next().is_none() {
                let sentence = "no client of this server can go to the servers that this `[[redirect]] to` names";
                let help = format!(
                    "a client keeps its transport and the family of its address: here clients come \
                     over {}",
                    words(&arrivals)
                );
                self.say(Remark::caution(at_to(table), sentence).help(help));
                continue;
            }
            let before = &rules[..index];
            let decides = |arrival: &&Arrival| {
                let earlier =
                    |other: &Redirect| holds_with(other, rule) && arrival.is_served_by(other);
                before.iter().position(earlier)
            };
            let deciding: Option<Vec<usize>> = own().map(|arrival| decides(&arrival)).collect();
            if let Some(first) = deciding.and_then(|all| all.into_iter().min()) {
                let sentence = "this `[[redirect]]` never decides: another before it always holds when it does";
                let caution = Remark::caution(at_when(table), sentence);
                let caution = caution.see(at_when(&tables[first]), "decides first");
                self.say(caution.help("put it before the other, or remove it"));
            }
        }
    }
}

fn at_when(table: &Table<'_>) -> Range<usize> {
    table.at("when").unwrap_or_else(|| table.at.clone())
}

/// The place of all targets together, without the brackets.
fn at_to(table: &Table<'_>) -> Range<usize> {
    match &table.texts("to")[..] {
        [first, .., last] => first.span().start..last.span().end,
        [only] => only.span(),
        [] => table.at.clone(),
    }
}

impl Arrival {
    fn at(listener: &Listener) -> impl Iterator<Item = Self> {
        let is_ipv4 = listener.listen.ip().to_canonical().is_ipv4();
        listener
            .transports
            .each()
            .map(move |transport| Self { transport, is_ipv4 })
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

/// How clients come, each arrival once.
fn words(arrivals: &[Arrival]) -> String {
    let mut names: Vec<String> = Vec::new();
    for Arrival { transport, is_ipv4 } in arrivals {
        let transport = transport.name().to_uppercase();
        let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
        let name = format!("{transport} and {family}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", or over ")
}
