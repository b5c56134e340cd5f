//! The findings of a measurement.

use std::fmt;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::Plan;
use crate::account::Spending;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Packets, requests or cycles.
    pub packets: Packets,
    /// From when a packet was to be sent until it arrived, or from a request to its answer; `None` if nothing arrived.
    pub latency: Option<Latency>,
    /// The server's, if its process was named.
    pub cost: Option<Cost>,
    /// Doubts about these numbers.
    pub remarks: Vec<Remark>,
}

/// Packets that were sent, and their outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// Sent while it was measured.
    pub sent: u64,
    /// Of those, so many arrived.
    pub received: u64,
    /// Of those, so many came after a later one.
    pub late: u64,
    /// Packets that arrived again since the load began, or so late that they cannot be told from such. They are not
    /// among those that arrived, so that they hide no loss.
    pub duplicates: u64,
    /// Packets that came to another client or peer than they were sent to, from another peer, on another channel, or in
    /// another framing than its lane has, since the load began. They have not arrived.
    pub astray: u64,
    /// Packets that came with other bytes than they left with, since the load began. They have not arrived.
    pub damaged: u64,
}

/// A latency distribution, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// 90 of 100 are.
    pub p90: f64,
    /// 99 of 100 are.
    pub p99: f64,
    /// 999 of 1,000 are.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// From the fastest to the slowest, in steps of a factor of two.
    pub distribution: Vec<Step>,
}

/// Packets of about one latency.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// They took at most so many microseconds, and more than the step before.
    pub up_to: f64,
    /// How many.
    pub packets: u64,
}

/// The spending of the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Seconds of a processor for a million packets that arrived, or cycles.
    pub cpu_seconds_per_million: Option<f64>,
    /// The share of that which is the program's own, and not the kernel's.
    pub user_share: f64,
    /// How much of a processor it used: 1 is one processor.
    pub processors: f64,
    /// Its memory while the load was on, in bytes.
    pub resident: u64,
    /// How much of that each allocation took, in bytes; only where they were held.
    pub per_allocation: Option<f64>,
}

/// A doubt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// The generator used all of its processors and the server did not: it could do more.
    GeneratorWasTheLimit,
    /// The generator used all of its processors, and nobody knows what the server did.
    GeneratorWasFull,
    /// The process that was named used no processor time.
    ServerWasIdle,
    /// This share of the bursts left more than a millisecond late.
    SentLate(f64),
    /// Other programs used so much of a processor.
    Disturbed(f64),
    /// The host of this machine gave so much of a processor to others.
    Stolen(f64),
    /// This share of the cycles had no answer to a request in the time after which it is sent again (RFC 8489 §6.2.1).
    AskedAgain(f64),
    /// The operating system lost packets of the generator itself, or the server lost them: this share did not arrive.
    Lost(f64),
}

impl Packets {
    /// The share that did not arrive.
    pub fn loss(&self) -> f64 {
        let lost = self.sent.saturating_sub(self.received);
        lost as f64 / self.sent.max(1) as f64
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.astray += other.astray;
        self.damaged += other.damaged;
    }
}

impl Latency {
    /// Of a histogram in nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
            distribution: distribution(histogram),
        })
    }
}

fn distribution(histogram: &Histogram<u64>) -> Vec<Step> {
    // From a microsecond on.
    let steps = histogram.iter_log(1_000, 2.0).map(|step| Step {
        up_to: step.value_iterated_to() as f64 / 1e3,
        packets: step.count_since_last_iteration(),
    });
    steps.skip_while(|step| step.packets == 0).collect()
}

impl Cost {
    pub(crate) fn of(spending: &Spending, arrived: u64, resident: u64) -> Option<Self> {
        let (spent, user_share) = spending.server?;
        let seconds = spent.as_secs_f64();
        Some(Self {
            cpu_seconds_per_million: (arrived > 0).then(|| seconds / arrived as f64 * 1e6),
            user_share,
            processors: seconds / spending.elapsed.as_secs_f64(),
            resident,
            per_allocation: None,
        })
    }
}

/// The generator, as far as its accounts are judged by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    /// How many processors its threads can fill.
    processors: usize,
    /// Whether it sends as fast as it can. At a given rate it may use its processors up only to be on time, and
    /// [`Remark::SentLate`] says when it was not.
    is_pushing: bool,
    /// Whether the server is on another host, so that all other programs of this one disturb.
    is_alone: bool,
}

impl Generator {
    pub(crate) fn new(plan: &Plan, threads: usize, is_pushing: bool) -> Self {
        // Those that this process may use.
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            processors: threads.min(processors),
            is_pushing,
            is_alone: !plan.is_on_this_host(),
        }
    }
}

