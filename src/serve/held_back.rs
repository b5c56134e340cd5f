//! A word to the operator while answers to strangers are held back by the budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::DropReason;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::control::Control;

/// Looks at the counter of such answers, and says once that it grows.
pub(super) async fn say(control: Arc<Control>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held_back = HeldBack::default();
    loop {
        looks.tick().await;
        let (counters, _) = control.running.snapshot();
        if held_back.begins(counters.dropped(DropReason::OverBudget), Instant::now()) {
            warn!(
                "answers.held-back: strangers ask for more over UDP than they are answered, because \
                 many clients come at once or sources are forged. Clients with an allocation, and \
                 those over TCP, are served as ever (keys `per-prefix` and `total` in \
                 [unauthenticated])"
            );
        }
    }
}

/// The answers that were held back so far.
#[derive(Default)]
struct HeldBack {
    /// The counter at the last look.
    seen: u64,
    /// When it was last found to have grown.
    last: Option<Instant>,
}

impl HeldBack {
    /// Whether answers are held back that were not before.
    fn begins(&mut self, dropped: u64, now: Instant) -> bool {
        if dropped == std::mem::replace(&mut self.seen, dropped) {
            return false;
        }
        let before = self.last.replace(now);
        before.is_none_or(|last| now.saturating_duration_since(last) > QUIET)
    }
}

const LOOK: Duration = Duration::from_secs(1);
/// After so long without any, the next ones are another event.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_said_once_and_the_next_one_again() {
        let (mut held_back, start) = (HeldBack::default(), Instant::now());
        let mut begins =
            |dropped, second| held_back.begins(dropped, start + Duration::from_secs(second));
        assert!(!begins(0, 0));
        assert!(begins(5, 1));
        // It may pause for a while, and last for hours.
        assert!(!begins(5, 2) && !begins(6, 60) && !begins(7, 119));
        assert!((120..5000).all(|second| !begins(second, second)));
        assert!(!begins(4999, 5040));
        assert!(begins(5000, 5100));
    }
}
