//! When the next burst is to leave.

/// An even schedule, in nanoseconds since the load began.
pub(crate) struct Pace {
    /// Between two bursts; a fraction is kept, so that a million bursts end when they should.
    every: f64,
    bursts: u64,
}

impl Pace {
    /// Bursts of `burst` packets, `rate` packets a second.
    pub(crate) fn new(rate: f64, burst: usize) -> Self {
        Self {
            every: 1e9 * burst as f64 / rate,
            bursts: 0,
        }
    }

    /// When the next burst is to leave.
    pub(crate) fn due(&self) -> u64 {
        (self.every * self.bursts as f64) as u64
    }

    /// The burst was sent.
    pub(crate) const fn go_on(&mut self) {
        self.bursts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_exactly_over_a_million_bursts() {
        let mut pace = Pace::new(30_000.0, 8);
        for _ in 0..1_000_000 {
            pace.go_on();
        }
        let seconds = 8_000_000.0 / 30_000.0;
        assert!((pace.due() as f64 / 1e9 - seconds).abs() < 1e-6);
    }
}
