//! Lines of the log about requests for credentials, without any secret: strangers cause refusals, so of
//! these there is one line in [`PERIOD`] at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::refusal::Refusal;
use super::tokens::Tokens;

/// A refusal, and the id of the token that it concerns, if it is one of ours: another may be a secret
/// that stands in its place by mistake.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) token: Option<String>,
    pub(super) reason: Refusal,
}

impl Refused {
    /// Of the token that a request names.
    pub(super) fn of(tokens: &Tokens, id: Option<&str>, reason: Refusal) -> Self {
        let token = id.filter(|id| tokens.know(id)).map(str::to_owned);
        Self { token, reason }
    }
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Self {
            token: None,
            reason,
        }
    }
}

/// Says what is refused.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Thinned>);

impl Refusals {
    pub(super) fn say(&self, Refused { token, reason }: &Refused) {
        let mut thinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(silent) = thinned.may_log(Instant::now()) else {
            return;
        };
        drop(thinned);
        let silent = (silent > 0).then_some(silent);
        let reason = reason.name();
        info!(token, reason, silent, "credentials.refused");
    }
}

/// Says that a credential was made.
pub(super) fn made(token: &str, user: &str, lifetime: Duration) {
    debug!(
        token,
        user,
        seconds = lifetime.as_secs(),
        "credentials.made"
    );
}

/// One line, and how many were left out since the one before.
#[derive(Debug, Default)]
struct Thinned {
    last: Option<Instant>,
    silent: u64,
}

impl Thinned {
    fn may_log(&mut self, now: Instant) -> Option<u64> {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        if since.is_some_and(|since| since < PERIOD) {
            self.silent += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

const PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refusals_one_in_five_seconds_is_said_and_the_others_are_counted() {
        let (mut thinned, start) = (Thinned::default(), Instant::now());
        let mut at = |second| thinned.may_log(start + Duration::from_secs(second));
        assert_eq!([at(0), at(1), at(4)], [Some(0), None, None]);
        assert_eq!([at(5), at(9), at(60)], [Some(2), None, Some(1)]);
    }
}
