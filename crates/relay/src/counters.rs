//! Counters: plain integers, one set per shard.

use crate::{DropReason, Traffic};

/// How often a server did each thing.
#[derive(Clone, Debug)]
pub struct Counters {
    dropped: [u64; DropReason::ALL.len()],
    /// Binding requests answered.
    pub bindings: u64,
    /// Requests challenged for want of credentials; the normal first step of every client.
    pub challenges: u64,
    /// Requests refused with an error code other than the challenge and the redirection.
    pub refused: u64,
    /// Clients sent to another server.
    pub redirected: u64,
    /// ICMP errors that clients were told of.
    pub icmp: u64,
    /// Allocations granted.
    pub opened: u64,
    /// Allocations ended.
    pub ended: u64,
    /// Allocations that settled on another 5-tuple.
    pub moved: u64,
    /// From clients to peers.
    pub sent: Traffic,
    /// From peers to clients.
    pub received: Traffic,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            dropped: [0; DropReason::ALL.len()],
            bindings: 0,
            challenges: 0,
            refused: 0,
            redirected: 0,
            icmp: 0,
            opened: 0,
            ended: 0,
            moved: 0,
            sent: Traffic::default(),
            received: Traffic::default(),
        }
    }
}

impl Counters {
    /// Packets dropped for this reason.
    pub const fn dropped(&self, why: DropReason) -> u64 {
        self.dropped[why as usize]
    }

    pub(crate) const fn count_drop(&mut self, why: DropReason) {
        self.dropped[why as usize] += 1;
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        let (own, other) = (self.to_words(), other.to_words());
        *self = Self::from_words(&std::array::from_fn(|at| own[at] + other[at]));
    }

    /// All of them as numbers in a fixed order, to be published one by one.
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        let Self {
            dropped,
            bindings,
            challenges,
            refused,
            redirected,
            icmp,
            opened,
            ended,
            moved,
            sent,
            received,
        } = self;
        let mut words = [0; Self::WORDS];
        let (drops, rest) = words.split_at_mut(dropped.len());
        drops.copy_from_slice(dropped);
        rest.copy_from_slice(&[
            *bindings,
            *challenges,
            *refused,
            *redirected,
            *icmp,
            *opened,
            *ended,
            *moved,
            sent.packets,
            sent.bytes,
            received.packets,
            received.bytes,
        ]);
        words
    }

    /// What [`Counters::to_words`] was made from.
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let (drops, rest) = words.split_at(DropReason::ALL.len());
        let mut dropped = [0; DropReason::ALL.len()];
        dropped.copy_from_slice(drops);
        let traffic = |at: usize| Traffic {
            packets: rest[at],
            bytes: rest[at + 1],
        };
        Self {
            dropped,
            bindings: rest[0],
            challenges: rest[1],
            refused: rest[2],
            redirected: rest[3],
            icmp: rest[4],
            opened: rest[5],
            ended: rest[6],
            moved: rest[7],
            sent: traffic(8),
            received: traffic(10),
        }
    }

    /// How many words they are.
    pub const WORDS: usize = DropReason::ALL.len() + 12;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_a_word_of_its_own() {
        let mut words = [0; Counters::WORDS];
        for (at, word) in words.iter_mut().enumerate() {
            *word = at as u64 + 1;
        }
        assert_eq!(Counters::from_words(&words).to_words(), words);
        assert_eq!(Counters::default().to_words(), [0; Counters::WORDS]);
    }
}
