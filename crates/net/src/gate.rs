//! Turns by kind: the UDP listeners, the relay sockets, the data of other shards and the streams of a
//! shard share its thread by kind, however many sockets there are of one kind.
//!
//! The tasks of a thread run in the order in which they became ready. Alone, that gives a listener
//! one turn in a thousand beside a thousand connections that always have something to say. So each
//! kind has an allowance of packets per round; a task that finds it spent waits in its kind's gate
//! for the next round. Between two rounds the system is asked which sockets are ready, so a datagram
//! waits for one round at most.
//!
//! Within a kind, those who wait stand in lines, and the lines are called by turns: one for the relay
//! sockets of an account, one for the connections of a source prefix. A keyed hash chooses among
//! [`LINES`], so two accounts rarely share one, and nobody can aim at another's.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::sys::BATCH;

/// The gates of a shard.
pub(crate) struct Gates {
    pub(crate) listeners: Gate,
    pub(crate) relays: Gate,
    pub(crate) crossings: Gate,
    pub(crate) streams: Gate,
    /// Notified when somebody begins to wait.
    pub(crate) contended: Rc<Notify>,
}

impl Gates {
    pub(crate) fn new() -> Self {
        let contended = Rc::<Notify>::default();
        let gate = |allowance| Gate::new(allowance, Rc::clone(&contended));
        Self {
            listeners: gate(DATAGRAMS),
            relays: gate(DATAGRAMS),
            crossings: gate(DATAGRAMS),
            streams: gate(FRAMES),
            contended,
        }
    }

    /// Whether anybody waits for the next round.
    pub(crate) const fn are_contended(&self) -> bool {
        let datagrams = self.listeners.occupied | self.relays.occupied | self.crossings.occupied;
        datagrams | self.streams.occupied != 0
    }

    /// Begins a round: every kind has its whole allowance again, less what it took too much before.
    pub(crate) fn begin_round(&mut self) {
        for gate in [
            &mut self.listeners,
            &mut self.relays,
            &mut self.crossings,
            &mut self.streams,
        ] {
            gate.left = (gate.left + gate.allowance).min(gate.allowance);
            if gate.left > 0 {
                gate.call();
            }
        }
    }
}

/// The allowance of one kind, and the tasks that wait for it.
pub(crate) struct Gate {
    /// Packets per round.
    allowance: isize,
    /// Of these, what is left in this round. Less than nothing if the last turn took more: one call may
    /// bring a thousand datagrams of one sender (GRO). The rounds that follow make up for it.
    left: isize,
    lines: [Line; LINES],
    /// A bit for each line in which somebody waits.
    occupied: u64,
    /// The line that is called next, if anybody waits in it.
    next: usize,
    contended: Rc<Notify>,
}

/// Those who wait in one line. It grows to the most that ever waited, and stays.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waker>,
    /// How many were called so far.
    called: u64,
}

/// A task's place in its line.
#[derive(Debug)]
pub(crate) struct Place {
    line: usize,
    /// While it waits, how many stood before it since the line began.
    number: Option<u64>,
}

impl Place {
    /// `whose` names the party that the task serves, by a keyed hash.
    pub(crate) const fn of(whose: u64) -> Self {
        Self {
            line: whose as usize % LINES,
            number: None,
        }
    }
}

impl Gate {
    fn new(allowance: isize, contended: Rc<Notify>) -> Self {
        Self {
            allowance,
            left: allowance,
            lines: std::array::from_fn(|_| Line::default()),
            occupied: 0,
            next: 0,
            contended,
        }
    }

    /// Waits until the task may take a turn, at the end of which it calls [`Gate::spend`].
    pub(crate) fn poll(&mut self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        let line = &mut self.lines[place.line];
        if place.number.is_some_and(|number| number >= line.called) {
            return Poll::Pending;
        }
        let is_called = place.number.take().is_some();
        if self.left > 0 && (is_called || self.occupied == 0) {
            return Poll::Ready(());
        }
        place.number = Some(line.called + line.waiting.len() as u64);
        line.waiting.push_back(cx.waker().clone());
        self.occupied |= 1 << place.line;
        self.contended.notify_one();
        Poll::Pending
    }

    /// Ends a turn that handled so many packets, and gives the next turn if anything is left.
    pub(crate) fn spend(&mut self, packets: usize) {
        self.left -= packets.max(1) as isize;
        if self.left > 0 {
            self.call();
        }
    }

