//! How fast something may come: a time for each, and so many at once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::RandomState;
use relay::SourcePrefix;

/// The rate of one thing.
#[derive(Debug)]
pub struct Rate {
    epoch: Instant,
    pace: Pace,
    until: Until,
}

impl Rate {
    /// So many in a time, all of them at once if they come so; at least one.
    pub fn new(many: u32, within: Duration) -> Self {
        Self {
            epoch: Instant::now(),
            pace: Pace::new(many, within),
            until: Until::default(),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one again.
    pub fn take(&self) -> Result<(), Duration> {
        self.until.charge(self.pace, self.epoch, 1)
    }
}

/// The rates of networks, each a [`SourcePrefix`], in a table of a fixed size to which a keyed hash
/// leads: a network is not forgotten with its last connection, and nothing is kept per stranger. It
/// has 128 KiB.
#[derive(Debug)]
pub struct Rates {
    epoch: Instant,
    pace: Pace,
    hasher: RandomState,
    cells: Box<[Until]>,
}

impl Rates {
    /// For each network so many in a time, all of them at once if they come so.
    pub fn new(many: u32, within: Duration) -> Self {
        Self {
            epoch: Instant::now(),
            pace: Pace::new(many, within),
            hasher: RandomState::new(),
            cells: (0..CELLS).map(|_| Until::default()).collect(),
        }
    }

    /// Takes so many of the network that a host is in.
    ///
    /// # Errors
    /// How long until there are as many again; then none is taken.
    pub fn take(&self, host: IpAddr, many: u32) -> Result<(), Duration> {
        let cell = self.hasher.hash_one(SourcePrefix::of(host)) as usize % CELLS;
        self.cells[cell].charge(self.pace, self.epoch, many)
    }
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) one: u64,
    /// How far ahead of the clock.
    pub(crate) most: u64,
}

impl Pace {
    pub(crate) fn new(many: u32, within: Duration) -> Self {
        let most = nanoseconds(within);
        Self {
            one: most / u64::from(many.max(1)),
            most,
        }
    }
}

/// Nanoseconds since an epoch until which is charged.
#[derive(Debug, Default)]
struct Until(AtomicU64);

impl Until {
    fn charge(&self, pace: Pace, epoch: Instant, many: u32) -> Result<(), Duration> {
        let now = nanoseconds(epoch.elapsed());
        let next = |until: u64| until.max(now) + u64::from(many) * pace.one;
        let ahead = |until: u64| (next(until) - now).saturating_sub(pace.most);
        let add = |until: u64| (ahead(until) == 0).then(|| next(until));
        let charged = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let wait = charged.map_err(|until| Duration::from_nanos(ahead(until)));
        wait.map(|_| ())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1)
}

/// Networks that share one are charged together.
const CELLS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_are_as_many_at_once_as_in_the_time_and_then_one_after_the_other() {
        let rate = Rate::new(6, Duration::from_secs(3600));
        for _ in 0..6 {
            assert_eq!(rate.take(), Ok(()));
        }
        let wait = rate.take().unwrap_err();
        assert!(wait > Duration::from_secs(590) && wait <= Duration::from_secs(600));
    }

    #[test]
    fn a_network_does_not_wait_for_another_one() {
        let rates = Rates::new(30, Duration::from_secs(3600));
        assert_eq!(rates.take(ip("192.0.2.1"), 30), Ok(()));
        rates.take(ip("192.0.2.9"), 1).unwrap_err();
        // Two may have the same cell; not all do.
        let others = (1..9).map(|net| ip(&format!("198.51.{net}.1")));
        assert!(
            others
                .into_iter()
                .any(|other| rates.take(other, 30).is_ok())
        );
    }
}
