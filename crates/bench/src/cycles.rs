//! Cycles a second: Allocate and Refresh to 0, or connections, done and undone again and again.
//!
//! Each cycle has a socket of its own, as each call of a client has: the first Allocate is challenged, and nothing is
//! left of the cycle before. A server may keep a 5-tuple for a while after its allocation was ended. coturn does for a
//! second, in which it answers every other Allocate with an unsigned 437; its client has to take that for a forgery and
//! goes on waiting. So over UDP the ports are taken in turn, and none again soon. If a server refuses one with a signed
//! 437 nevertheless, the client tries another one, as RFC 8656 §7.4 has it.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Failure, Retransmission};
use hdrhistogram::Histogram;

use crate::account::{Account, resident};
use crate::measured::{Cost, Generator, Latency, Measured, Packets, Remark};
use crate::pace::Pace;
use crate::session::Session;
use crate::{Fault, Mode, Plan, Progress, Rate, Transport};

/// One thread for each flow: it waits for the server most of the time.
pub(crate) fn run(plan: &Plan, told: &mut dyn FnMut(Progress)) -> Result<Measured, Fault> {
    let (counts, ports) = (Counts::default(), Ports::of_host());
    let flows = plan.flows.min(MOST_THREADS);
    thread::scope(|scope| {
        // At a given rate each thread keeps its share.
        let pace = match plan.rate {
            Rate::Even(rate) => Some(rate as f64 / flows as f64),
            Rate::Max | Rate::Ramp => None,
        };
        let begin = |_| {
            let pace = pace.map(|rate| Pace::new(rate, 1));
            let (counts, ports) = (&counts, &ports);
            scope.spawn(move || turn(plan, pace, counts, ports))
        };
        let threads: Vec<_> = (0..flows).map(begin).collect();
        let wait = |time: Duration, told: &mut dyn FnMut(Progress)| {
            let until = Instant::now() + time;
            while Instant::now() < until && !counts.is_over.load(Ordering::Relaxed) {
                thread::sleep(TELL);
                told(counts.progress());
            }
        };
        wait(plan.duration / 10, told);
        let read = || Account::read(plan.pid).map(|account| (account, counts.progress()));
        let before = read();
        wait(plan.duration, told);
        let after = read();
        counts.is_over.store(true, Ordering::Relaxed);

        let mut latency: Option<Histogram<u64>> = None;
        for thread in threads {
            let own = thread.join().map_err(|_| Fault::Thread)??;
            match &mut latency {
                None => latency = Some(own),
                // All have the same range.
                Some(all) => all.add(&own).unwrap_or_default(),
            }
        }
        let ((before, first), (after, last)) = (before?, after?);
        let spending = after.since(&before);
        let memory = plan.pid.map(resident).transpose()?.unwrap_or(0);
        let cycles = last.received - first.received;
        let generator = Generator::new(plan, flows, pace.is_none());
        let mut remarks = Remark::of(&spending, generator);
        remarks.extend(counts.asked_again());
        Ok(Measured {
            seconds: spending.elapsed.as_secs_f64(),
            packets: Packets {
                sent: last.sent - first.sent,
                received: cycles,
                ..Packets::default()
            },
            latency: latency.as_ref().and_then(Latency::of),
            cost: Cost::of(&spending, cycles, memory),
            remarks,
        })
    })
}

/// The progress of all threads.
#[derive(Default)]
struct Counts {
    is_over: AtomicBool,
    done: AtomicU64,
    /// How often a server still knew a 5-tuple.
    refused: AtomicU64,
    /// Cycles that took as long as it takes until a request is sent again.
    slow: AtomicU64,
}

impl Counts {
    /// Cycles that were tried, and those that were done; one that has only begun is neither.
    fn progress(&self) -> Progress {
        let done = self.done.load(Ordering::Relaxed);
        Progress {
            sent: done + self.refused.load(Ordering::Relaxed),
            received: done,
        }
    }

