//! Bounds on TCP clients: on the number of connections, in all and from one source prefix, and on the
//! frames per second of those that have no allocation.
//!
//! The rates are kept as the amplification budget keeps its own: a table of a fixed size, to a cell
//! of which a keyed hash of the prefix leads. So a prefix is not forgotten with its last connection,
//! and nothing is kept per stranger.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashMap;
use relay::SourcePrefix;

use crate::{StreamLimits, clock};

/// Counts connections, for all shards. Its memory is bounded by the connections it counts, and 128
/// KiB for the rates.
#[derive(Debug)]
pub(crate) struct Admission {
    total: usize,
    per_prefix: usize,
    counts: Mutex<Counts>,
    hasher: RandomState,
    epoch: Instant,
    /// The time that a frame of a prefix is charged for.
    prefix_frame: Duration,
    /// Nanoseconds since the epoch until which the frames of a prefix are charged.
    charged: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_prefix: HashMap<SourcePrefix, usize, RandomState>,
}

impl Counts {
    /// Counts one more of a prefix, which may have so many.
    fn enter(&mut self, prefix: SourcePrefix, most: usize) -> bool {
        let count = self.by_prefix.entry(prefix).or_insert(0);
        let is_room = *count < most;
        *count += usize::from(is_room);
        is_room
    }

