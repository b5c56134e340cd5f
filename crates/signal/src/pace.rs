//! Rates, by the generic cell rate algorithm: what is not used is earned again by itself.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::Limits;
use ahash::RandomState;

/// One rate: when all that was charged is earned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    earned: Instant,
}

impl Pace {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { earned: now }
    }

    /// Charges in any case; returns how long to wait with the next.
    pub(crate) fn charge(&mut self, now: Instant, cost: Duration, burst: Duration) -> Duration {
        self.earned = self.earned.max(now) + cost;
        self.earned
            .saturating_duration_since(now)
            .saturating_sub(burst)
    }
}

/// The rates of a client: its messages, and their bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paces {
    messages: Pace,
    bytes: Pace,
}

impl Paces {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            messages: Pace::new(now),
            bytes: Pace::new(now),
        }
    }

    /// Charges a message in any case; returns how long to wait with the next.
    pub(crate) fn charge(&mut self, now: Instant, limits: &Limits, bytes: usize) -> Duration {
        let burst = Duration::from_secs(limits.burst.get().into());
        let message = Duration::from_secs(1) / limits.messages.get();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = Duration::from_secs(bytes.into()) / limits.bytes.get();
        (self.messages.charge(now, message, burst)).max(self.bytes.charge(now, bytes, burst))
    }
}

/// Rates of source prefixes or hosts, in a table of a fixed size, as `relay` keeps them: strangers choose
/// their addresses, so nothing is kept for each of them. Those that share a cell share what it allows.
#[derive(Debug)]
pub(crate) struct Networks {
    hasher: RandomState,
    cells: Box<[Option<Instant>]>,
}

impl Networks {
    pub(crate) fn new(seeds: [u64; 4]) -> Self {
        Self {
            hasher: RandomState::with_seeds(seeds[0], seeds[1], seeds[2], seeds[3]),
            cells: vec![None; CELLS].into(),
        }
    }

    /// How long to wait until one more is within the limit; zero if it is already.
    pub(crate) fn wait(&self, now: Instant, from: impl Hash, limit: Limit) -> Duration {
        let earned = self.cells[self.cell(from)].map_or(now, |earned| earned.max(now));
        (earned + limit.each)
            .saturating_duration_since(now)
            .saturating_sub(limit.each.saturating_mul(limit.burst))
    }

    /// Charges one.
    pub(crate) fn charge(&mut self, now: Instant, from: impl Hash, limit: Limit) {
        let cell = self.cell(from);
        let earned = &mut self.cells[cell];
        *earned = Some(earned.map_or(now, |earned| earned.max(now)) + limit.each);
    }

    fn cell(&self, from: impl Hash) -> usize {
        self.hasher.hash_one(from) as usize % CELLS
    }
}

/// The mark of one host: an IPv4 address, or the IPv6 /64 in which it chooses its own.
pub(crate) fn host(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
    }
}

/// So many at once, and one more after each of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) burst: u32,
    pub(crate) each: Duration,
}

/// 64 KiB.
const CELLS: usize = 1 << 12;
