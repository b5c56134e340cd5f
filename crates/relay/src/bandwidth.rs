//! How fast data may pass. RFC 8656 §5 recommends a limit per user.
//!
//! A datagram that comes faster than the limit is dropped, and a stream is read more slowly, in the packet path, without a lock. A
//! second's worth may come at once, and the largest datagram in any case, but it has to be earned
//! first: an allocation begins with nothing, so that who opens one after the other gains nothing.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use crate::caps::slower;
use crate::data::MAX_DATAGRAM;
use crate::rate::{Cell, SECOND, cost};
use crate::realms::Account;
use crate::{AllocationId, Server};

/// Bytes of application data per second, each way; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of one allocation.
    pub allocation: Option<NonZeroU64>,
    /// Of all allocations of one user, over all shards.
    pub user: Option<NonZeroU64>,
}

impl Bandwidth {
    /// The same, and where there is no limit those of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            allocation: self.allocation.or(other.allocation),
            user: self.user.or(other.user),
        }
    }
}

/// The way of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to peers.
    Out,
    /// From peers to the client.
    In,
}

/// The data that passed each way.
#[derive(Debug)]
pub(crate) struct Ways([Cell; 2]);

impl Ways {
    /// Nothing is earned before `born`, or all if that is `None`.
    fn new(born: Option<u64>, rate: NonZeroU64) -> Self {
        let earned = born.map_or(0, |born| born.saturating_add(burst(rate)));
        Self([Cell::earned_by(earned), Cell::earned_by(earned)])
    }

    const fn of(&self, way: Way) -> &Cell {
        let [out, inward] = &self.0;
        match way {
            Way::Out => out,
            Way::In => inward,
        }
    }
}

/// A limit, and what was charged to it.
#[derive(Debug)]
struct Limit {
    rate: NonZeroU64,
    /// [`burst`] of the rate, so that no packet divides for it.
    burst: u64,
    ways: Arc<Ways>,
}

impl Limit {
    fn new(rate: NonZeroU64, ways: Arc<Ways>) -> Self {
        Self {
            rate,
            burst: burst(rate),
            ways,
        }
    }

    /// When all has to be earned that is charged now.
    const fn latest(&self, now: u64) -> u64 {
        now.saturating_add(self.burst)
    }

    fn cost(&self, bytes: usize) -> u64 {
        cost(bytes as u64, self.rate)
    }

    /// This rate holds from now on: a burst of it is the longest that anybody waits for.
    fn forgive(&self, now: u64) {
        let latest = self.latest(now);
        self.ways.0.iter().for_each(|cell| cell.forgive(latest));
    }
}

/// The limits of one allocation.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Its own limit.
    own: Option<Limit>,
    /// That which it shares with the other allocations of its user.
    user: Option<Limit>,
    /// The limit by a cap of data, which is in that of the user.
    pub(crate) capped: Option<NonZeroU64>,
}

impl Meter {
    /// Whether so many bytes may pass; charges them if so.
    #[inline(never)]
    pub(crate) fn admit(&self, now: u64, way: Way, bytes: usize) -> bool {
        let of = |limit: &Limit| {
            limit
                .ways
                .of(way)
                .take_whole(now, limit.latest(now), limit.cost(bytes))
        };
        let Some(own) = &self.own else {
            return self.user.as_ref().is_none_or(of);
        };
        let (cell, latest, cost) = (own.ways.of(way), own.latest(now), own.cost(bytes));
        // Data refused by one limit is not charged to the other. An allocation's own cell is charged
        // by its shard alone.
        cell.has_room_for(now, latest, cost)
            && self.user.as_ref().is_none_or(of)
            && cell.take_whole(now, latest, cost)
    }

    /// How many nanoseconds until so many bytes may pass; 0 if they may now.
    pub(crate) fn wait(&self, now: u64, way: Way, bytes: usize) -> u64 {
        let longest = self.both().map(|limit| {
            let cell = limit.ways.of(way);
            cell.wait(now, limit.latest(now), limit.cost(bytes))
        });
        longest.max().unwrap_or(0)
    }

    /// Charges bytes that have passed.
    pub(crate) fn charge(&self, now: u64, way: Way, bytes: usize) {
        for limit in self.both() {
            limit.ways.of(way).add(now, limit.cost(bytes));
        }
    }

    fn both(&self) -> impl Iterator<Item = &Limit> {
        self.own.iter().chain(&self.user)
    }
}

impl Server {
    /// The limits of a new allocation, if there are any.
    pub(crate) fn new_meter(&self, now: Instant, account: Account<'_>) -> Option<Box<Meter>> {
        self.meter(account, Some(now))
    }

    /// The limits of an allocation, if there are any. `born` is when it began, if that is now: users
    /// do not choose when the limits of others come.
    fn meter(&self, account: Account<'_>, born: Option<Instant>) -> Option<Box<Meter>> {
        let realms = &self.rules.realms;
        let Bandwidth { allocation, user } = realms.bandwidth(account.realm, &self.rules.limits);
        let capped = self.capped(account).rate;
        let user = slower(user, capped);
        if allocation.is_none() && user.is_none() {
            return None;
        }
        let quotas = &self.shared.quotas;
        let born = born.map(|born| self.shared.epoch.count(born));
        Some(Box::new(Meter {
            own: allocation.map(|rate| Limit::new(rate, Arc::new(Ways::new(born, rate)))),
            user: user.map(|rate| Limit::new(rate, quotas.ways(account, || Ways::new(born, rate)))),
            capped,
        }))
    }

    /// Puts all allocations under the limits of the rules.
    pub(crate) fn measure_again(&mut self, now: Instant) {
        let ids: Vec<AllocationId> = self.allocations.ids().collect();
        for id in ids {
            self.measure(now, id);
        }
    }

    /// Puts an allocation under the limits of the rules. Its debt stays, but for
    /// what only a lower rate than the present one makes it wait for.
    pub(crate) fn measure(&mut self, now: Instant, id: AllocationId) {
        let now = self.shared.epoch.count(now);
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let mut meter = self.meter(allocation.account(), None);
        let Some(allocation) = self.allocations.get_mut(id) else {
            return;
        };
        let earlier = allocation.meter.take();
        let charged = |meter: &Meter| meter.own.as_ref().map(|own| Arc::clone(&own.ways));
        let charged = match &allocation.tcp {
            Some(tcp) => tcp.passage.meter().and_then(|earlier| charged(&earlier)),
            None => earlier.and_then(|earlier| charged(&earlier)),
        };
        if let Some(own) = meter.as_mut().and_then(|meter| meter.own.as_mut())
            && let Some(charged) = charged
        {
            own.ways = charged;
        }
        if let Some(meter) = &meter {
            meter.both().for_each(|limit| limit.forgive(now));
        }
        match &allocation.tcp {
            Some(tcp) => tcp.passage.limit(meter),
            None => allocation.meter = meter,
        }
    }
}

/// The time in which all that may come at once is earned.
fn burst(rate: NonZeroU64) -> u64 {
    SECOND.max(cost(MAX_DATAGRAM as u64, rate))
}
