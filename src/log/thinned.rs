//! A bound on how often the same is logged: strangers and users decide how often things happen, but
//! not how long the log becomes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines by a name that they have in common: a cause, a user.
pub(crate) struct Thinned {
    /// How many lines may come at once.
    burst: u32,
    /// One more may come after each of these.
    interval: Duration,
    lines: Mutex<BTreeMap<String, Lines>>,
}

struct Lines {
    /// When all lines are earned that were logged.
    earned: Instant,
    /// How many were not logged since the last one that was.
    silent: u64,
}

impl Thinned {
    pub(crate) const fn new(burst: u32, interval: Duration) -> Self {
        Self {
            burst,
            interval,
            lines: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether a line of this name is logged now, and how many were not since the last one.
    pub(crate) fn may_log(&self, name: &str, now: Instant) -> Option<u64> {
        let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NAMES && !all.contains_key(name) {
            all.retain(|_, lines| lines.earned > now);
            if all.len() >= NAMES {
                all.clear();
            }
        }
        let lines = all.entry(name.to_owned()).or_insert(Lines {
            earned: now,
            silent: 0,
        });
        let earned = lines.earned.max(now) + self.interval;
        if earned > now + self.interval * self.burst {
            lines.silent += 1;
            return None;
        }
        lines.earned = earned;
        Some(std::mem::take(&mut lines.silent))
    }
}

/// Names that are remembered. Of more, those are forgotten that were not logged lately, and at worst
/// all.
const NAMES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    #[test]
    fn a_storm_is_one_line_per_name_and_period() {
        let thinned = Thinned::new(1, PERIOD);
        let start = Instant::now();
        assert_eq!(thinned.may_log("bad-integrity", start), Some(0));
        for _ in 0..1000 {
            assert_eq!(thinned.may_log("bad-integrity", start), None);
        }
        assert_eq!(thinned.may_log("unknown-user", start), Some(0));
        assert_eq!(thinned.may_log("bad-integrity", start + PERIOD), Some(1000));
    }

    #[test]
    fn as_many_as_are_earned_come_at_once_and_the_next_says_how_many_did_not() {
        let thinned = Thinned::new(3, PERIOD);
        let start = Instant::now();
        let logged = (0..10).filter_map(|_| thinned.may_log("alice", start));
        assert_eq!(logged.collect::<Vec<_>>(), [0, 0, 0]);
        assert_eq!(thinned.may_log("alice", start + PERIOD), Some(7));
        assert_eq!(thinned.may_log("alice", start + PERIOD), None);
    }

    #[test]
    fn names_without_number_take_no_memory_without_end() {
        let thinned = Thinned::new(1, PERIOD);
        let start = Instant::now();
        for name in 0..3 * NAMES {
            thinned.may_log(&name.to_string(), start);
        }
        assert!(thinned.lines.lock().unwrap().len() <= NAMES);
    }
}
