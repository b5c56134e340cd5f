//! The counts of an allocation's data, on both of its legs.

use std::time::Instant;

use wire::{Class, Message, Method};

use super::side::{Moment, Side, WORDS};
use crate::snapshot::{Field, Reader, Unreadable, Writer};
use crate::{Quality, Stream, Thresholds, Way};

/// The counts of both legs. It is made with the first permission or channel, for packets make
/// nothing.
#[derive(Debug)]
pub(crate) struct Tally {
    born: Instant,
    client: Side,
    peer: Side,
}

impl Tally {
    /// Counts that begin now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            born: now,
            client: Side::new(),
            peer: Side::new(),
        }
    }

    /// Data passes. Returns whether that is all; else the packet is to be looked at closely.
    #[inline]
    pub(crate) fn pass(&mut self, way: Way, payload: &[u8]) -> bool {
        match way {
            Way::Out => self.client.pass(payload),
            Way::In => self.peer.pass(payload),
        }
    }

    /// Looks closely at a packet that did not just pass. `bytes` is what has passed this way before.
    /// Returns whether it is time to judge the leg that it came in on.
    pub(crate) fn look(&mut self, now: Instant, way: Way, bytes: u64, payload: &[u8]) -> bool {
        let moment = Moment::new(self.born, now, bytes);
        let (near, far) = match way {
            Way::Out => (&mut self.client, &mut self.peer),
            Way::In => (&mut self.peer, &mut self.client),
        };
        // Two bits of the first byte are enough to tell most data from STUN.
        if payload.first().is_some_and(|first| *first <= 3)
            && let Ok(message) = Message::parse(payload)
            && message.method() == Method::Binding
        {
            let id = message.transaction();
            match message.class() {
                Class::Request => far.round_trips.ask(moment.micros, id),
                Class::Success | Class::Error => near.round_trips.answer(moment.micros, id),
                Class::Indication => {}
            }
        }
        near.look(moment, payload)
    }

    /// Whether the leg that comes in this way is bad now, and whether it was when that was asked last.
    pub(crate) fn judge(&mut self, now: Instant, way: Way, thresholds: Thresholds) -> [bool; 2] {
        let moment = Moment::new(self.born, now, 0);
        let side = match way {
            Way::Out => &mut self.client,
            Way::In => &mut self.peer,
        };
        let is_bad = side.measured(moment, thresholds, false).bad.is_any();
        [is_bad, std::mem::replace(&mut side.is_bad, is_bad)]
    }

    /// The ways that were bad when that was asked last, which is forgotten.
    pub(crate) fn pardon(&mut self) -> impl Iterator<Item = Way> {
        let bad = [&mut self.client, &mut self.peer].map(|side| std::mem::take(&mut side.is_bad));
        let ways = [Way::Out, Way::In].into_iter().zip(bad);
        ways.filter_map(|(way, is_bad)| is_bad.then_some(way))
    }

    /// The quality now, where so many bytes were sent and received; or that at the end.
    pub(crate) fn quality(
        &self,
        now: Instant,
        [sent, received]: [u64; 2],
        thresholds: Thresholds,
        is_over: bool,
    ) -> Quality {
        let moment = |bytes| Moment::new(self.born, now, bytes);
        Quality {
            client: self.client.measured(moment(sent), thresholds, is_over),
            peer: self.peer.measured(moment(received), thresholds, is_over),
        }
    }

    /// The RTP streams that came lately.
    pub(crate) fn streams(&self, now: Instant) -> impl Iterator<Item = Stream> {
        let moment = Moment::new(self.born, now, 0);
        let peers = self.peer.streams(moment, false);
        self.client.streams(moment, true).chain(peers)
    }
}

/// The counts are kept and round trips, but no stream: those are found again at once.
impl Field for Option<Box<Tally>> {
    fn write(&self, to: &mut Writer) {
        let Some(tally) = self else {
            return false.write(to);
        };
        true.write(to);
        tally.born.write(to);
        for side in [&tally.client, &tally.peer] {
            side.to_words().iter().for_each(|word| word.write(to));
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        if !bool::read(from)? {
            return Ok(None);
        }
        let born = Instant::read(from)?;
        let mut side = || {
            let mut words = [0; WORDS];
            for word in &mut words {
                *word = u64::read(from)?;
                // Far more than passes in a lifetime, and few enough to be calculated with.
                if *word >= 1 << 48 {
                    return Err(Unreadable::Value);
                }
            }
            Ok(Side::after(&words))
        };
        Ok(Some(Box::new(Tally {
            born,
            client: side()?,
            peer: side()?,
        })))
    }
}
