//! The figures of a measurement.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows::{Measure, Row};
use super::servers::Kind;
use crate::failure::Failure;

/// The findings of `hairpin bench --json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Found {
    seconds: f64,
    pub(super) packets: Packets,
    pub(super) latency: Option<Latency>,
    cost: Option<Cost>,
    remarks: Vec<Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
// A program of yesterday does not tell all of them.
#[serde(default)]
pub(super) struct Packets {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) astray: u64,
    pub(super) damaged: u64,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Cost {
    cpu_seconds_per_million: Option<f64>,
    user_share: f64,
    processors: f64,
    resident: u64,
    per_allocation: Option<f64>,
}

impl Found {
    pub(super) fn read(told: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Told {
            measured: Found,
        }
        serde_json::from_str::<Told>(told).map(|told| told.measured)
    }

    /// The number that is compared.
    pub(super) fn compared(&self, row: &Row) -> Option<f64> {
        let cost = self.cost?;
        match row.measure {
            Measure::Cost => cost.cpu_seconds_per_million,
            Measure::Memory => cost.per_allocation.map(|bytes| bytes / 1024.0),
        }
    }

    /// The same for a line of progress.
    pub(super) fn told(&self, row: &Row) -> String {
        let compared = self.compared(row);
        compared.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
    }

    /// Packets, answers or cycles a second.
    pub(super) fn rate(&self) -> f64 {
        self.packets.received as f64 / self.seconds
    }

    /// The share of packets that did not arrive.
    pub(super) fn loss(&self) -> f64 {
        let lost = self.packets.sent.saturating_sub(self.packets.received);
        lost as f64 / self.packets.sent.max(1) as f64
    }

    /// The share of the processor time that the kernel had no part in.
    pub(super) fn user_share(&self) -> Option<f64> {
        self.cost.map(|cost| cost.user_share)
    }

    /// How much of a processor the server used.
    pub(super) fn processors(&self) -> Option<f64> {
        self.cost.map(|cost| cost.processors)
    }

    /// The server's memory, in bytes.
    pub(super) fn resident(&self) -> Option<f64> {
        self.cost.map(|cost| cost.resident as f64)
    }

    /// The share of a processor that a remark of this name tells of; 1 if it has no number.
    pub(super) fn remark(&self, name: &str) -> Option<f64> {
        self.remarks.iter().find_map(|remark| {
            if remark == name {
                return Some(1.0);
            }
            remark.get(name)?.as_f64()
        })
    }
}

/// All measurements of a run.
#[derive(Default)]
pub(super) struct Results {
    found: Vec<(&'static str, Kind, Found)>,
    /// Failures, each with its reason.
    pub(super) failures: Vec<String>,
}

impl Results {
    pub(super) fn add(&mut self, row: &Row, kind: Kind, found: Found) {
        self.found.push((row.name, kind, found));
    }

    pub(super) fn fail(&mut self, row: &Row, kind: Kind, failure: &Failure) {
        self.failures
            .push(format!("{}, {kind}: {failure}", row.name));
    }

    /// Those of a row and a server, in the order of rounds.
    pub(super) fn of(&self, row: &Row, kind: Kind) -> impl Iterator<Item = &Found> {
        let its = self
            .found
            .iter()
            .filter(move |(name, its, _)| (*name, *its) == (row.name, kind));
        its.map(|(_, _, found)| found)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &Found> + Clone {
        self.found.iter().map(|(_, _, found)| found)
    }
}

/// The middle of some numbers, with the lowest and the highest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

impl Spread {
    /// `None` if there are none.
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let upper = *numbers.get(numbers.len() / 2)?;
        let lower = numbers[(numbers.len() - 1) / 2];
        Some(Self {
            median: f64::midpoint(lower, upper),
            lowest: *numbers.first()?,
            highest: *numbers.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied());
        let found = spread(&[9.0, 1.0, 5.0]).unwrap();
        assert_eq!((found.lowest, found.median, found.highest), (1.0, 5.0, 9.0));
        assert_eq!(spread(&[4.0, 2.0]).unwrap().median, 3.0);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn what_the_bench_tells_is_read_with_its_remarks() {
        let told = r#"{"mode": "up", "measured": {
            "seconds": 2.0, "packets": {"sent": 1000, "received": 900, "late": 0, "damaged": 0},
            "latency": {"p50": 10.0, "p90": 1.0, "p99": 20.0, "p999": 1.0, "max": 1.0, "distribution": []},
            "cost": {"cpu_seconds_per_million": 3.5, "user_share": 0.1, "processors": 0.9, "resident": 1024,
                     "per_allocation": null},
            "remarks": ["generator_was_the_limit", {"disturbed": 0.25}]}}"#;
        let found = Found::read(told).unwrap();
        assert_eq!(found.rate(), 450.0);
        assert_eq!(found.loss(), 0.1);
        assert_eq!(found.remark("generator_was_the_limit"), Some(1.0));
        assert_eq!(found.remark("disturbed"), Some(0.25));
        assert_eq!(found.remark("stolen"), None);
    }
}
