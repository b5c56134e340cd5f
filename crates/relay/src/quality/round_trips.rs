//! Round trips: the time between a Binding request that is relayed to the far end of a leg and the
//! answer from there. RFC 8445 §7, RFC 7675.

use std::time::Duration;

use wire::TransactionId;

/// The requests that wait for their answer, and what the answered ones took.
#[derive(Debug)]
pub(super) struct RoundTrips {
    asked: [Asked; OUTSTANDING],
    /// The place of the next request.
    next: u8,
    /// The last ones, in microseconds; 0 where there is none yet.
    last: [u32; LAST],
    /// The place of the next one among them.
    turn: u8,
    /// When the last answer came, in milliseconds.
    answered: u32,
}

/// A request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Its transaction id.
    id: TransactionId,
    /// When it was relayed, in microseconds; 0 if it is not waited for, or was sent twice.
    at: u32,
}

impl RoundTrips {
    /// No request waits, and what was measured before is this, from [`RoundTrips::measured`].
    pub(super) fn new([median, answered]: [u32; 2]) -> Self {
        let id = TransactionId::new([0; 12]);
        Self {
            asked: [Asked { id, at: 0 }; OUTSTANDING],
            next: 0,
            last: [median, 0, 0, 0, 0],
            turn: 1,
            answered,
        }
    }

    /// The numbers that outlive the process.
    pub(super) fn measured(&self) -> [u32; 2] {
        [self.median_micros(), self.answered]
    }

    /// A request is relayed to the far end. If it was before, nobody can tell which of the two is
    /// answered (Karn's algorithm): it measures nothing.
    pub(super) fn ask(&mut self, micros: u64, id: TransactionId) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.id == id) {
            asked.at = 0;
            return;
        }
        let place = usize::from(self.next) % OUTSTANDING;
        self.asked[place] = Asked {
            id,
            at: short(micros).max(1),
        };
        self.next = self.next.wrapping_add(1);
    }

    /// An answer comes from the far end. Only the first one of a request that is waited for counts.
    pub(super) fn answer(&mut self, micros: u64, id: TransactionId) {
        let mut asked = self.asked.iter_mut();
        let Some(asked) = asked.find(|asked| asked.id == id && asked.at != 0) else {
            return;
        };
        let took = short(micros).wrapping_sub(asked.at);
        asked.at = 0;
        if took > LONGEST {
            return;
        }
        self.last[usize::from(self.turn) % LAST] = took.max(1);
        self.turn = (self.turn + 1) % LAST as u8;
        self.answered = (micros / 1000) as u32;
    }

    /// The round trip, if one was measured: the median of the last few, since one of them waits for
    /// a busy end now and then, and a smoothed one follows the network for minutes.
    pub(super) fn median(&self) -> Option<Duration> {
        let micros = u64::from(self.median_micros());
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// The lower one where two are in the middle; 0 if there are none.
    fn median_micros(&self) -> u32 {
        let mut sorted = self.last;
        sorted.sort_unstable();
        let none = sorted.iter().filter(|took| **took == 0).count();
        let known = &sorted[none..];
        known
            .get(known.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or(0)
    }

    /// The same, if that was lately.
    pub(super) fn lately(&self, micros: u64) -> Option<Duration> {
        let since = ((micros / 1000) as u32).wrapping_sub(self.answered);
        self.median().filter(|_| since < LATELY)
    }
}

/// The low bits of a time, which tell spans of up to an hour.
const fn short(micros: u64) -> u32 {
    micros as u32
}

/// So many round trips are kept: with a check every five seconds, of half a minute.
const LAST: usize = 5;
/// How many requests of one leg are waited for at a time. A path that is used has one or two; at the
/// start of a call the last ones count.
const OUTSTANDING: usize = 4;
/// An answer that took longer, in microseconds, measures no network.
const LONGEST: u32 = 30_000_000;
/// How long a round trip is told, in milliseconds: consent is asked for every five seconds, and
/// lost after thirty. RFC 7675 §5.1.
const LATELY: u32 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1000;

    fn id(number: u8) -> TransactionId {
        TransactionId::new([number; 12])
    }

    #[test]
    fn a_round_trip_is_the_time_from_a_request_to_its_first_answer() {
        let mut trips = RoundTrips::new([0; 2]);
        trips.ask(0, id(1));
        trips.ask(5 * MILLISECOND, id(2));
        trips.answer(60 * MILLISECOND, id(1));
        assert_eq!(trips.median(), Some(Duration::from_micros(59_999)));
        trips.answer(900 * MILLISECOND, id(1));
        trips.answer(900 * MILLISECOND, id(3));
        assert_eq!(trips.median(), Some(Duration::from_micros(59_999)));
    }

    #[test]
    fn one_slow_answer_among_others_counts_for_nothing_and_three_do() {
        let mut trips = RoundTrips::new([0; 2]);
        let mut at = 0;
        let mut take = |number: u8, took: u64| {
            at += 5_000 * MILLISECOND;
            trips.ask(at, id(number));
            trips.answer(at + took * MILLISECOND, id(number));
            trips.median().unwrap().as_millis()
        };
        let told = [60, 60, 900, 60, 60, 900, 100, 100, 100].iter().zip(1..);
        let told: Vec<u128> = told.map(|(took, number)| take(number, *took)).collect();
        assert_eq!(told, [60, 60, 60, 60, 60, 60, 100, 100, 100]);
    }

    #[test]
    fn a_request_that_was_sent_twice_measures_nothing() {
        let mut trips = RoundTrips::new([0; 2]);
        for at in [0, 500, 1000] {
            trips.ask(at * MILLISECOND, id(1));
        }
        trips.answer(1010 * MILLISECOND, id(1));
        assert_eq!(trips.median(), None);
    }

    #[test]
    fn more_requests_than_are_waited_for_push_out_the_oldest() {
        let mut trips = RoundTrips::new([0; 2]);
        for number in 0..=OUTSTANDING as u8 {
            trips.ask(u64::from(number), id(number + 1));
        }
        trips.answer(10, id(1));
        assert_eq!(trips.median(), None);
        trips.answer(10, id(2));
        assert!(trips.median().is_some());
    }

    #[test]
    fn a_round_trip_is_not_told_for_ever() {
        let mut trips = RoundTrips::new([0; 2]);
        trips.ask(0, id(1));
        trips.answer(60 * MILLISECOND, id(1));
        assert!(trips.lately(30_000 * MILLISECOND).is_some());
        assert_eq!(trips.lately(61_000 * MILLISECOND), None);
    }

    #[test]
    fn the_clock_may_wrap_between_request_and_answer() {
        let mut trips = RoundTrips::new([0; 2]);
        let wraps = 1 << 32;
        trips.ask(wraps - 10, id(1));
        trips.answer(wraps + 20, id(1));
        assert_eq!(trips.median(), Some(Duration::from_micros(30)));
    }
}
