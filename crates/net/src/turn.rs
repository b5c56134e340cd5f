//! The datagrams and frames of one turn: collected while its packets are handled, and sent together.

use std::ops::Range;

use arrayvec::ArrayVec;
use relay::{Destination, Outgoing, Verdict};

use crate::marking::Marking;
use crate::sys::BATCH;

/// All that leaves in answer to some packets of a batch, in the order in which it came about. Application
/// data lies in the packets (`'p`); answers are copied, as the server writes the next where the last
/// one stood.
pub(crate) struct Turn<'p> {
    departures: ArrayVec<Departure<'p>, BATCH>,
    answers: Vec<u8>,
}

struct Departure<'p> {
    to: Destination,
    marking: Marking,
    contents: Contents<'p>,
}

enum Contents<'p> {
    Data(&'p [u8]),
    /// Where it stands among the answers of the turn.
    Answer(Range<usize>),
}

impl<'p> Turn<'p> {
    /// With room for answers that an earlier turn made.
    pub(crate) fn new(mut answers: Vec<u8>) -> Self {
        answers.clear();
        Self {
            departures: ArrayVec::new(),
            answers,
        }
    }

    /// Notes what a verdict sends; there is one for each packet of a batch. Application data is
    /// marked as the packet was that brought it (RFC 8656 §14), answers are plain.
    pub(crate) fn push(&mut self, verdict: Verdict<'_, 'p>, marking: Marking) {
        let departure = match verdict {
            Verdict::Relay(Outgoing { to, contents }) => Departure {
                to,
                marking,
                contents: Contents::Data(contents),
            },
            Verdict::Answer(Outgoing { to, contents }) => {
                let start = self.answers.len();
                self.answers.extend_from_slice(contents);
                Departure {
                    to,
                    marking: Marking::PLAIN,
                    contents: Contents::Answer(start..self.answers.len()),
                }
            }
            Verdict::Drop(_) | Verdict::Done => return,
        };
        self.departures.push(departure);
    }

    /// Whether there is room for no other verdict.
    pub(crate) const fn is_full(&self) -> bool {
        self.departures.is_full()
    }

    /// All that was noted, if that is one.
    pub(crate) fn lone(&self) -> Option<(Outgoing<&[u8]>, Marking)> {
        let only = (self.departures.len() == 1).then(|| self.departures.first());
        only.flatten().map(|departure| self.shown(departure))
    }

    /// All that was noted, in its order.
    pub(crate) fn departures(&self) -> impl Iterator<Item = (Outgoing<&[u8]>, Marking)> + Clone {
        let each = self.departures.iter();
        each.map(|departure| self.shown(departure))
    }

    fn shown(&self, departure: &Departure<'p>) -> (Outgoing<&[u8]>, Marking) {
        let contents = match &departure.contents {
            Contents::Data(payload) => payload,
            Contents::Answer(place) => &self.answers[place.clone()],
        };
        let to = departure.to;
        (Outgoing { to, contents }, departure.marking)
    }

    /// Forgets all that was noted, and gives the room for answers away. A turn is long, so it is emptied where
    /// it is and never moved.
    pub(crate) fn empty(&mut self) -> Vec<u8> {
        self.departures.clear();
        std::mem::take(&mut self.answers)
    }

    /// Goes on with the room for answers that an earlier turn made.
    pub(crate) fn refill(&mut self, mut answers: Vec<u8>) {
        answers.clear();
        self.answers = answers;
    }
}