    /// Calls the first of the next line. A task that is gone does not answer: the next round calls
    /// another.
    fn call(&mut self) {
        if self.occupied == 0 {
            return;
        }
        let ahead = self.occupied.rotate_right(self.next as u32);
        let at = (self.next + ahead.trailing_zeros() as usize) % LINES;
        let line = &mut self.lines[at];
        if let Some(first) = line.waiting.pop_front() {
            line.called += 1;
            first.wake();
        }
        if line.waiting.is_empty() {
            self.occupied &= !(1 << at);
        }
        self.next = (at + 1) % LINES;
    }
}

/// Datagrams of one kind in a round.
const DATAGRAMS: isize = 4 * BATCH as isize;
/// Frames in a round: fewer, as each was read from a stream by itself.
const FRAMES: isize = 2 * BATCH as isize;
/// The lines of a gate, as many as there are bits to note them in.
const LINES: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls for a turn of so many packets; whether it was had.
    fn takes(gate: &mut Gate, place: &mut Place, packets: usize) -> bool {
        let had = gate.poll(place, &Context::from_waker(Waker::noop()));
        if had.is_ready() {
            gate.spend(packets);
        }
        had.is_ready()
    }

    #[test]
    fn a_kind_that_has_spent_its_allowance_takes_nothing_of_the_others() {
        let mut gates = Gates::new();
        let mut crowd: Vec<Place> = (0..1000).map(|_| Place::of(7)).collect();
        let frames = |gates: &mut Gates, crowd: &mut [Place]| {
            let turns = crowd.iter_mut();
            turns
                .filter_map(|place| takes(&mut gates.streams, place, 1).then_some(()))
                .count()
        };
        let share = FRAMES as usize;
        assert_eq!(frames(&mut gates, &mut crowd), share);
        assert!(gates.are_contended());
        let mut listener = Place::of(0);
        assert!(takes(&mut gates.listeners, &mut listener, BATCH));
        // Each round gives as much again, in the order in which they came.
        gates.begin_round();
        assert_eq!(frames(&mut gates, &mut crowd[share..]), share);
    }

    #[test]
    fn one_who_is_alone_has_its_turn_beside_a_thousand_of_one_party() {
        let mut gates = Gates::new();
        let gate = &mut gates.relays;
        let mut crowd: Vec<Place> = (0..1000).map(|_| Place::of(7)).collect();
        let mut alone = Place::of(8);
        for place in &mut crowd {
            takes(gate, place, BATCH);
        }
        assert!(!takes(gate, &mut alone, 1));
        for _ in 0..2 {
            gates.begin_round();
            let gate = &mut gates.relays;
            if takes(gate, &mut alone, 1) {
                return;
            }
            for place in &mut crowd {
                takes(gate, place, BATCH);
            }
        }
        panic!("two rounds without a turn");
    }

    /// Every kind has as much to do as it can, and one of them takes a thousand datagrams with each call.
    #[test]
    fn what_a_turn_takes_too_much_is_taken_off_the_rounds_that_follow() {
        const ROUNDS: usize = 200;
        const CALL: usize = 1024;
        let mut gates = Gates::new();
        let [mut flood, mut listener, mut other, mut stream] = [0, 1, 2, 3].map(Place::of);
        let (mut flooded, mut handled) = (0, [0; 3]);
        for _ in 0..ROUNDS {
            gates.begin_round();
            while takes(&mut gates.relays, &mut flood, CALL) {
                flooded += CALL;
            }
            while takes(&mut gates.listeners, &mut listener, BATCH) {
                handled[0] += BATCH;
            }
            while takes(&mut gates.crossings, &mut other, BATCH) {
                handled[1] += BATCH;
            }
            while takes(&mut gates.streams, &mut stream, 1) {
                handled[2] += 1;
            }
        }
        let [datagrams, frames] = [DATAGRAMS, FRAMES].map(|it| ROUNDS * it as usize);
        assert_eq!(handled, [datagrams, datagrams, frames]);
        assert!(flooded <= datagrams + CALL, "{flooded}");
    }

    #[test]
    fn one_who_is_gone_holds_nobody_up_for_longer_than_a_round() {
        let mut gates = Gates::new();
        let gate = &mut gates.streams;
        assert!(takes(gate, &mut Place::of(0), FRAMES as usize));
        let (mut gone, mut waits) = (Place::of(0), Place::of(0));
        assert!(!takes(gate, &mut gone, 1) && !takes(gate, &mut waits, 1));
        gates.begin_round();
        assert!(!takes(&mut gates.streams, &mut waits, 1));
        gates.begin_round();
        assert!(takes(&mut gates.streams, &mut waits, 1));
        assert!(!gates.are_contended());
    }
}
