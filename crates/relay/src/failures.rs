//! A bound on guessing: how many failed proofs of identity one source prefix is answered.
//!
//! A guess is worth nothing without its answer. So a prefix is answered a minute's worth of failures
//! at once and then at the rate; what fails beyond is dropped without an answer, and over TCP the
//! connection ends. A request is held against the limit only after its integrity was found wrong: a
//! client that signs well is served whatever its neighbours behind the same NAT do. Not held against
//! it is what proves nothing about a password: a stale nonce, an expired credential, a realm that is
//! not ours.
//!
//! The names of a realm must not be told apart by the limit either, so an unknown user counts like
//! a wrong password.
//!
//! Over UDP failures can be forged in another's name. All that this does to the other is that its
//! own wrong passwords are not answered either.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use crate::ProcessSecret;
use crate::rate::{Cells, Epoch, SECOND, cost};

/// The failures of every source prefix, over all shards.
#[derive(Debug)]
pub(crate) struct Failures {
    epoch: Epoch,
    prefixes: Cells,
}

impl Failures {
    pub(crate) fn new(secret: &ProcessSecret) -> Self {
        Self {
            epoch: Epoch::default(),
            prefixes: Cells::new(secret, b"failed proofs", CELLS),
        }
    }

    /// Whether a failure of a client at this address is answered; charges it if so. `None` is
    /// without limit.
    pub(crate) fn admit(
        &self,
        per_minute: Option<NonZeroU32>,
        now: Instant,
        client: IpAddr,
    ) -> bool {
        let now = self.epoch.count(now);
        let latest = now.saturating_add(60 * SECOND);
        per_minute.is_none_or(|per_minute| {
            let each = cost(60, per_minute.into());
            self.prefixes.of(client).take_whole(now, latest, each)
        })
    }
}

/// 128 KiB. A cell is empty for a minute after a minute's worth of failures, and an attacker from
/// real addresses has few prefixes.
const CELLS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minutes_worth_is_answered_at_once_and_the_rest_at_the_rate() {
        let failures = Failures::new(&ProcessSecret([7; 32]));
        let start = sim::Clock::new().now().mono;
        let answered = |seconds, ip: &str| {
            let now = start + Duration::from_secs(seconds);
            let ip = ip.parse().unwrap();
            (0..1000)
                .take_while(|_| failures.admit(NonZeroU32::new(60), now, ip))
                .count()
        };
        assert_eq!(answered(0, "192.0.2.1"), 60);
        assert_eq!(answered(0, "192.0.2.255"), 0);
        assert_eq!(answered(0, "192.0.3.1"), 60);
        assert_eq!(answered(3, "192.0.2.1"), 3);
        assert_eq!(answered(3600, "192.0.2.1"), 60);
        assert!((0..1000).all(|_| failures.admit(None, start, "192.0.2.1".parse().unwrap())));
    }
}
