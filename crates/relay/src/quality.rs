//! The quality of a call as the relay can see it: round trips, loss, jitter and rate of either leg,
//! without any part in the media. RFC 3550, RFC 7983, RFC 8445.

mod arrivals;
mod round_trips;
mod sequence;
mod side;
mod tally;

use std::time::{Duration, Instant};

use crate::allocation::Allocation;
use crate::{AllocationId, Counters, Server, Way};

pub(crate) use tally::Tally;

/// The quality of an allocation's two legs. Each is told apart from the other: the same call may be
/// bad on one of them only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Between the client and this server.
    pub client: Leg,
    /// Between this server and the peers, all of them together.
    pub peer: Leg,
}

/// The quality of one leg. Loss, jitter and rate are those of the data that comes in on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// From this server to the far end and back: the time between a Binding request that is relayed
    /// to it and its answer, the median of the last five. `None` if none was seen in a minute.
    pub round_trip: Option<Duration>,
    /// The jitter of arrival of RTP (RFC 3550 §6.4.1): the largest of the streams that came lately.
    pub jitter: Option<Duration>,
    /// RTP packets of the last 10 to 20 seconds.
    pub recent: Loss,
    /// RTP packets since the allocation was opened.
    pub whole: Loss,
    /// RTP packets that came later than one that was sent after them, and are not lost.
    pub reordered: u64,
    /// Bits of data per second, lately.
    pub bitrate: u64,
    /// How many RTP streams came lately, each by its SSRC.
    pub streams: u32,
    /// The packets of data by what they are.
    pub contents: Contents,
    /// The measures that are beyond the thresholds.
    pub bad: Bad,
}

/// RTP packets that were expected by their sequence numbers, and those of them that did not come.
/// RFC 3550 appendix A.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets that were sent.
    pub expected: u64,
    /// Packets that did not come.
    pub lost: u64,
}

/// Packets of data by what they are. RFC 7983, RFC 9443.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// STUN: connectivity checks and consent.
    pub stun: u64,
    /// DTLS: handshakes, and data channels.
    pub dtls: u64,
    /// QUIC, as far as it can be told from TURN channels.
    pub quic: u64,
    /// RTP, encrypted or not.
    pub rtp: u64,
    /// RTCP, encrypted or not. RFC 5761.
    pub rtcp: u64,
    /// ChannelData of another TURN server, or QUIC with a short header: the first byte is in the
    /// range of both.
    pub turn: u64,
    /// Any other data.
    pub other: u64,
}

/// One RTP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Whether the client sends it; else a peer does.
    pub from_client: bool,
    /// Its synchronization source.
    pub ssrc: u32,
    /// The rate of its timestamps in Hz, if it was found out.
    pub clock: Option<u32>,
    /// Its packets.
    pub loss: Loss,
    /// Those that came late.
    pub reordered: u64,
    /// Its jitter.
    pub jitter: Option<Duration>,
    /// How long ago its last packet came, to about a second.
    pub silent: Duration,
}

/// The measures of a leg that are beyond the [`Thresholds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    /// [`Leg::recent`], or [`Leg::whole`] at the end.
    pub loss: bool,
    /// [`Leg::round_trip`].
    pub round_trip: bool,
    /// [`Leg::jitter`].
    pub jitter: bool,
}

/// A leg is bad from here on. A measure that is not known is not bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Packets lost, in thousandths of those expected.
    pub loss: u32,
    /// The round trip.
    pub round_trip: Duration,
    /// The jitter.
    pub jitter: Duration,
}

impl Quality {
    /// Whether either leg is bad.
    pub const fn is_bad(&self) -> bool {
        self.client.bad.is_any() || self.peer.bad.is_any()
    }
}

impl Thresholds {
    /// The measures of a leg with this loss that are beyond.
    fn judge(self, leg: &Leg, loss: Loss) -> Bad {
        let Loss { expected, lost } = loss;
        Bad {
            loss: expected >= ENOUGH && lost * 1000 > expected * u64::from(self.loss),
            round_trip: leg.round_trip.is_some_and(|it| it > self.round_trip),
            jitter: leg.jitter.is_some_and(|it| it > self.jitter),
        }
    }
}

impl Server {
    /// Counts with the data of an allocation from now on, if that is wanted.
    pub(crate) fn begin_tally(&mut self, now: Instant, id: AllocationId) {
        if self.rules.quality.is_none() {
            return;
        }
        if let Some(allocation) = self.allocations.get_mut(id)
            && allocation.tally.is_none()
            // Connections with peers are spliced elsewhere.
            && allocation.tcp.is_none()
        {
            allocation.tally = Some(Box::new(Tally::new(now)));
        }
    }

    /// Looks closely at data that passes, which most data needs not.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_closely(&mut self, now: Instant, id: AllocationId, way: Way, data: &[u8]) {
        let Some(thresholds) = self.rules.quality else {
            return;
        };
        let Some(allocation) = self.allocations.get_mut(id) else {
            return;
        };
        let bytes = allocation.traffic(way).bytes;
        let Some(tally) = &mut allocation.tally else {
            return;
        };
        if tally.look(now, way, bytes, data) {
            let [is_bad, was_bad] = tally.judge(now, way, thresholds);
            let count = self.counters.bad_mut(way);
            *count = count
                .wrapping_add(is_bad.into())
                .wrapping_sub(was_bad.into());
        }
    }

    /// An allocation is bad no more, as far as this shard counts it.
    pub(crate) fn pardon(counters: &mut Counters, allocation: &mut Allocation) {
        for way in allocation.tally.iter_mut().flat_map(|it| it.pardon()) {
            let count = counters.bad_mut(way);
            *count = count.wrapping_sub(1);
        }
    }

    /// Measures by other rules than before: if they have it so, no more.
    pub(crate) fn tally_again(&mut self) {
        let ids: Vec<AllocationId> = self.allocations.ids().collect();
        for id in ids {
            if let Some(allocation) = self.allocations.get_mut(id) {
                Self::pardon(&mut self.counters, allocation);
                if self.rules.quality.is_none() {
                    allocation.tally = None;
                }
            }
        }
    }

    /// The quality of an allocation, if it is measured.
    pub(crate) fn quality_of(&self, now: Instant, allocation: &Allocation) -> Option<Quality> {
        self.quality(now, allocation, false)
    }

    /// The same at its end: what was measured last counts, whenever that was.
    pub(crate) fn quality_at_end(&self, now: Instant, allocation: &Allocation) -> Option<Quality> {
        self.quality(now, allocation, true)
    }

    fn quality(&self, now: Instant, allocation: &Allocation, is_over: bool) -> Option<Quality> {
        let (tally, thresholds) = allocation.tally.as_ref().zip(self.rules.quality)?;
        let bytes = [Way::Out, Way::In].map(|way| allocation.traffic(way).bytes);
        Some(tally.quality(now, bytes, thresholds, is_over))
    }
}

impl Bad {
    /// Whether any measure is.
    pub const fn is_any(self) -> bool {
        self.loss || self.round_trip || self.jitter
    }
}

impl Loss {
    fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.lost += other.lost;
    }

    /// The share of packets that did not come, from 0 to 1; `None` if none was expected.
    pub fn share(self) -> Option<f64> {
        let Self { expected, lost } = self;
        (expected > 0).then(|| lost.min(expected) as f64 / expected as f64)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            loss: 30,
            round_trip: Duration::from_millis(300),
            jitter: Duration::from_millis(30),
        }
    }
}

/// Loss is judged where so many packets were expected: of fewer one would be too much.
const ENOUGH: u64 = 50;
