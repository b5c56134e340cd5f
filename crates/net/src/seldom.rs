//! Log lines that strangers cause: each of a kind at most once a minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When a line of one kind was logged last, by any shard.
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether the line may be logged now. Nobody waits for another shard that asks the same.
    pub(crate) fn may_log(&self, now: Instant) -> bool {
        let Ok(mut last) = self.0.try_lock() else {
            return false;
        };
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= PERIOD);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_logged_once_a_minute() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        assert!(seldom.may_log(start));
        assert!(!seldom.may_log(start + PERIOD - Duration::from_secs(1)));
        assert!(seldom.may_log(start + PERIOD));
    }
}
