//! Shares: how much of a lane each sender holds, so that one who floods it leaves room for the others.
//!
//! A sender may hold as much as is free. So one alone takes half of a lane, two who flood a third each, and
//! whoever sends little finds room in what they must leave. Only the shard that writes the lane keeps this
//! account: it learns from the ring how many datagrams were read, and knows by itself whose those were.

use std::collections::VecDeque;

use relay::PeerAddr;

use super::BYTES_OF_EACH;

/// The account of a lane.
#[derive(Debug)]
pub(super) struct Shares {
    /// Keyed, so that nobody can aim at the share of another.
    hasher: ahash::RandomState,
    /// Bytes, by the senders.
    held: [usize; SENDERS],
    /// Bytes that nobody holds.
    free: usize,
    /// Writes that are not known to be read, in their order: the sender, and its bytes. There is room
    /// for as many as the lane takes.
    written: VecDeque<(u8, u32)>,
}

/// A place in the account. Senders whose hashes are alike share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender(u8);

impl Shares {
    /// For a lane of so many bytes.
    pub(super) fn of(capacity: usize) -> Self {
        Self {
            hasher: ahash::RandomState::new(),
            held: [0; SENDERS],
            free: capacity,
            written: VecDeque::with_capacity(capacity / BYTES_OF_EACH),
        }
    }

    /// The sender with this relayed address.
    pub(super) fn sender(&self, from: PeerAddr) -> Sender {
        Sender((self.hasher.hash_one(from) % SENDERS as u64) as u8)
    }

    /// Whether the sender may write a datagram of this length, by what is known to be read.
    pub(super) fn admit(&self, Sender(sender): Sender, length: usize) -> bool {
        self.held[usize::from(sender)] + charge(length) <= self.free
    }

    /// Notes that it was written.
    pub(super) fn note_written(&mut self, Sender(sender): Sender, length: usize) {
        let charge = charge(length);
        self.held[usize::from(sender)] += charge;
        self.free -= charge;
        self.written.push_back((sender, charge as u32));
    }

    /// Notes that all but the last so many were read.
    pub(super) fn note_read(&mut self, unread: usize) {
        let read = self.written.len().saturating_sub(unread);
        for (sender, charge) in self.written.drain(..read) {
            self.held[usize::from(sender)] -= charge as usize;
            self.free += charge as usize;
        }
    }
}

/// The bytes that a datagram takes of its sender's share. A short one takes as many as there are for each
/// place in the ring of heads, so that what is admitted finds a place in both rings.
pub(super) const fn charge(length: usize) -> usize {
    if length < BYTES_OF_EACH {
        BYTES_OF_EACH
    } else {
        length
    }
}

/// So many that two who send at once rarely share a place.
const SENDERS: usize = 128;
