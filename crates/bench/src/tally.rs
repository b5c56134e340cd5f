//! The counts of one thread: every packet that arrives is told to its lane.

use std::collections::VecDeque;
use std::ops::Range;

use hdrhistogram::Histogram;
use wire::{Class, Message, Method, TransactionId};

use crate::lane::{Arrival, Lane, Way};
use crate::measured::Packets;
use crate::packet::{Stamp, TRIAL};

/// Lanes with what was seen of them.
pub(crate) struct Tally {
    pub(crate) lanes: Vec<Lane>,
    /// Places of lanes that may send at once; only where they wait for what they have sent.
    pub(crate) ready: VecDeque<usize>,
    /// How many packets of a lane may be on their way.
    window: usize,
    burst: usize,
    /// Packets of this time count, in nanoseconds since the load began.
    counted: Range<u64>,
    pub(crate) packets: Packets,
    pub(crate) latency: Histogram<u64>,
    /// All packets since the load began, counted or not.
    pub(crate) all: Packets,
}

impl Tally {
    pub(crate) fn new(lanes: Vec<Lane>, burst: usize, counted: Range<u64>) -> Self {
        Self {
            ready: (0..lanes.len()).collect(),
            lanes,
            window: 2 * burst,
            burst,
            counted,
            packets: Packets::default(),
            // Two digits, up to a minute: a few dozen kilobytes.
            latency: Histogram::new_with_max(60_000_000_000, 2).expect("both are in range"),
            all: Packets::default(),
        }
    }

    /// Whether a lane may send a burst although its last has not arrived.
    pub(crate) fn has_room(&self, place: usize) -> bool {
        self.lanes[place].in_flight + self.burst <= self.window
    }

    /// Packets of a lane have left.
    pub(crate) fn sent(&mut self, place: usize, count: usize, nanos: u64, now: u64) {
        let lane = &mut self.lanes[place];
        lane.leave(count, nanos);
        lane.moved = now;
        self.all.sent += count as u64;
        if self.counted.contains(&nanos) {
            self.packets.sent += count as u64;
        }
    }

    /// Takes a payload that came to this end in this way.
    pub(crate) fn data(&mut self, end: usize, way: Way, payload: &[u8], now: u64) {
        let Some((stamp, filler)) = Stamp::read(payload) else {
            self.damaged();
            return;
        };
        if stamp.lane == TRIAL {
            // It was sent before the load began, more than once.
            return;
        }
        let Some(place) = self.place(stamp.lane) else {
            self.damaged();
            return;
        };
        let arrival = self.lanes[place].arrive(stamp, filler, end, way);
        self.arrived(place, arrival, now);
    }

    /// Takes the answer to a Binding request that came to this end.
    pub(crate) fn answer(&mut self, end: usize, message: &[u8], now: u64) {
        let is_answer = |message: &Message<'_>| {
            message.method() == Method::Binding && message.class() == Class::Success
        };
        let message = Message::parse(message).ok().filter(is_answer);
        let Some((lane, number)) = message.map(|message| read_id(message.transaction())) else {
            self.damaged();
            return;
        };
        let Some(place) = self.place(lane) else {
            self.damaged();
            return;
        };
        let arrival = self.lanes[place].answered(number, end);
        self.arrived(place, arrival, now);
    }

    /// Forgets what is lost: a lane that has not moved since `before` may send again.
    pub(crate) fn give_up(&mut self, before: u64) {
        for place in 0..self.lanes.len() {
            let lane = &mut self.lanes[place];
            if lane.in_flight > 0 && lane.moved < before {
                let could_send = lane.in_flight + self.burst <= self.window;
                lane.in_flight = 0;
                if !could_send {
                    self.ready.push_back(place);
                }
            }
        }
    }

    fn arrived(&mut self, place: usize, arrival: Arrival, now: u64) {
        let (stamp, is_late) = match arrival {
            Arrival::Whole(stamp) => (stamp, false),
            Arrival::Late(stamp) => (stamp, true),
            Arrival::Again => {
                self.packets.duplicates += 1;
                return;
            }
            Arrival::Astray => {
                self.packets.astray += 1;
                return;
            }
            Arrival::Damaged => return self.damaged(),
        };
        self.lanes[place].moved = now;
        // It became less by one: the lane is ready from the very packet on that makes room.
        if self.lanes[place].in_flight + self.burst == self.window {
            self.ready.push_back(place);
        }
        self.all.received += 1;
        if self.counted.contains(&stamp.nanos) {
            self.packets.received += 1;
            self.packets.late += u64::from(is_late);
            self.latency
                .saturating_record(now.saturating_sub(stamp.nanos));
        }
    }

    /// Takes bytes that are none of ours.
    pub(crate) const fn damaged(&mut self) {
        self.packets.damaged += 1;
    }

    fn place(&self, lane: u32) -> Option<usize> {
        let first = self.lanes.first()?.id;
        let place = lane.checked_sub(first)? as usize;
        (place < self.lanes.len()).then_some(place)
    }
}

