//! The counters of a shard, readable by other threads while it works.
//!
//! The shard stores what has changed once per turn and waits for nobody. A reader may see counters of
//! two turns, each of them right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use relay::Counters;

use crate::counters::NetCounters;

/// The counters of one shard, over all its lives.
#[derive(Debug)]
pub(crate) struct Published([AtomicU64; WORDS]);

const WORDS: usize = Counters::WORDS + NetCounters::WORDS;

impl Published {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// The counters that were stored last.
    pub(crate) fn load(&self) -> Totals {
        Totals(std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}

/// Stores the counters of one life of a shard, on top of what earlier lives did.
#[derive(Debug)]
pub(crate) struct Publisher {
    published: Arc<Published>,
    /// The counters of earlier lives.
    earlier: Totals,
    /// Those of this life that were stored last.
    told: Totals,
}

impl Publisher {
    pub(crate) fn new(published: Arc<Published>) -> Self {
        Self {
            earlier: published.load(),
            published,
            told: Totals([0; WORDS]),
        }
    }

    /// Stores those that have changed. Mostly few have: a turn of one packet counts two or three, and
    /// to store all of them would take longer than its packet.
    pub(crate) fn publish(&mut self, relay: &Counters, net: &NetCounters) {
        self.store_changed(0, relay.words());
        self.store_changed(Counters::WORDS, net.words());
    }

    /// The same of those that are published from this place on.
    fn store_changed(&mut self, place: usize, counts: &[u64]) {
        let stored = &self.published.0[place..][..counts.len()];
        let earlier = &self.earlier.0[place..][..counts.len()];
        let store = |start: usize, counts: &[u64]| {
            let words = stored[start..].iter().zip(&earlier[start..]);
            for ((word, earlier), count) in words.zip(counts) {
                word.store(count + earlier, Ordering::Relaxed);
            }
        };
        let (groups, rest) = counts.as_chunks::<GROUP>();
        let told = &mut self.told.0[place..][..counts.len()];
        let (told_groups, told_rest) = told.as_chunks_mut::<GROUP>();
        for (group, (counts, told)) in groups.iter().zip(told_groups).enumerate() {
            // In place of `==`, which calls a function for each group.
            let words = counts.iter().zip(&*told);
            if words.fold(0, |so_far, (count, told)| so_far | (count ^ told)) != 0 {
                *told = *counts;
                store(group * GROUP, counts);
            }
        }
        if rest != told_rest {
            told_rest.copy_from_slice(rest);
            store(groups.len() * GROUP, rest);
        }
    }
}

/// Counters as numbers in a fixed order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals([u64; WORDS]);

impl Totals {
    pub(crate) fn counters(&self) -> (Counters, NetCounters) {
        let (relay, net) = self.0.split_at(Counters::WORDS);
        let relay = relay.first_chunk().copied().map(Counters::from_words);
        let net = net.first_chunk().copied().map(NetCounters::from_words);
        (relay.unwrap_or_default(), net.unwrap_or_default())
    }
}

/// Counters that are compared at once: a line of a processor's cache.
const GROUP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_change_are_stored_on_top_of_those_of_earlier_lives() {
        let published = Arc::new(Published::new());
        let mut relay = Counters::default();
        let mut net = NetCounters::default();
        for life in 1..=2 {
            let mut publisher = Publisher::new(Arc::clone(&published));
            (relay, net) = (Counters::default(), NetCounters::default());
            for turn in 1..=3 {
                relay.sent.packets += 1;
                relay.bindings += 10;
                net.connections_failed += 100;
                publisher.publish(&relay, &net);
                let (told, told_net) = published.load().counters();
                let count = (life - 1) * 3 + turn;
                assert_eq!(told.sent.packets, count);
                assert_eq!(told.bindings, 10 * count);
                assert_eq!(told_net.connections_failed, 100 * count);
                assert_eq!(told.icmp, 0);
            }
        }
        assert_eq!((relay.sent.packets, net.connections_failed), (3, 300));
    }
}