    fn leave(&mut self, prefix: SourcePrefix) {
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: &StreamLimits) -> Self {
        let counts = Mutex::new(Counts::default());
        let connections_of_one = u32::try_from(limits.per_prefix).unwrap_or(u32::MAX).max(1);
        Self {
            total: limits.connections,
            per_prefix: limits.per_prefix,
            counts,
            hasher: RandomState::new(),
            epoch: clock::now().mono,
            prefix_frame: Duration::from_secs(1) / connections_of_one,
            charged: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Admits one more connection if there is room; dropping the value gives the place back.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<Admitted> {
        let prefix = SourcePrefix::of(source);
        let mut counts = self.counts();
        if counts.total >= self.total {
            return None;
        }
        if !counts.enter(prefix, self.per_prefix) {
            return None;
        }
        counts.total += 1;
        Some(Admitted {
            admission: Arc::clone(self),
            prefix: Some(prefix),
            hash: self.hasher.hash_one(prefix),
        })
    }

    /// The same for a connection of a proxy, whose client is not known yet: it counts among all.
    pub(crate) fn admit_proxy(self: &Arc<Self>, proxy: IpAddr) -> Option<Admitted> {
        let mut counts = self.counts();
        if counts.total >= self.total {
            return None;
        }
        counts.total += 1;
        Some(Admitted {
            admission: Arc::clone(self),
            prefix: None,
            hash: self.hasher.hash_one(SourcePrefix::of(proxy)),
        })
    }

    /// How many connections there are, and how many there may be.
    pub(crate) fn load(&self) -> [usize; 2] {
        [self.counts().total, self.total]
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// None while it is a proxy's.
    prefix: Option<SourcePrefix>,
    hash: u64,
}

impl Admitted {
    /// From now on the connection of a proxy is that of the client that it named, if there is room.
    /// A proxy that names nobody is bounded among all only.
    pub(crate) fn belongs_to(&mut self, client: IpAddr) -> bool {
        let prefix = SourcePrefix::of(client);
        let entered = {
            let mut counts = self.admission.counts();
            counts.enter(prefix, self.admission.per_prefix)
        };
        if entered {
            self.prefix = Some(prefix);
            self.hash = self.admission.hasher.hash_one(prefix);
        }
        entered
    }

    /// A keyed hash of the source prefix.
    pub(crate) const fn party(&self) -> u64 {
        self.hash
    }

    /// Charges frames of a stranger to its prefix; returns how long the stranger is to wait with
    /// its next one. Waiting is all that ever comes of it: a frame that waits is not lost.
    pub(crate) fn charge(&self, now: Instant, frames: u32) -> Duration {
        self.charge_within(now, frames, Duration::MAX)
            .unwrap_or_default()
    }

    /// Charges what costs as much as so many frames, unless the wait for it would be longer than
    /// `most`: then there is no use in waiting, and nothing is charged. Otherwise those who have given
    /// up would keep their neighbours out.
    pub(crate) fn charge_within(
        &self,
        now: Instant,
        frames: u32,
        most: Duration,
    ) -> Option<Duration> {
        let Admission {
            epoch,
            prefix_frame,
            charged,
            ..
        } = &*self.admission;
        let now = nanoseconds(now.saturating_duration_since(*epoch));
        let cost = u64::from(frames) * nanoseconds(*prefix_frame);
        let cell = &charged[self.hash as usize % CELLS];
        let wait = |until: u64| {
            let ahead = Duration::from_nanos(until.max(now) + cost - now);
            ahead.saturating_sub(PREFIX_AHEAD - *prefix_frame)
        };
        let add = |until: u64| (wait(until) <= most).then_some(until.max(now) + cost);
        let before = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        before.ok().map(wait)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1)
}

/// The frames of one stranger.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Until when they are charged.
    charged: Instant,
    /// When the next one may be read.
    pub(crate) next: Instant,
}

impl Pace {
    /// Of a client that has connected: it waits as long as others of its prefix do.
    pub(crate) fn of(admitted: &Admitted, now: Instant) -> Self {
        Self {
            charged: now,
            next: now + admitted.charge(now, 0),
        }
    }

    /// A frame, or bytes that are none, were handled.
    pub(crate) fn spend(&mut self, admitted: &Admitted, now: Instant) {
        self.charged = self.charged.max(now) + FRAME;
        let own = (self.charged - now).saturating_sub(AHEAD);
        self.next = now + own.max(admitted.charge(now, 1));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total -= 1;
        if let Some(prefix) = self.prefix {
            counts.leave(prefix);
        }
    }
}

/// A stranger's frame every twentieth of a second. A client needs two or three until it has its
/// allocation, and has forty at once.
const FRAME: Duration = Duration::from_millis(50);
const AHEAD: Duration = Duration::from_millis(39 * 50);
/// A prefix may have as many frames of strangers in a second as it may have connections, and those of
/// three seconds at once: then all that it may have can allocate at one moment.
const PREFIX_AHEAD: Duration = Duration::from_secs(3);
/// Prefixes that share one are charged together.
const CELLS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, per_prefix: usize) -> Arc<Admission> {
        let limits = StreamLimits {
            connections,
            per_prefix,
            ..StreamLimits::default()
        };
        Arc::new(Admission::new(&limits))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_its_share_and_no_more() {
        let admission = admission(10, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.200")).unwrap();
        assert!(admission.admit(ip("192.0.2.3")).is_none());
        let _other = admission.admit(ip("192.0.3.1")).unwrap();
        drop(first);
        assert!(admission.admit(ip("192.0.2.3")).is_some());
    }

    #[test]
    fn a_connection_of_a_proxy_counts_as_its_clients() {
        let admission = admission(3, 1);
        let proxy = || admission.admit_proxy(ip("10.0.0.1")).unwrap();
        let (mut first, mut second) = (proxy(), proxy());
        let health_check = proxy();
        assert!(admission.admit_proxy(ip("10.0.0.1")).is_none());
        assert!(first.belongs_to(ip("192.0.2.1")));
        assert!(!second.belongs_to(ip("192.0.2.2")));
        drop(first);
        assert!(second.belongs_to(ip("192.0.2.2")));
        drop((second, health_check));
        let counts = admission.counts();
        assert!(counts.total == 0 && counts.by_prefix.is_empty());
    }

    #[test]
    fn all_prefixes_together_have_a_limit() {
        let admission = admission(2, 2);
        let _first = admission.admit(ip("2001:db8:1::1")).unwrap();
        let _second = admission.admit(ip("2001:db8:2::1")).unwrap();
        assert!(admission.admit(ip("2001:db8:3::1")).is_none());
    }

    #[test]
    fn what_left_is_not_remembered() {
        let admission = admission(2, 2);
        for host in 0..1000_u16 {
            let [high, low] = host.to_be_bytes();
            drop(admission.admit(IpAddr::from([10, high, low, 1])));
        }
        assert!(admission.counts().by_prefix.is_empty());
    }

    #[test]
    fn a_stranger_has_forty_frames_at_once_and_twenty_a_second() {
        let admitted = admission(1000, 1000).admit(ip("192.0.2.1")).unwrap();
        let start = admitted.admission.epoch;
        let mut pace = Pace::of(&admitted, start);
        for _ in 0..40 {
            assert_eq!(pace.next, start);
            pace.spend(&admitted, start);
        }
        for frame in 1..100 {
            assert_eq!(pace.next, start + frame * FRAME);
            pace.spend(&admitted, pace.next);
        }
        // A quiet time saves no more up than that.
        let later = start + Duration::from_secs(1000);
        let at_once = (0..100).take_while(|_| {
            let may = pace.next <= later;
            pace.spend(&admitted, later);
            may
        });
        assert_eq!(at_once.count(), 40);
    }

    /// A Binding, an Allocate that is challenged, and one that answers the challenge.
    #[test]
    fn as_many_clients_as_one_address_may_have_set_up_their_calls_without_waiting() {
        let limits = StreamLimits::default();
        let admission = Arc::new(Admission::new(&limits));
        let start = admission.epoch;
        let admitted = (0..limits.per_prefix).map(|_| {
            let admitted = admission.admit(ip("192.0.2.1")).unwrap();
            let mut pace = Pace::of(&admitted, start);
            for _ in 0..3 {
                assert_eq!(pace.next, start);
                pace.spend(&admitted, start);
            }
            admitted
        });
        assert_eq!(admitted.collect::<Vec<_>>().len(), 1024);
    }

    #[test]
    fn a_prefix_has_a_frame_a_second_per_connection_however_its_strangers_come_and_go() {
        let admission = admission(10_000, 1000);
        let start = admission.epoch;
        let frames = |ip: &str, now: Instant| {
            let of_each = || {
                let admitted = admission.admit(ip.parse().unwrap()).unwrap();
                let mut pace = Pace::of(&admitted, now);
                let frames = (0..40).take_while(|_| {
                    let may = pace.next == now;
                    pace.spend(&admitted, now);
                    may
                });
                frames.count()
            };
            (0..100).map(|_| of_each()).sum::<usize>()
        };
        // Those that come too early, which only this test has, are charged all the same.
        assert_eq!(frames("192.0.2.1", start), 3000);
        assert_eq!(frames("192.0.2.9", start), 0);
        assert_eq!(frames("192.0.3.1", start), 3000);
        let later = start + Duration::from_millis(500);
        assert!((250..=500).contains(&frames("192.0.2.7", later)));
    }
}
