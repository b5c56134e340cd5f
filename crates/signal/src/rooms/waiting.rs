//! How much waits for members. Each network has a share of the memory: what the members of one do not
//! take is never a reason to end or to refuse those of another one.

use std::time::Instant;

use relay::SourcePrefix;

use super::member::Place;
use super::prefixes::Prefixes;
use super::{Cause, MemberId, Rooms};
use crate::Refusal;

/// Bytes that wait: of all members, of those of each network, and of those of it that are away.
#[derive(Debug)]
pub(super) struct Waiting {
    all: usize,
    by_prefix: Prefixes,
    away: Prefixes,
    /// Networks for which more waits than before.
    grown: Vec<SourcePrefix>,
}

impl Waiting {
    pub(super) fn new(by_prefix: [u64; 4], away: [u64; 4]) -> Self {
        Self {
            all: 0,
            by_prefix: Prefixes::new(by_prefix),
            away: Prefixes::new(away),
            grown: Vec::new(),
        }
    }

    pub(super) const fn all(&self) -> usize {
        self.all
    }

    pub(super) fn add(&mut self, prefix: SourcePrefix, place: Place, bytes: usize) {
        self.all += bytes;
        self.by_prefix.add(prefix, bytes);
        if let Place::Away(_) = place {
            self.away.add(prefix, bytes);
        }
        self.grown.push(prefix);
    }

    pub(super) fn take(&mut self, prefix: SourcePrefix, place: Place, bytes: usize) {
        self.all -= bytes;
        self.by_prefix.take(prefix, bytes);
        if let Place::Away(_) = place {
            self.away.take(prefix, bytes);
        }
    }

    /// Bytes that may still wait for members of a network that are in such a place.
    pub(super) fn free(&self, share: usize, prefix: SourcePrefix, place: Place) -> usize {
        let free = share.saturating_sub(self.by_prefix.of(prefix));
        match place {
            Place::Here(_) => free,
            Place::Away(_) => (share / AWAY)
                .saturating_sub(self.away.of(prefix))
                .min(free),
        }
    }
}

impl Rooms {
    /// Ends members until what waits for the others is within all bounds. Each time it is the member of
    /// the fullest network for which most waits, whichever member was told something last.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(id) = self.one_too_many() {
            self.end_slow(now, id);
        }
    }

    /// Ends a member that does not take what it is told.
    pub(super) fn end_slow(&mut self, now: Instant, id: MemberId) {
        match self.members.get(&id).map(|member| member.place) {
            Some(Place::Here(connection)) => self.refuse(now, connection, Refusal::TooSlow),
            Some(Place::Away(_)) => self.leave(now, id, Cause::Ended),
            None => {}
        }
    }

    fn one_too_many(&mut self) -> Option<MemberId> {
        let share = self.limits.queued_of_one();
        while let Some(&prefix) = self.waiting.grown.last() {
            let too_many = if self.waiting.by_prefix.of(prefix) > share {
                self.largest(prefix, false)
            } else if self.waiting.away.of(prefix) > share / AWAY {
                self.largest(prefix, true)
            } else {
                None
            };
            if too_many.is_some() {
                return too_many;
            }
            self.waiting.grown.pop();
        }
        if self.waiting.all <= self.limits.queued {
            return None;
        }
        self.largest(self.waiting.by_prefix.fullest()?, false)
    }

    /// The member of a network for which most waits. All members are looked at: it is rare that a
    /// share is full, and each time one of them is gone.
    fn largest(&self, prefix: SourcePrefix, is_away: bool) -> Option<MemberId> {
        let members = self.members.iter();
        let members = members.filter(|(_, member)| {
            let is_meant = !is_away || matches!(member.place, Place::Away(_));
            is_meant && member.prefix == prefix && member.outbox.bytes() > 0
        });
        let largest = members.max_by_key(|(_, member)| member.outbox.bytes());
        largest.map(|(id, _)| *id)
    }
}

/// Members that are away have one part in so many of their network's share: what waits for them is
/// acknowledged only when they are back.
const AWAY: usize = 2;
