//! The highest rate at which next to nothing is lost.

use std::time::Duration;

use crate::measured::Measured;
use crate::{Fault, Plan, Progress, data};

/// The highest rate that is kept; the plan's time is shared by the steps.
pub(crate) fn run(plan: &Plan, told: &mut dyn FnMut(Progress)) -> Result<Measured, Fault> {
    let step = Plan {
        duration: (plan.duration / STEPS).max(SHORTEST),
        ..plan.clone()
    };
    search(|rate| data::measure(&step, Some(rate), told))
}

/// Doubles the rate until too much is lost, and then halves the gap. The best step is the result. A rate that was not kept
/// is tried again: a host that stands still for some milliseconds spoils one step at any rate, a rate that is too high
/// spoils all of them.
fn search(mut once: impl FnMut(f64) -> Result<Measured, Fault>) -> Result<Measured, Fault> {
    let mut measure = |rate: f64| {
        let mut found = once(rate)?;
        for _ in 1..TRIES {
            if is_good(&found) {
                break;
            }
            found = once(rate)?;
        }
        Ok::<_, Fault>(found)
    };
    let mut rate = FIRST;
    let mut best = measure(rate)?;
    if !is_good(&best) {
        return Ok(best);
    }
    let mut worst = f64::INFINITY;
    for _ in 1..STEPS {
        let next = if worst.is_finite() {
            f64::midpoint(rate, worst)
        } else {
            rate * 2.0
        };
        if next / rate < 1.02 {
            break;
        }
        let found = measure(next)?;
        if is_good(&found) {
            (rate, best) = (next, found);
        } else {
            worst = next;
        }
    }
    Ok(best)
}

/// Whether a rate was kept, by the generator and by the server.
fn is_good(measured: &Measured) -> bool {
    let is_late = |remark: &crate::Remark| matches!(remark, crate::Remark::SentLate(_));
    measured.packets.loss() <= MOST_LOSS && !measured.remarks.iter().any(is_late)
}

/// One packet in 200.
const MOST_LOSS: f64 = 0.005;
/// The rate of the first step, in packets a second.
const FIRST: f64 = 2_000.0;
const STEPS: u32 = 16;
const TRIES: u32 = 3;
const SHORTEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remark;
    use crate::measured::Packets;

    /// A step in which so many of a thousand packets were lost.
    fn step(rate: f64, lost: u64, remarks: Vec<Remark>) -> Measured {
        let packets = Packets {
            sent: 1_000,
            received: 1_000 - lost,
            ..Packets::default()
        };
        Measured {
            seconds: rate,
            packets,
            latency: None,
            cost: None,
            remarks,
        }
    }

    /// The rate that is found on a host that loses every tenth packet above 70,000 a second, and is late in these steps.
    fn found(late: &[usize]) -> f64 {
        let mut steps = 0;
        let found = search(|rate| {
            steps += 1;
            let remarks = late.contains(&steps).then_some(Remark::SentLate(0.02));
            let lost = if rate > 70_000.0 { 100 } else { 0 };
            Ok(step(rate, lost, remarks.into_iter().collect()))
        });
        found.unwrap().seconds
    }

    #[test]
    fn the_highest_rate_is_found_within_two_hundredths() {
        assert!((68_600.0..=70_000.0).contains(&found(&[])));
    }

    #[test]
    fn a_host_that_stands_still_in_a_step_or_two_does_not_end_the_search() {
        assert!((68_600.0..=70_000.0).contains(&found(&[1, 4, 5, 12])));
    }

    #[test]
    fn where_even_the_first_rate_is_not_kept_that_is_told() {
        assert!((found(&[1, 2, 3]) - FIRST).abs() < 1.0);
    }
}
