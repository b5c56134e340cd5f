//! Log lines that strangers cause: each of a kind at most once a minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When a line of one kind was logged last.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether the line may be logged now.
    pub(crate) fn may_log(&self) -> bool {
        let Ok(mut last) = self.0.lock() else {
            return false;
        };
        let now = Instant::now();
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
    fn a_line_is_not_logged_twice_within_a_minute() {
        let seldom = Seldom::default();
        assert!(seldom.may_log());
        assert!(!seldom.may_log());
    }
}
