//! The last hour, as points that are five seconds apart.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use net::NetCounters;
use relay::Counters;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::look::per_second;
use super::moment::losses;

/// The server over some five seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// The end of them, in seconds since the Unix epoch.
    pub time: u64,
    /// Sessions at the end.
    pub sessions: u32,
    /// Data from clients to peers, in bits per second.
    pub sent: f64,
    /// Data from peers to clients, in bits per second.
    pub received: f64,
    /// Sessions opened, in a second.
    pub opened: f64,
    /// Requests refused, in a second, without challenges and redirections.
    pub refused: f64,
    /// Packets dropped and lost, in a second, for whatever cause.
    pub dropped: f64,
}

/// The points, and the counters at the last of them.
#[derive(Debug, Default)]
pub(super) struct Instants {
    points: VecDeque<Point>,
    last: Option<(SystemTime, Totals)>,
}

#[derive(Clone, Copy, Debug)]
struct Totals {
    sent: u64,
    received: u64,
    opened: u64,
    refused: u64,
    dropped: u64,
}

impl Instants {
    /// Adds the counters of this moment. The oldest point is forgotten after an hour.
    pub(super) fn add(
        &mut self,
        now: SystemTime,
        relay: &Counters,
        net: &NetCounters,
        sessions: u32,
    ) {
        let dropped = relay::DropReason::ALL.iter().map(|&it| relay.dropped(it));
        let lost = losses(net).map(|(_, count)| count);
        let totals = Totals {
            sent: relay.sent.bytes,
            received: relay.received.bytes,
            opened: relay.opened(),
            refused: relay.refused(),
            dropped: dropped.chain(lost).sum(),
        };
        if let Some((then, last)) = self.last.replace((now, totals)) {
            // None of a clock that was set back.
            let Ok(passed) = now.duration_since(then) else {
                return;
            };
            let rate =
                |of: fn(&Totals) -> u64| per_second(of(&totals).saturating_sub(of(&last)), passed);
            if self.points.len() == POINTS {
                self.points.pop_front();
            }
            self.points.push_back(Point {
                time: seconds(now),
                sessions,
                sent: rate(|it| it.sent) * 8.0,
                received: rate(|it| it.received) * 8.0,
                opened: rate(|it| it.opened),
                refused: rate(|it| it.refused),
                dropped: rate(|it| it.dropped),
            });
        }
    }

    /// The points that are younger than this one, by its time; the oldest first.
    pub(super) fn after(&self, time: u64) -> Vec<Point> {
        let younger = self.points.iter().rev().take_while(|it| it.time > time);
        let mut younger: Vec<Point> = younger.copied().collect();
        younger.reverse();
        younger
    }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// An hour of them.
const POINTS: usize = 720;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn relayed(bytes: u64) -> Counters {
        let mut counters = Counters::default();
        counters.sent.bytes = bytes;
        counters
    }

    #[test]
    fn a_point_has_what_was_done_in_a_second_since_the_one_before() {
        let mut instants = Instants::default();
        let start = UNIX_EPOCH + Duration::from_secs(1000);
        let net = NetCounters {
            receive_overflow: 10,
            // Not a loss.
            handshakes: 99,
            ..NetCounters::default()
        };
        instants.add(start, &relayed(500), &NetCounters::default(), 1);
        assert!(instants.after(0).is_empty());
        instants.add(start + Duration::from_secs(5), &relayed(1125), &net, 2);
        let [point] = instants.after(0)[..] else {
            panic!("one point in {instants:?}");
        };
        assert_eq!((point.time, point.sessions), (1005, 2));
        assert_eq!((point.sent, point.received), (1000.0, 0.0));
        assert_eq!(point.dropped, 2.0);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut instants = Instants::default();
        for at in 0..=1000 {
            let now = UNIX_EPOCH + Duration::from_secs(at * 5);
            instants.add(now, &relayed(at), &NetCounters::default(), 0);
        }
        let points = instants.after(0);
        assert_eq!(points.len(), 720);
        assert_eq!(points[719].time - points[0].time, 3595);
        assert_eq!(instants.after(4990), points[718..]);
        // A clock that is set back makes no point, and no panic.
        instants.add(UNIX_EPOCH, &relayed(0), &NetCounters::default(), 0);
        assert_eq!(instants.after(0).len(), 720);
    }
}
