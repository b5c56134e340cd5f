//! The sequence numbers of an RTP stream: what was sent, what is missing, what came late. RFC 3550
//! appendix A.1 and A.3.

use crate::Loss;

/// The state of a stream's sequence numbers. All of them are the sender's choice, so everything
/// wraps or saturates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// The number that comes next; the upper half counts the cycles.
    next: u32,
    /// The first number that counts.
    base: u32,
    /// Packets that did not come so far.
    missing: u32,
    /// How far `came` is up to date. All between it and `next` came, since packets that come in
    /// order change nothing but `next`.
    filled: u32,
    /// Which of the 64 packets before `filled` came; the lowest bit is the last of them. In halves,
    /// so that a stream fits a cache line.
    came: [u32; 2],
    /// The number after one that was far off: if it comes, the sender has begun anew.
    stray: Option<u16>,
    /// Packets that came late.
    late: u16,
    /// Whether two packets came in a row.
    is_believed: bool,
}

/// How a packet fits into its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is the next one.
    Next,
    /// It is the next one that came, and some before it did not.
    AfterGap,
    /// It was missing, and comes late.
    Late,
    /// It came before, or is too late to tell.
    Again,
    /// It is far off, or the stream is not believed yet.
    Stray,
    /// It is the second one of a stream that begins, or begins anew: the counts up to here are over.
    Anew,
}

impl Sequence {
    /// A stream that begins with this number, and is not believed yet.
    pub(super) fn beginning(number: u16) -> Self {
        Self {
            next: u32::from(number) + 1,
            ..Self::default()
        }
    }

    /// Whether this number is the next one; it is counted then.
    #[inline]
    pub(super) const fn advances(&mut self, number: u16) -> bool {
        let is_next = number == self.next as u16;
        if is_next {
            self.next = self.next.wrapping_add(1);
        }
        is_next
    }

    /// Takes in any number.
    pub(super) fn note(&mut self, number: u16) -> Fit {
        if !self.is_believed {
            return self.prove(number);
        }
        if self.advances(number) {
            return Fit::Next;
        }
        let ahead = number.wrapping_sub(self.next as u16);
        if ahead < MAX_DROPOUT {
            self.skip(u32::from(ahead));
            return Fit::AfterGap;
        }
        let behind = ahead.wrapping_neg();
        if behind <= MAX_MISORDER {
            return self.come_late(behind);
        }
        if self.stray == Some(number) {
            self.believe(number.wrapping_sub(1));
            return Fit::Anew;
        }
        self.stray = Some(number.wrapping_add(1));
        Fit::Stray
    }

    /// A packet of a stream that is not believed yet: two in a row are. RFC 3550's MIN_SEQUENTIAL.
    fn prove(&mut self, number: u16) -> Fit {
        if number == self.next as u16 {
            self.believe(number.wrapping_sub(1));
            Fit::Anew
        } else {
            *self = Self::beginning(number);
            Fit::Stray
        }
    }

    /// This packet and the next have come, and the stream counts from here.
    fn believe(&mut self, first: u16) {
        let base = u32::from(first);
        let next = base + 2;
        *self = Self {
            next,
            base,
            filled: next,
            // Packets from before are not missing.
            came: [u32::MAX; 2],
            is_believed: true,
            ..Self::default()
        };
    }

    /// A packet comes before so many that did not.
    fn skip(&mut self, ahead: u32) {
        let came = self.fill();
        self.missing = self.missing.saturating_add(ahead);
        self.next = self.next.wrapping_add(ahead + 1);
        self.keep(came.checked_shl(ahead + 1).unwrap_or(0) | 1);
        self.stray = None;
    }

    /// A packet so far behind the next one: it was missing, or comes a second time.
    fn come_late(&mut self, behind: u16) -> Fit {
        let came = self.fill();
        let bit = 1_u64.checked_shl(u32::from(behind) - 1);
        let late = bit.filter(|bit| came & bit == 0);
        self.keep(came | late.unwrap_or(0));
        if late.is_none() {
            return Fit::Again;
        }
        self.missing = self.missing.saturating_sub(1);
        self.late = self.late.saturating_add(1);
        Fit::Late
    }

    /// Which of the 64 packets before the next one came.
    fn fill(&self) -> u64 {
        let step = self.next.wrapping_sub(self.filled);
        let [high, low] = self.came.map(u64::from);
        let ones = 1_u64.checked_shl(step).map_or(u64::MAX, |bit| bit - 1);
        (high << 32 | low).checked_shl(step).unwrap_or(0) | ones
    }

