//! The virtual network: the packets under way, and when each arrives.
//!
//! Chance decides a packet's fate when it is sent, and the fate is stored with the packet: a run
//! that is repeated without some of its packets treats the others as before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::choices::Choices;

/// The fate of one packet and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// After how long each copy arrives: none if it is lost, two if it is doubled.
    pub(crate) there: Vec<Duration>,
    /// After how long the answer arrives, if it does.
    pub(crate) back: Option<Duration>,
}

impl Fate {
    /// It arrives at once, and so does its answer.
    pub(crate) fn calm() -> Self {
        Self {
            there: vec![Duration::ZERO],
            back: Some(Duration::ZERO),
        }
    }

    /// Most packets arrive once and soon; some late, and so behind others, some twice, some never.
    pub(crate) fn rough(choices: &mut Choices<'_>) -> Self {
        let there = match choices.below(16) {
            0..=12 => vec![latency(choices)],
            13 | 14 => vec![latency(choices), latency(choices)],
            _ => vec![],
        };
        let back = (!choices.rarely(12)).then(|| latency(choices));
        Self { there, back }
    }

    /// The fate on a stream: once, and not before earlier packets.
    pub(crate) fn in_order(mut self) -> Self {
        self.there.truncate(1);
        if self.there.is_empty() {
            self.there.push(Duration::ZERO);
        }
        self.back = self.back.or(Some(Duration::ZERO));
        self
    }
}

fn latency(choices: &mut Choices<'_>) -> Duration {
    match choices.below(8) {
        0..=3 => Duration::ZERO,
        4..=6 => Duration::from_millis(u64::from(choices.byte())),
        // Longer than a client waits before it asks again. RFC 8489 §6.2.1.
        _ => Duration::from_millis(u64::from(choices.byte()) * 20),
    }
}

/// The packets under way, in the order in which they arrive.
#[derive(Debug)]
pub(crate) struct Network<T> {
    under_way: BTreeMap<(Duration, u64), T>,
    sent: u64,
}

impl<T> Network<T> {
    pub(crate) const fn new() -> Self {
        Self {
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Sends a packet that will arrive at this time.
    pub(crate) fn send(&mut self, arrival: Duration, parcel: T) {
        self.sent += 1;
        self.under_way.insert((arrival, self.sent), parcel);
    }

    /// The next packet to arrive by `end`, and when.
    pub(crate) fn arrive(&mut self, end: Duration) -> Option<(Duration, T)> {
        let entry = self.under_way.first_entry()?;
        if entry.key().0 > end {
            return None;
        }
        let ((arrival, _), parcel) = entry.remove_entry();
        Some((arrival, parcel))
    }
}
