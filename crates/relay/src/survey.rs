//! Allocations seen together: what a server that drains waits for, and which listeners are in use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Realms;
use crate::allocation::Allocation;

/// How many allocations there are, whose, and how long they may last. [`crate::Command::Survey`]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many, those included that are being opened.
    pub allocations: usize,
    /// How many of the users of each realm.
    pub realms: BTreeMap<Arc<str>, usize>,
    /// How long the oldest has lived.
    pub oldest: Duration,
    /// How long the one that lasts longest lives if none is refreshed.
    pub longest: Duration,
    /// How many have their client at each address of a UDP listener. One that moves counts where it
    /// was, where it is and where it goes.
    pub listeners: BTreeMap<SocketAddr, usize>,
}

impl Survey {
    pub(crate) fn of<'a>(
        allocations: impl Iterator<Item = &'a Allocation>,
        now: Instant,
        realms: &Realms,
    ) -> Self {
        let mut survey = Self::default();
        for allocation in allocations {
            survey.allocations += 1;
            let realm = Arc::clone(realms.name(allocation.realm));
            *survey.realms.entry(realm).or_default() += 1;
            let age = now.saturating_duration_since(allocation.born);
            survey.oldest = survey.oldest.max(age);
            for relay in allocation.relays.iter() {
                let left = relay.deadline.saturating_duration_since(now);
                survey.longest = survey.longest.max(left);
            }
            let moving = allocation.next().map(|path| path.client);
            let tuples = [allocation.client, allocation.seen_at()];
            let servers: BTreeSet<SocketAddr> = tuples
                .into_iter()
                .chain(moving)
                .filter(|tuple| !tuple.transport.is_stream())
                .map(|tuple| tuple.server)
                .collect();
            for server in servers {
                *survey.listeners.entry(server).or_default() += 1;
            }
        }
        survey
    }

    /// Adds what another shard, or another page of places, has.
    pub fn add(&mut self, other: &Self) {
        self.allocations += other.allocations;
        for (realm, count) in &other.realms {
            *self.realms.entry(Arc::clone(realm)).or_default() += count;
        }
        self.oldest = self.oldest.max(other.oldest);
        self.longest = self.longest.max(other.longest);
        for (listener, count) in &other.listeners {
            *self.listeners.entry(*listener).or_default() += count;
        }
    }
}
