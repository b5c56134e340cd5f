//! Rates, by the generic cell rate algorithm (ITU-T I.371). It needs no timer and no lock.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;

use crate::{ProcessSecret, SourcePrefix};

/// The time at which all that was charged is earned, in nanoseconds of an [`Epoch`]. A cell that is
/// not used is full again by itself.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    /// A cell in which all is earned by `earned`.
    pub(crate) const fn earned_by(earned: u64) -> Self {
        Self(AtomicU64::new(earned))
    }

    /// Whether all that was charged is earned by `latest`.
    pub(crate) fn has_room(&self, latest: u64, rate: Option<NonZeroU64>) -> bool {
        rate.is_none() || self.0.load(Ordering::Relaxed) < latest
    }

    /// Charges if there is any room, even less than the charge: otherwise a flood of short answers
    /// would never leave room for a long one. `rate` is how much is earned in a second.
    pub(crate) fn take(
        &self,
        now: u64,
        latest: u64,
        charge: u64,
        rate: Option<NonZeroU64>,
    ) -> bool {
        rate.is_none_or(|rate| {
            let cost = cost(charge, rate);
            self.charge(|earned| (earned < latest).then(|| earned.max(now).saturating_add(cost)))
        })
    }

    /// Whether the whole charge is earned by `latest`.
    pub(crate) fn has_room_for(&self, now: u64, latest: u64, cost: u64) -> bool {
        self.0.load(Ordering::Relaxed).max(now).saturating_add(cost) <= latest
    }

    /// Charges if the whole charge is earned by `latest`.
    pub(crate) fn take_whole(&self, now: u64, latest: u64, cost: u64) -> bool {
        self.charge(|earned| {
            let earned = earned.max(now).saturating_add(cost);
            (earned <= latest).then_some(earned)
        })
    }

    /// How long it is until the whole charge is earned by what is `latest` now.
    pub(crate) fn wait(&self, now: u64, latest: u64, cost: u64) -> u64 {
        let earned = self.0.load(Ordering::Relaxed).max(now).saturating_add(cost);
        earned.saturating_sub(latest)
    }

    /// Charges in any case.
    pub(crate) fn add(&self, now: u64, cost: u64) {
        self.charge(|earned| Some(earned.max(now).saturating_add(cost)));
    }

    /// Forgives what would be earned later than that.
    pub(crate) fn forgive(&self, latest: u64) {
        self.0.fetch_min(latest, Ordering::Relaxed);
    }

    fn charge(&self, charged: impl FnMut(u64) -> Option<u64>) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged)
            .is_ok()
    }
}

/// The time in which a charge is earned.
pub(crate) fn cost(charge: u64, rate: NonZeroU64) -> u64 {
    charge.saturating_mul(SECOND).div_ceil(rate.get())
}

/// Cells for source prefixes. Strangers choose their addresses, so nothing is kept per address:
/// there is a table of a fixed size, and a keyed hash of the prefix names its cell. Prefixes that
/// share a cell share what it allows; without the key nobody can aim at another's.
pub(crate) struct Cells {
    hasher: RandomState,
    cells: Box<[Cell]>,
}

impl Cells {
    /// The secret keys the table, by way of a MAC: what the table gives away is not the secret.
    pub(crate) fn new(secret: &ProcessSecret, label: &[u8], count: usize) -> Self {
        let key = secret.derived(label);
        let (words, _) = key.as_chunks();
        let seed = |at: usize| u64::from_be_bytes(words[at]);
        Self {
            hasher: RandomState::with_seeds(seed(0), seed(1), seed(2), seed(3)),
            cells: (0..count).map(|_| Cell::default()).collect(),
        }
    }

    /// The cell of the prefix that an address lies in.
    pub(crate) fn of(&self, ip: IpAddr) -> &Cell {
        self.at(self.hash(ip))
    }

    pub(crate) fn hash(&self, ip: IpAddr) -> u64 {
        self.hasher.hash_one(SourcePrefix::of(ip))
    }

    pub(crate) fn at(&self, hash: u64) -> &Cell {
        &self.cells[hash as usize % self.cells.len()]
    }
}

/// The cells are left out.
impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").finish_non_exhaustive()
    }
}

/// When the first question was asked; cells count from here.
#[derive(Debug, Default)]
pub(crate) struct Epoch(OnceLock<Instant>);

impl Epoch {
    /// Nanoseconds since the epoch, enough for centuries. Another shard may have read its clock
    /// a little before it.
    pub(crate) fn count(&self, now: Instant) -> u64 {
        let epoch = *self.0.get_or_init(|| now);
        u64::try_from(now.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// In nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_used_evenly() {
        const CELLS: u32 = 1 << 16;
        let cells = Cells::new(&ProcessSecret([7; 32]), b"a test", CELLS as usize);
        let used = (0..CELLS).filter(|net| {
            let ip = IpAddr::from((net << 8).to_be_bytes());
            cells.of(ip).0.fetch_add(1, Ordering::Relaxed) == 0
        });
        // As many balls as bins leave 1/e of them empty.
        let share = used.count() as f64 / f64::from(CELLS);
        assert!((0.62..0.645).contains(&share), "{share}");
    }
}