    fn asked_again(&self) -> Option<Remark> {
        let slow = self.slow.load(Ordering::Relaxed);
        let share = slow as f64 / self.done.load(Ordering::Relaxed).max(1) as f64;
        (slow > 0).then_some(Remark::AskedAgain(share))
    }
}

/// Cycles of one client, until it is over; returns how long each took. The first that fails ends all.
fn turn(
    plan: &Plan,
    mut pace: Option<Pace>,
    counts: &Counts,
    ports: &Ports,
) -> Result<Histogram<u64>, Fault> {
    let mut latency = Histogram::new_with_max(60_000_000_000, 2).expect("both are in range");
    let begin = Instant::now();
    while !counts.is_over.load(Ordering::Relaxed) {
        let start = pace.as_mut().map_or_else(Instant::now, |pace| {
            let due = begin + Duration::from_nanos(pace.due());
            thread::sleep(due.saturating_duration_since(Instant::now()));
            pace.go_on();
            due
        });
        let begun = Instant::now();
        if let Err(fault) = cycle(plan, counts, ports) {
            counts.is_over.store(true, Ordering::Relaxed);
            return Err(fault);
        }
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        latency.saturating_record(took);
        // Nothing is sent again on a stream.
        if plan.transport == Transport::Udp && begun.elapsed() >= Retransmission::default().rto {
            counts.slow.fetch_add(1, Ordering::Relaxed);
        }
        counts.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latency)
}

/// A cycle, on as many sockets as it takes.
fn cycle(plan: &Plan, counts: &Counts, ports: &Ports) -> Result<(), Fault> {
    for _ in 1..MOST_PORTS {
        match once(plan, ports.take()) {
            Err(Fault::Refused { why, .. }) if is_mismatch(&why) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
            // Another program has it.
            Err(Fault::Connect { source, .. }) if source.kind() == ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    once(plan, ports.take())
}

/// A cycle on a new socket, which is closed then.
fn once(plan: &Plan, port: u16) -> Result<(), Fault> {
    let mut session = Session::open_at(plan, port)?;
    if plan.mode == Mode::Allocate {
        session.allocate(plan.server)?;
        session.refresh(Duration::ZERO)?;
    }
    Ok(())
}

/// Whether the server knows the 5-tuple already. RFC 8656 §7.2
const fn is_mismatch(why: &Failure) -> bool {
    matches!(why, Failure::Refused { code: 437, .. })
}

/// The ports that the host gives to clients, in turn.
struct Ports {
    first: u16,
    count: u64,
    next: AtomicU64,
}

impl Ports {
    fn of_host() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        Self::of(&range.unwrap_or_default(), rand::random())
    }

    /// Those of a range as the kernel writes it, from anywhere on, so that a load does not begin with the ports of the
    /// one before. ip(7)
    fn of(range: &str, from: u32) -> Self {
        let mut ends = range.split_whitespace().map(str::parse);
        let (first, last) = match (ends.next(), ends.next()) {
            (Some(Ok(first)), Some(Ok(last))) if first <= last => (first, last),
            _ => USUAL,
        };
        Self {
            first,
            count: u64::from(last - first) + 1,
            next: AtomicU64::new(u64::from(from)),
        }
    }

    fn take(&self) -> u16 {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.count;
        self.first + next as u16
    }
}

/// Linux has these unless it was told otherwise.
const USUAL: (u16, u16) = (32_768, 60_999);
/// More threads than this do not make a server busier.
const MOST_THREADS: usize = 256;
/// So many ports in a row are known only to a server that refuses all.
const MOST_PORTS: usize = 100;
const TELL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_the_range_has_its_turn_before_one_is_taken_again() {
        let ports = Ports::of("40000\t40002\n", 4);
        let taken: Vec<u16> = (0..4).map(|_| ports.take()).collect();
        assert_eq!(taken, [40_001, 40_002, 40_000, 40_001]);
        for unreadable in ["", "40000", "40002 40000", "all of them"] {
            let ports = Ports::of(unreadable, 0);
            assert_eq!((ports.take(), ports.count), (32_768, 28_232));
        }
        assert_eq!(Ports::of("0 65535", 0).count, 65_536);
    }
}
