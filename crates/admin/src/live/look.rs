//! One look at all sessions: each with what it did since the look before.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use relay::{AllocationId, Listed, Traffic};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment::Moment;
use crate::metrics::Sample;

/// All sessions at one moment.
#[derive(Debug)]
pub struct Look {
    /// The server as a whole.
    pub moment: Moment,
    /// The sessions, in no order.
    pub rows: Vec<Row>,
    /// Shards that did not answer in time: their sessions are missing.
    pub silent: Vec<usize>,
}

/// A session, and what it does.
#[derive(Debug)]
pub struct Row {
    /// The session.
    pub listed: Listed,
    /// Data from the client to peers.
    pub sent: Rate,
    /// Data from peers to the client.
    pub received: Rate,
}

/// Data in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// Bits in a second, without headers.
    pub bits: f64,
    /// Packets in a second.
    pub packets: f64,
}

impl Rate {
    /// From one count to the next.
    pub(super) fn between(before: Traffic, now: Traffic, passed: Duration) -> Self {
        Self {
            bits: per_second(now.bytes.saturating_sub(before.bytes), passed) * 8.0,
            packets: per_second(now.packets.saturating_sub(before.packets), passed),
        }
    }
}

impl std::ops::Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bits: self.bits + other.bits,
            packets: self.packets + other.packets,
        }
    }
}

/// The look before, from which rates are told.
#[derive(Debug, Default)]
pub(super) struct Before {
    sample: Option<(SystemTime, Sample)>,
    traffic: HashMap<AllocationId, [Traffic; 2]>,
}

impl Before {
    /// Whether there was no look yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.sample.is_none()
    }

    /// Looks, and keeps what the next look needs.
    pub(super) fn look(
        &mut self,
        now: SystemTime,
        sample: &Sample,
        listed: Vec<Listed>,
        silent: Vec<usize>,
    ) -> Look {
        let (then, last) = match &self.sample {
            Some((then, last)) => (*then, last),
            None => (now, sample),
        };
        let passed = now.duration_since(then).unwrap_or_default();
        let moment = Moment::between(last, sample, now, passed, &listed);
        let known = &self.traffic;
        let rows = listed.into_iter().map(|listed| {
            // A new one did all that it did since then. One that is older came from another shard with
            // what it had done, and has another id now.
            let is_new = listed.age <= passed;
            let [sent, received] = match known.get(&listed.id) {
                Some(before) => *before,
                None if is_new => [Traffic::default(); 2],
                None => [listed.sent, listed.received],
            };
            Row {
                sent: Rate::between(sent, listed.sent, passed),
                received: Rate::between(received, listed.received, passed),
                listed,
            }
        });
        let rows: Vec<Row> = rows.collect();
        let counted = rows.iter().map(|Row { listed, .. }| {
            let traffic = [listed.sent, listed.received];
            (listed.id, traffic)
        });
        self.traffic = counted.collect();
        self.sample = Some((now, sample.clone()));
        Look {
            moment,
            rows,
            silent,
        }
    }
}

/// So much in so long. Nothing is told of no time.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more digits than a floating point number has"
)]
pub(super) fn per_second(count: u64, passed: Duration) -> f64 {
    let passed = passed.as_secs_f64();
    if passed > 0.0 {
        // More digits would only be longer.
        (count as f64 / passed * 100.0).round() / 100.0
    } else {
        0.0
    }
}
