//! Refusals: the receivers to whom the kernel, of late, took no datagrams together.
//!
//! Whether it takes them depends on the route: a device that computes no checksums, IPsec, a short MTU. The
//! route to one receiver says little of the route to another, so a refusal holds for its receiver alone, and
//! for all of them only while several in a row were refused. None holds for good, since routes change: after
//! some runs that left one by one, the next is tried. A refusal by the host for all thus costs one call in vain
//! in [`PAUSE`] runs, and a forgotten receiver one.

use std::net::IpAddr;

use crate::sys::Apart;

/// The refusals that a shard has met.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By the hash of the receiver: the latest refusal takes the place of an older one. Empty until there is one.
    places: Vec<Option<Refusal>>,
    hasher: ahash::RandomState,
    /// How many receivers were refused since the last run that was taken.
    in_a_row: usize,
    /// How many runs leave one by one, whoever receives them, before the next is tried.
    pause: u16,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    receiver: IpAddr,
    /// The shortest datagrams that are not tried.
    length: usize,
    /// How many runs are not tried.
    pause: u16,
}

impl Refusals {
    /// Whether a run of datagrams of this length is to be tried.
    pub(crate) fn admit(&mut self, receiver: IpAddr, length: usize) -> bool {
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        if self.places.is_empty() {
            return true;
        }
        let place = self.place(receiver);
        let Some(refusal) = place.as_mut().filter(|it| it.receiver == receiver) else {
            return true;
        };
        if length < refusal.length {
            return true;
        }
        match refusal.pause.checked_sub(1) {
            Some(left) => refusal.pause = left,
            None => *place = None,
        }
        place.is_none()
    }

    /// Notes that a run was taken.
    pub(crate) const fn note_taken(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes that the kernel would not take a run of datagrams of this length.
    pub(crate) fn note_refused(&mut self, receiver: IpAddr, length: usize, why: Apart) {
        let length = match why {
            Apart::Route => 1,
            Apart::Length => length,
            Apart::Full | Apart::Failed => return,
        };
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let refusal = Refusal {
            receiver,
            length,
            pause: PAUSE,
        };
        *self.place(receiver) = Some(refusal);
        if matches!(why, Apart::Route) {
            self.in_a_row += 1;
            if self.in_a_row >= IN_A_ROW {
                self.pause = PAUSE;
            }
        }
    }

    /// Whether none was noted.
    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn place(&mut self, receiver: IpAddr) -> &mut Option<Refusal> {
        let hash = self.hasher.hash_one(receiver);
        &mut self.places[hash as usize % PLACES]
    }
}

/// Receivers that are remembered, at most.
const PLACES: usize = 256;

/// Receivers refused in a row that stand for all.
const IN_A_ROW: usize = 8;

/// Runs that leave one by one before the next is tried.
const PAUSE: u16 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn a_refusal_holds_for_its_receiver_alone_and_not_for_good() {
        let mut refusals = Refusals::default();
        assert!(refusals.admit(receiver(1), 100));
        refusals.note_refused(receiver(1), 100, Apart::Route);
        for _ in 0..PAUSE {
            assert!(!refusals.admit(receiver(1), 20));
            assert!(refusals.admit(receiver(2), 1_200));
            refusals.note_taken();
        }
        assert!(refusals.admit(receiver(1), 100));
    }

    #[test]
    fn shorter_datagrams_than_those_that_did_not_fit_a_route_are_tried() {
        let mut refusals = Refusals::default();
        refusals.note_refused(receiver(1), 1_400, Apart::Length);
        assert!(refusals.admit(receiver(1), 1_399));
        assert!(!refusals.admit(receiver(1), 1_400));
    }

    #[test]
    fn receivers_that_are_all_refused_stand_for_the_rest() {
        let mut refusals = Refusals::default();
        let mut numbers = 1..=200;
        for number in numbers.by_ref().take(IN_A_ROW) {
            assert!(refusals.admit(receiver(number), 100));
            refusals.note_refused(receiver(number), 100, Apart::Route);
        }
        for number in numbers {
            for _ in 0..PAUSE {
                assert!(!refusals.admit(receiver(number), 100));
            }
            // One is tried, and stands for the rest again.
            assert!(refusals.admit(receiver(number), 100));
            refusals.note_refused(receiver(number), 100, Apart::Route);
        }
        for _ in 0..PAUSE {
            assert!(!refusals.admit(receiver(201), 100));
        }
        assert!(refusals.admit(receiver(201), 100));
        refusals.note_taken();
        assert!(refusals.admit(receiver(202), 100));
    }

    #[test]
    fn one_run_that_is_taken_shows_that_not_all_are_refused() {
        let mut refusals = Refusals::default();
        for number in 1..=200 {
            refusals.note_refused(receiver(number), 100, Apart::Route);
            assert!(refusals.admit(receiver(255), 100));
            refusals.note_taken();
        }
        // Nor does a full buffer say anything of a route.
        refusals.note_refused(receiver(255), 100, Apart::Full);
        assert!(refusals.admit(receiver(255), 100));
    }
}