    fn keep(&mut self, came: u64) {
        self.came = [(came >> 32) as u32, came as u32];
        self.filled = self.next;
    }

    /// Whether there is a stream at all.
    pub(super) const fn is_there(&self) -> bool {
        self.is_believed || self.next > 0
    }

    /// Whether its packets count.
    pub(super) const fn is_believed(&self) -> bool {
        self.is_believed
    }

    /// The packets so far.
    pub(super) fn loss(&self) -> Loss {
        if !self.is_believed {
            return Loss::default();
        }
        Loss {
            expected: u64::from(self.next.wrapping_sub(self.base)),
            lost: u64::from(self.missing),
        }
    }

    /// Those that came late.
    pub(super) fn late(&self) -> u64 {
        u64::from(self.late)
    }
}

/// From so many missing packets on the sender may have begun anew. RFC 3550 appendix A.1.
const MAX_DROPOUT: u16 = 3000;
/// A packet farther behind is no late one. RFC 3550 appendix A.1.
const MAX_MISORDER: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(numbers: impl IntoIterator<Item = u16>) -> Sequence {
        let mut numbers = numbers.into_iter();
        let mut sequence = Sequence::beginning(numbers.next().unwrap());
        for number in numbers {
            sequence.note(number);
        }
        sequence
    }

    fn counts(numbers: impl IntoIterator<Item = u16>) -> (u64, u64, u64) {
        let sequence = sequence(numbers);
        let Loss { expected, lost } = sequence.loss();
        (expected, lost, sequence.late())
    }

    #[test]
    fn packets_in_order_are_expected_and_come_over_the_wrap_of_their_numbers() {
        let numbers = (65_000..=65_535).chain(0..1000);
        assert_eq!(counts(numbers), (1536, 0, 0));
    }

    #[test]
    fn what_is_skipped_is_lost_and_what_comes_late_is_not() {
        assert_eq!(counts([1, 2, 3, 5, 6, 9]), (9, 3, 0));
        assert_eq!(counts([1, 2, 3, 5, 4, 6, 9, 7]), (9, 1, 2));
        // Long after, when packets in order were only counted.
        assert_eq!(counts((1..50).chain(51..100).chain([50])), (99, 0, 1));
    }

    #[test]
    fn a_packet_that_comes_twice_makes_no_lost_one_good() {
        assert_eq!(counts([1, 2, 4, 5, 5, 4, 4, 2, 1]), (5, 1, 0));
        assert_eq!(counts([1, 2, 4, 3, 3, 3]), (4, 0, 1));
    }

    #[test]
    fn what_comes_before_the_first_is_neither_late_nor_lost() {
        assert_eq!(counts([10, 11, 9, 8, 12]), (3, 0, 0));
    }

    #[test]
    fn one_that_is_too_late_stays_lost() {
        assert_eq!(counts((1..10).chain(11..90).chain([10])), (89, 1, 0));
    }

    #[test]
    fn a_stream_is_believed_after_two_in_a_row() {
        assert!(!sequence([7]).is_believed());
        assert!(!sequence([7, 9, 30]).is_believed());
        assert!(sequence([7, 9, 30, 31]).is_believed());
        assert_eq!(counts([7, 9, 30, 31]), (2, 0, 0));
    }

    #[test]
    fn one_that_is_far_off_counts_for_nothing_and_two_begin_anew() {
        assert_eq!(counts([1, 2, 40_000, 3, 50_000, 4]), (4, 0, 0));
        let mut sequence = sequence([1, 2, 4]);
        assert_eq!(sequence.note(40_000), Fit::Stray);
        assert_eq!(
            sequence.loss(),
            Loss {
                expected: 4,
                lost: 1
            }
        );
        assert_eq!(sequence.note(40_001), Fit::Anew);
        assert_eq!(
            sequence.loss(),
            Loss {
                expected: 2,
                lost: 0
            }
        );
    }

    #[test]
    fn a_stream_fits_in_half_a_cache_line() {
        assert_eq!(size_of::<Sequence>(), 32);
    }

    #[test]
    fn no_order_of_numbers_makes_more_lost_than_expected() {
        let mut sequence = Sequence::beginning(0);
        let mut number = 1_u16;
        for step in 0..2_000_000_u32 {
            number = number
                .wrapping_mul(25_173)
                .wrapping_add(step as u16 & 0x3FF);
            for follows in 0..step % 3 {
                sequence.note(number.wrapping_add(follows as u16));
            }
            let Loss { expected, lost } = sequence.loss();
            assert!(lost <= expected, "{sequence:?}");
        }
    }
}
