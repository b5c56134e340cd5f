//! Packets through lanes, for a while: threads send and receive, this one keeps the accounts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::account::{Account, resident};
use crate::end::Field;
use crate::measured::{Cost, Generator, Latency, Measured, Packets, Remark};
use crate::worker::{Bursts, Outcome, Seen, Times, Worker};
use crate::{Fault, Plan, Progress, Rate};

/// Prepares the flows and measures.
pub(crate) fn run(plan: &Plan, told: &mut dyn FnMut(Progress)) -> Result<Measured, Fault> {
    let rate = match plan.rate {
        Rate::Even(rate) => Some(rate as f64),
        Rate::Max | Rate::Ramp => None,
    };
    measure(plan, rate, told)
}

/// The same at a rate of its own, packets a second in all; `None` is as many as come back.
pub(crate) fn measure(
    plan: &Plan,
    rate: Option<f64>,
    told: &mut dyn FnMut(Progress),
) -> Result<Measured, Fault> {
    let threads = plan.threads.min(plan.flows);
    let is_pushing = rate.is_none();
    let mut fields = Vec::new();
    for share in shares(plan.flows, threads) {
        let first: usize = fields.iter().map(|it: &Field| it.lanes.len()).sum();
        fields.push(Field::prepare(plan, share, first as u32)?);
    }
    let lanes: usize = fields.iter().map(|it| it.lanes.len()).sum();
    let times = Times {
        start: Instant::now(),
        warm_up: (plan.duration / 10).max(SHORTEST_WARM_UP),
        measured: plan.duration,
    };
    let mut seen = Vec::new();
    let mut running = Vec::new();
    for field in fields.into_iter().filter(|it| !it.lanes.is_empty()) {
        let own = Arc::new(Seen::default());
        let rate = rate.map(|rate| rate * field.lanes.len() as f64 / lanes as f64);
        seen.push(Arc::clone(&own));
        let thread = thread::Builder::new().name("load".to_owned());
        let bursts = Bursts {
            length: plan.burst,
            together: plan.together && plan.burst > 1,
        };
        let thread = thread.spawn(move || Worker::new(field, bursts, rate, times, own)?.run());
        running.push(thread.map_err(Fault::host("start a thread"))?);
    }
    wait(times.start + times.warm_up, &seen, told);
    let (before, arrived_before) = (Account::read(plan.pid)?, sum(&seen).received);
    wait(times.start + times.warm_up + times.measured, &seen, told);
    let (after, arrived) = (Account::read(plan.pid)?, sum(&seen).received);
    let memory = plan.pid.map(resident).transpose()?.unwrap_or(0);
    let spending = after.since(&before);

    let mut found = Found::default();
    for thread in running {
        found.add(&thread.join().map_err(|_| Fault::Thread)??);
    }
    let generator = Generator::new(plan, threads, is_pushing);
    let mut remarks = Remark::of(&spending, generator);
    remarks.extend(found.remarks());
    Ok(Measured {
        seconds: times.measured.as_secs_f64(),
        packets: found.packets,
        latency: found.latency.as_ref().and_then(Latency::of),
        cost: Cost::of(&spending, arrived - arrived_before, memory),
        remarks,
    })
}

/// The findings of all threads together.
#[derive(Default)]
struct Found {
    packets: Packets,
    latency: Option<Histogram<u64>>,
    bursts: u64,
    late: u64,
}

impl Found {
    fn add(&mut self, own: &Outcome) {
        self.packets.add(&own.packets);
        self.bursts += own.bursts;
        self.late += own.late;
        match &mut self.latency {
            None => self.latency = Some(own.latency.clone()),
            // All have the same range.
            Some(all) => all.add(&own.latency).unwrap_or_default(),
        }
    }

    fn remarks(&self) -> impl Iterator<Item = Remark> + use<> {
        let late = self.late as f64 / self.bursts.max(1) as f64;
        let lost = self.packets.loss();
        let late = (late > 0.01).then_some(Remark::SentLate(late));
        let lost = (lost > 0.0).then_some(Remark::Lost(lost));
        late.into_iter().chain(lost)
    }
}

/// Waits, and tells of what is done meanwhile.
fn wait(until: Instant, seen: &[Arc<Seen>], told: &mut dyn FnMut(Progress)) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(TELL));
        told(sum(seen));
    }
}

fn sum(seen: &[Arc<Seen>]) -> Progress {
    let mut sum = Progress {
        sent: 0,
        received: 0,
    };
    for one in seen {
        sum.sent += one.sent.load(Ordering::Relaxed);
        sum.received += one.received.load(Ordering::Relaxed);
    }
    sum
}

/// The flows of each thread. Two of a pair stay together.
fn shares(flows: usize, threads: usize) -> impl Iterator<Item = usize> {
    let pairs = flows / 2;
    (0..threads).map(move |thread| {
        let own = pairs / threads + usize::from(thread < pairs % threads);
        2 * own + if thread + 1 == threads { flows % 2 } else { 0 }
    })
}

const SHORTEST_WARM_UP: Duration = Duration::from_millis(200);
const TELL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_one_thread_and_pairs_stay_together() {
        for (flows, threads) in [(1, 1), (10, 3), (7, 2), (100, 8)] {
            let shares: Vec<usize> = shares(flows, threads).collect();
            assert_eq!(shares.iter().sum::<usize>(), flows);
            assert!(shares[..threads - 1].iter().all(|share| share % 2 == 0));
        }
    }
}
