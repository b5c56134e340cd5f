//! The data of one TCP allocation, over all its connections and in whatever shard they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::bandwidth::Meter;
use crate::{Server, Traffic, Way};

/// Counts and limits the data of a TCP allocation. The caller asks it before it reads from one end
/// of a connection, and tells it what it has read.
#[derive(Clone, Debug, Default)]
pub struct Passage(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sent: Count,
    received: Count,
    /// How fast data may pass; `None` if that is without limit.
    meter: ArcSwapOption<Meter>,
}

#[derive(Debug, Default)]
struct Count {
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl Passage {
    /// A passage on which so much has passed.
    pub(crate) fn with(sent: Traffic, received: Traffic) -> Self {
        let count = |traffic: Traffic| Count {
            reads: traffic.packets.into(),
            bytes: traffic.bytes.into(),
        };
        Self(Arc::new(Inner {
            sent: count(sent),
            received: count(received),
            meter: ArcSwapOption::empty(),
        }))
    }

    /// The data that has passed; of a stream each read counts as a packet.
    pub(crate) fn traffic(&self, way: Way) -> Traffic {
        let count = self.count(way);
        Traffic {
            packets: count.reads.load(Ordering::Relaxed),
            bytes: count.bytes.load(Ordering::Relaxed),
        }
    }

    /// The limits.
    pub(crate) fn meter(&self) -> Option<Arc<Meter>> {
        self.0.meter.load_full()
    }

    /// From now on these are the limits.
    pub(crate) fn limit(&self, meter: Option<Box<Meter>>) {
        self.0.meter.store(meter.map(Arc::from));
    }

    fn count(&self, way: Way) -> &Count {
        match way {
            Way::Out => &self.0.sent,
            Way::In => &self.0.received,
        }
    }
}

impl Server {
    /// Whether up to `most` bytes, at most 65,507, may be read now to be passed on. A stream loses
    /// nothing: what may not pass yet is not read yet.
    ///
    /// # Errors
    /// When to ask again.
    pub fn may_pass(
        &self,
        now: Instant,
        passage: &Passage,
        way: Way,
        most: usize,
    ) -> Result<(), Instant> {
        let meter = passage.0.meter.load();
        let Some(meter) = &*meter else {
            return Ok(());
        };
        match meter.wait(self.shared.epoch.count(now), way, most) {
            0 => Ok(()),
            nanos => Err(now + Duration::from_nanos(nanos)),
        }
    }

    /// So many bytes were read to be passed on.
    pub fn note_passed(&mut self, now: Instant, passage: &Passage, way: Way, bytes: usize) {
        if let Some(meter) = &*passage.0.meter.load() {
            meter.charge(self.shared.epoch.count(now), way, bytes);
        }
        let count = passage.count(way);
        count.reads.fetch_add(1, Ordering::Relaxed);
        count.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        match way {
            Way::Out => self.counters.sent.count(bytes),
            Way::In => self.counters.received.count(bytes),
        }
    }
}
