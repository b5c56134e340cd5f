//! How good allocations were, by leg: three histograms, each allocation counted at its end.

use std::sync::atomic::{AtomicU64, Ordering};

use relay::{Leg, Quality, Report};

/// The quality of the allocations that have ended. Shards count, the control side reads; nobody
/// waits.
#[derive(Debug, Default)]
pub struct Qualities {
    client: Measures,
    peer: Measures,
}

/// The measures of one leg.
#[derive(Debug, Default)]
struct Measures {
    round_trip: Histogram<{ SECONDS.len() }>,
    loss: Histogram<{ SHARES.len() }>,
    jitter: Histogram<{ SECONDS.len() }>,
}

/// How many values were not above each bound, all of them, and their sum.
#[derive(Debug)]
struct Histogram<const N: usize> {
    /// Of those not above a bound and above the one before.
    counts: [AtomicU64; N],
    beyond: AtomicU64,
    /// In millionths.
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Each upper bound, and how many values were above the one before and not above it.
    pub counts: Vec<(f64, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

/// All of them at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualitySample {
    /// Of the legs to clients.
    pub client: LegSample,
    /// Of the legs to peers.
    pub peer: LegSample,
}

/// The measures of one leg at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegSample {
    /// Round trips, in seconds.
    pub round_trip: Buckets,
    /// Shares of lost packets over the whole life, from 0 to 1.
    pub loss: Buckets,
    /// Jitter, in seconds.
    pub jitter: Buckets,
}

impl Qualities {
    /// Counts an allocation, if that is what a report says the end of.
    pub fn count_end(&self, report: &Report) {
        if let Report::Ended {
            quality: Some(quality),
            ..
        } = report
        {
            self.count(quality);
        }
    }

    /// Counts an allocation that has ended. A measure that is not known is not counted.
    fn count(&self, quality: &Quality) {
        let Quality { client, peer } = quality;
        for (measures, leg) in [(&self.client, client), (&self.peer, peer)] {
            measures.count(leg);
        }
    }

    /// The histograms now.
    pub fn sample(&self) -> QualitySample {
        QualitySample {
            client: self.client.sample(),
            peer: self.peer.sample(),
        }
    }
}

impl Measures {
    fn count(&self, leg: &Leg) {
        if let Some(round_trip) = leg.round_trip {
            self.round_trip.count(&SECONDS, round_trip.as_secs_f64());
        }
        if let Some(share) = leg.whole.share() {
            self.loss.count(&SHARES, share);
        }
        if let Some(jitter) = leg.jitter {
            self.jitter.count(&SECONDS, jitter.as_secs_f64());
        }
    }

    fn sample(&self) -> LegSample {
        LegSample {
            round_trip: self.round_trip.sample(&SECONDS),
            loss: self.loss.sample(&SHARES),
            jitter: self.jitter.sample(&SECONDS),
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn count(&self, bounds: &[f64; N], value: f64) {
        let place = bounds.iter().position(|bound| value <= *bound);
        let count = place.map_or(&self.beyond, |place| &self.counts[place]);
        count.fetch_add(1, Ordering::Relaxed);
        // No value is negative, and the conversion saturates.
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    fn sample(&self, bounds: &[f64; N]) -> Buckets {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = bounds.iter().copied().zip(self.counts.iter().map(read));
        let beyond = (f64::MAX, read(&self.beyond));
        Buckets {
            counts: counts.chain([beyond]).collect(),
            sum: read(&self.sum) as f64 / 1e6,
        }
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

/// Bounds of round trips and jitter: from a network at hand to one that nobody talks over.
const SECONDS: [f64; 11] = [
    0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0,
];
/// Bounds of loss: speech suffers from a hundredth on, and breaks off at a tenth.
const SHARES: [f64; 9] = [0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay::Loss;

    use super::*;

    #[test]
    fn each_measure_that_is_known_is_counted_where_it_belongs() {
        let leg = Leg {
            round_trip: Some(Duration::from_millis(60)),
            whole: Loss {
                expected: 1000,
                lost: 500,
            },
            ..Leg::default()
        };
        let qualities = Qualities::default();
        for _ in 0..2 {
            qualities.count(&Quality {
                client: Leg::default(),
                peer: leg,
            });
        }
        let QualitySample { client, peer } = qualities.sample();
        let counted = |buckets: &Buckets| {
            let counts = buckets.counts.iter().filter(|(_, count)| *count > 0);
            counts.copied().collect::<Vec<_>>()
        };
        assert_eq!(counted(&peer.round_trip), [(0.1, 2)]);
        assert!((peer.round_trip.sum - 0.12).abs() < 1e-9);
        assert_eq!(counted(&peer.loss), [(f64::MAX, 2)]);
        for none in [
            &peer.jitter,
            &client.round_trip,
            &client.loss,
            &client.jitter,
        ] {
            assert_eq!((counted(none), none.sum), (vec![], 0.0));
        }
    }
}
