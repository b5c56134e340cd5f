//! The counters of a shard, readable by other threads while it works.
//!
//! The shard stores every counter once per turn and waits for nobody. A reader may see counters of
//! two turns, each of them right.

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

    /// Stores the counters of a life, on top of what earlier lives did.
    pub(crate) fn store(&self, earlier: &Totals, relay: &Counters, net: &NetCounters) {
        let net = net.named().map(|(_, count)| count);
        let words = relay.to_words();
        let counts = words.iter().chain(&net);
        for ((word, count), earlier) in self.0.iter().zip(counts).zip(&earlier.0) {
            word.store(count + earlier, Ordering::Relaxed);
        }
    }

    /// The counters that were stored last.
    pub(crate) fn load(&self) -> Totals {
        Totals(std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}

/// Counters as numbers in a fixed order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals([u64; WORDS]);

impl Totals {
    pub(crate) fn counters(&self) -> (Counters, NetCounters) {
        let (relay, net) = self.0.split_at(Counters::WORDS);
        let relay = relay.first_chunk().map(Counters::from_words);
        let net = net.first_chunk().map(NetCounters::from_words);
        (relay.unwrap_or_default(), net.unwrap_or_default())
    }
}