impl Remark {
    /// Doubts that the accounts raise.
    pub(crate) fn of(spending: &Spending, generator: Generator) -> Vec<Self> {
        let processors = |time: Duration| time.as_secs_f64() / spending.elapsed.as_secs_f64();
        let server = spending.server.map(|(time, _)| processors(time));
        let is_full = processors(spending.own) > 0.95 * generator.processors as f64;
        let is_server_full = server.is_some_and(|all| {
            processors(spending.busiest) >= 0.9 || all >= 0.9 * spending.allowed as f64
        });
        let limit = match server {
            Some(_) if !is_server_full => Some(Self::GeneratorWasTheLimit),
            Some(_) => None,
            None => Some(Self::GeneratorWasFull),
        };
        let limit = limit.filter(|_| is_full && generator.is_pushing);
        let idle = server.filter(|server| *server < 0.001);
        // A server that is on this host and not named is one of the others.
        let are_others = server.is_some() || generator.is_alone;
        let others = spending.others.filter(|it| *it > 0.05 && are_others);
        let stolen = spending.stolen.filter(|it| *it > 0.01);
        let remarks = [
            limit,
            idle.map(|_| Self::ServerWasIdle),
            others.map(Self::Disturbed),
            stolen.map(Self::Stolen),
        ];
        remarks.into_iter().flatten().collect()
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        match *self {
            Self::GeneratorWasTheLimit => f.write_str(
                "the load generator was the limit, and not the server: give it more processors (--threads), or fewer \
                 to the server",
            ),
            Self::GeneratorWasFull => f.write_str(
                "the load generator used all of its processors: it, and not the server, may have been the limit. On the \
                 server's host --pid tells; more processors (--threads) make the generator faster",
            ),
            Self::ServerWasIdle => f.write_str(
                "the process of --pid used no processor time: is it the server, and not a program that started it?",
            ),
            Self::SentLate(share) => write!(
                f,
                "{} of the bursts left more than 1 ms late: this host cannot keep up that rate, and latencies \
                 include the wait",
                percent(share)
            ),
            Self::Disturbed(share) => write!(
                f,
                "other programs used {} of a processor meanwhile: the machine was not quiet",
                percent(share)
            ),
            Self::Stolen(share) => write!(
                f,
                "the host of this virtual machine gave {} of a processor to others meanwhile",
                percent(share)
            ),
            Self::AskedAgain(share) => write!(
                f,
                "{} of the cycles had to send a request again: it or its answer was lost, or the server bounds what it \
                 answers strangers, as each new client is one (keys `per-prefix` and `total` in [unauthenticated] of \
                 Hairpin)",
                percent(share)
            ),
            Self::Lost(share) => write!(f, "{} of the packets did not arrive", percent(share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATOR: Generator = Generator {
        processors: 2,
        is_pushing: true,
        is_alone: false,
    };

    /// Two seconds in which the server used so much of a processor, and the generator so much.
    fn spending(server: Option<f64>, own: f64) -> Spending {
        Spending {
            elapsed: Duration::from_secs(2),
            server: server.map(|server| (Duration::from_secs_f64(2.0 * server), 0.5)),
            busiest: Duration::from_secs_f64(2.0 * server.unwrap_or(0.0)),
            allowed: 2,
            own: Duration::from_secs_f64(2.0 * own),
            others: Some(0.0),
            stolen: Some(0.0),
        }
    }

    #[test]
    fn the_generator_was_the_limit_where_its_processors_were_full_and_the_servers_was_not() {
        let said = |server, own| Remark::of(&spending(server, own), GENERATOR);
        assert_eq!(said(Some(0.8), 1.95), [Remark::GeneratorWasTheLimit]);
        assert_eq!(said(None, 1.95), [Remark::GeneratorWasFull]);
        assert_eq!(said(Some(0.95), 1.95), []);
        let of_four_threads = |allowed| Spending {
            busiest: Duration::from_secs(1),
            allowed,
            ..spending(Some(1.8), 1.95)
        };
        let of_them = |allowed| Remark::of(&of_four_threads(allowed), GENERATOR);
        assert_eq!(of_them(4), [Remark::GeneratorWasTheLimit], "none is full");
        assert_eq!(of_them(2), [], "they share two processors, which are");
        for server in [Some(0.8), None] {
            assert_eq!(said(server, 1.8), [], "there was time left");
            let paced = Generator {
                is_pushing: false,
                ..GENERATOR
            };
            let said = Remark::of(&spending(server, 1.95), paced);
            assert_eq!(said, [], "it only waits for the next packet");
        }
    }

    #[test]
    fn a_server_that_did_nothing_is_doubted() {
        let said = |server| Remark::of(&spending(Some(server), 0.5), GENERATOR);
        assert_eq!(said(0.0005), [Remark::ServerWasIdle]);
        assert_eq!(said(0.002), []);
    }

    #[test]
    fn a_machine_that_others_used_was_disturbed() {
        let disturbed = |server, is_alone, others, stolen| {
            let spending = Spending {
                others,
                stolen,
                ..spending(server, 0.5)
            };
            let generator = Generator {
                is_alone,
                ..GENERATOR
            };
            Remark::of(&spending, generator)
        };
        let said = disturbed(Some(0.9), false, Some(0.06), Some(0.02));
        assert_eq!(said, [Remark::Disturbed(0.06), Remark::Stolen(0.02)]);
        let quiet = disturbed(Some(0.9), false, Some(0.05), Some(0.01));
        assert_eq!(quiet, []);
        assert_eq!(disturbed(Some(0.9), false, None, None), []);
        // A server of this host that is not named may be what ran.
        assert_eq!(disturbed(None, false, Some(0.9), None), []);
        let far = disturbed(None, true, Some(0.9), None);
        assert_eq!(far, [Remark::Disturbed(0.9)]);
    }

    #[test]
    fn costs_are_of_what_arrived() {
        let spending = spending(Some(0.75), 0.5);
        let cost = Cost::of(&spending, 500_000, 4_096).unwrap();
        assert_eq!(cost.cpu_seconds_per_million, Some(3.0));
        assert_eq!((cost.processors, cost.user_share), (0.75, 0.5));
        assert_eq!(cost.resident, 4_096);
        let none = Cost::of(&spending, 0, 0).unwrap();
        assert_eq!(none.cpu_seconds_per_million, None);
    }
}
