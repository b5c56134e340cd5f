//! A bound on how often refusals are logged: strangers decide how many refusals there are, but not
//! how long the log becomes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals by cause.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<&'static str, Cause>>);

struct Cause {
    /// When a refusal was last logged.
    logged: Instant,
    /// How many were not logged since then.
    silent: u64,
}

impl Refusals {
    /// Whether a refusal of this cause is logged now, and how many were not since the last one.
    pub(super) fn may_log(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(earlier) = causes.get_mut(cause) else {
            let first = Cause {
                logged: now,
                silent: 0,
            };
            causes.insert(cause, first);
            return Some(0);
        };
        if now.saturating_duration_since(earlier.logged) < PERIOD {
            earlier.silent += 1;
            return None;
        }
        earlier.logged = now;
        Some(std::mem::take(&mut earlier.silent))
    }
}

/// One line per cause in this time; the next one says how many there were.
const PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_refusals_is_one_line_per_cause_and_period() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.may_log("bad-integrity", start), Some(0));
        for _ in 0..1000 {
            assert_eq!(refusals.may_log("bad-integrity", start), None);
        }
        assert_eq!(refusals.may_log("unknown-user", start), Some(0));
        assert_eq!(
            refusals.may_log("bad-integrity", start + PERIOD),
            Some(1000)
        );
    }
}
