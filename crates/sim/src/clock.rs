//! The clock of a world.

use std::time::{Duration, Instant};

use relay::Now;

/// A clock that stands until it is moved. It begins at the same second of Unix time in every run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    elapsed: Duration,
}

impl Clock {
    /// A clock at its beginning. The machine's clock is read here, once, because there is no other
    /// way to get an [`Instant`]; its value does not matter.
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    /// The time now.
    pub fn now(&self) -> Now {
        Now {
            mono: self.base + self.elapsed,
            unix: START + self.elapsed,
        }
    }

    /// Moves on to an instant, never back.
    pub fn advance_to(&mut self, instant: Instant) {
        let elapsed = instant.saturating_duration_since(self.base);
        self.elapsed = self.elapsed.max(elapsed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Some day in 2027.
const START: Duration = Duration::from_secs(1_800_000_000);
