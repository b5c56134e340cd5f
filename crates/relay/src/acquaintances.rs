//! The source prefixes that had a client lately, which strangers cannot make many of.
//!
//! A prefix is noted when a request from it is authenticated: a client there heard our nonce, so its
//! address is its own. There is a table of a fixed size, half a MiB. A keyed hash of the prefix names
//! a set of four entries, and 32 other bits of it tell the prefixes of a set apart; where there are
//! more than four, the one that was quiet longest is forgotten. Of 20,000 prefixes within an hour,
//! 99 in 100 are remembered.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The table.
#[derive(Debug)]
pub(crate) struct Acquaintances {
    sets: Box<[[AtomicU64; WAYS]]>,
    /// The latest entry's time.
    latest: AtomicU32,
}

impl Acquaintances {
    pub(crate) fn new() -> Self {
        let set = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            sets: (0..SETS).map(|_| set()).collect(),
            latest: AtomicU32::new(0),
        }
    }

    /// Notes that a prefix had a client, by its keyed hash. `now` counts seconds from 1. Two shards
    /// that write to one set at once may lose one of two prefixes, which the next request mends.
    pub(crate) fn note(&self, hash: u64, now: u32) {
        let set = self.set(hash);
        let entries = || set.iter().map(|entry| (entry, Entry::of(entry)));
        let own = entries().find(|(_, entry)| entry.tag == tag(hash));
        if own.is_some_and(|(_, entry)| now.saturating_sub(entry.noted) < REWRITE) {
            return;
        }
        let oldest = || entries().min_by_key(|(_, entry)| entry.noted);
        if let Some((place, _)) = own.or_else(oldest) {
            place.store(
                u64::from(tag(hash)) << 32 | u64::from(now),
                Ordering::Relaxed,
            );
            self.latest.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Whether a prefix had a client within the last hour.
    pub(crate) fn has(&self, hash: u64, now: u32) -> bool {
        let entries = self.set(hash).iter().map(Entry::of);
        let mut own = entries.filter(|entry| entry.tag == tag(hash));
        own.any(|entry| is_recent(entry.noted, now))
    }

    /// Whether any prefix had a client within the last hour.
    pub(crate) fn has_any(&self, now: u32) -> bool {
        is_recent(self.latest.load(Ordering::Relaxed), now)
    }

    fn set(&self, hash: u64) -> &[AtomicU64; WAYS] {
        &self.sets[hash as usize % SETS]
    }
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    /// In seconds; 0 in an entry that was never used.
    noted: u32,
}

impl Entry {
    fn of(entry: &AtomicU64) -> Self {
        let entry = entry.load(Ordering::Relaxed);
        Self {
            tag: (entry >> 32) as u32,
            noted: entry as u32,
        }
    }
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

const fn is_recent(noted: u32, now: u32) -> bool {
    noted > 0 && now.saturating_sub(noted) < LIFETIME + REWRITE
}

const LIFETIME: u32 = 3600;
/// An entry is written again after this time only, so that shards seldom write to the same memory.
const REWRITE: u32 = 60;
const SETS: usize = 1 << 14;
const WAYS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use ahash::RandomState;

    fn hashes() -> impl Iterator<Item = u64> {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        (0_u32..).map(move |prefix| hasher.hash_one(prefix))
    }

    #[test]
    fn a_prefix_is_known_for_an_hour_after_its_last_request() {
        let known = Acquaintances::new();
        let hash = hashes().next().unwrap();
        assert!(!known.has(hash, 1) && !known.has_any(1));
        for now in [1, 30, 3000] {
            known.note(hash, now);
        }
        assert!(known.has(hash, 3000 + LIFETIME) && known.has_any(3000 + LIFETIME));
        let later = 3000 + LIFETIME + REWRITE;
        assert!(!known.has(hash, later) && !known.has_any(later));
    }

    #[test]
    fn of_twenty_thousand_prefixes_ninety_nine_in_a_hundred_are_known_and_no_other() {
        let known = Acquaintances::new();
        for hash in hashes().take(20_000) {
            known.note(hash, 1);
        }
        let remembered = hashes().take(20_000).filter(|hash| known.has(*hash, 2));
        assert!(remembered.count() >= 19_800);
        let strangers = hashes().skip(20_000).take(100_000);
        assert_eq!(strangers.filter(|hash| known.has(*hash, 2)).count(), 0);
    }

    #[test]
    fn the_prefix_that_was_quiet_longest_makes_room() {
        let known = Acquaintances::new();
        let same = |tag: u64| tag << 32;
        for prefix in 1..=4_u32 {
            known.note(same(prefix.into()), prefix);
        }
        known.note(same(1), 100);
        known.note(same(5), 101);
        let has = |tag| known.has(same(tag), 102);
        assert_eq!([1, 2, 3, 4, 5].map(has), [true, false, true, true, true]);
    }
}