/// The transaction of the packet with this number.
pub(crate) fn write_id(lane: u32, number: u64) -> [u8; 12] {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&lane.to_be_bytes());
    id[4..].copy_from_slice(&number.to_be_bytes());
    id
}

fn read_id(id: TransactionId) -> (u32, u64) {
    let (mut lane, mut number) = ([0; 4], [0; 8]);
    // Behind the magic cookie.
    lane.copy_from_slice(&id.as_bytes()[4..8]);
    number.copy_from_slice(&id.as_bytes()[8..]);
    (u32::from_be_bytes(lane), u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::{Framing, Stop};
    use crate::packet::STAMP;

    /// A lane of peers' datagrams from end 0 to end 1.
    fn lane(id: u32) -> Lane {
        let [from, to] = [0, 1].map(|place| Stop {
            place,
            framing: Framing::None,
        });
        Lane::new(id, from, to, 64)
    }

    fn payload(lane: &Lane, number: u64, nanos: u64) -> Vec<u8> {
        let mut stamp = [0; STAMP];
        let id = lane.id;
        Stamp {
            lane: id,
            number,
            nanos,
        }
        .write(&mut stamp);
        [&stamp[..], &lane.behind].concat()
    }

    fn tally() -> Tally {
        Tally::new((10..12).map(lane).collect(), 2, 1_000..2_000)
    }

    #[test]
    fn only_packets_of_the_measured_time_count_and_each_is_checked() {
        let mut tally = tally();
        tally.sent(0, 2, 500, 500);
        tally.sent(0, 2, 1_500, 1_500);
        for number in 0..4 {
            let nanos = if number < 2 { 500 } else { 1_500 };
            let payload = payload(&tally.lanes[0], number, nanos);
            tally.data(1, Way::Bare, &payload, 1_800);
        }
        assert_eq!((tally.packets.sent, tally.packets.received), (2, 2));
        assert_eq!((tally.all.sent, tally.all.received), (4, 4));
        assert!(tally.latency.max().abs_diff(300) <= 3);
        let other = payload(&lane(12), 0, 1_500);
        tally.data(1, Way::Bare, &other, 1_900);
        tally.data(1, Way::Bare, b"short", 1_900);
        assert_eq!(tally.packets.damaged, 2);
    }

    #[test]
    fn packets_that_come_twice_or_elsewhere_are_no_arrivals() {
        let mut tally = tally();
        tally.sent(0, 2, 1_500, 1_500);
        let payload = payload(&tally.lanes[0], 0, 1_500);
        tally.data(2, Way::Bare, &payload, 1_600);
        assert_eq!((tally.packets.received, tally.packets.astray), (0, 1));
        for _ in 0..3 {
            tally.data(1, Way::Bare, &payload, 1_600);
        }
        assert_eq!((tally.packets.received, tally.packets.duplicates), (1, 2));
        assert_eq!(tally.packets.loss(), 0.5);
        assert_eq!(tally.packets.damaged, 0);
    }

    #[test]
    fn a_lane_sends_on_when_half_of_its_window_has_arrived_and_when_it_is_lost() {
        let mut tally = tally();
        tally.ready.clear();
        tally.sent(0, 2, 1_000, 1_000);
        assert!(tally.has_room(0));
        tally.sent(0, 2, 1_000, 1_000);
        assert!(!tally.has_room(0));
        for number in 0..2 {
            let payload = payload(&tally.lanes[0], number, 1_000);
            tally.data(1, Way::Bare, &payload, 1_100);
        }
        assert_eq!(tally.ready, [0]);
        tally.ready.clear();
        tally.sent(0, 2, 1_100, 1_100);
        tally.give_up(1_000);
        assert_eq!(tally.ready, [0; 0]);
        tally.give_up(1_200);
        assert_eq!(tally.ready, [0]);
        assert_eq!(tally.lanes[0].in_flight, 0);
    }

    #[test]
    fn only_a_success_answers_a_binding_request() {
        let mut tally = Tally::new(vec![Lane::asking(10, 0)], 1, 0..2_000);
        tally.sent(0, 3, 500, 500);
        let message = |method, class, number| {
            let mut bytes = Vec::new();
            let id = TransactionId::new(write_id(10, number));
            wire::Writer::new(&mut bytes, method, class, id);
            bytes
        };
        tally.answer(0, &message(Method::Binding, Class::Request, 0), 600);
        tally.answer(0, &message(Method::Binding, Class::Error, 1), 600);
        tally.answer(0, &message(Method::Allocate, Class::Success, 2), 600);
        assert_eq!((tally.packets.damaged, tally.packets.received), (3, 0));
        tally.answer(0, &message(Method::Binding, Class::Success, 0), 600);
        assert_eq!(tally.packets.received, 1);
        tally.answer(1, &message(Method::Binding, Class::Success, 1), 600);
        assert_eq!((tally.packets.received, tally.packets.astray), (1, 1));
    }

    #[test]
    fn a_transaction_names_lane_and_number() {
        let id = TransactionId::new(write_id(7, 1 << 50));
        assert_eq!(read_id(id), (7, 1 << 50));
    }
}
