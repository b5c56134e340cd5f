//! Counters: plain integers, one set per shard. One list is the fields and their order as words.

use crate::{DropReason, Traffic};

macro_rules! counters {
    ($($(#[$doc:meta])* $count:ident,)*; $($(#[$traffic_doc:meta])* $traffic:ident,)*) => {
        /// How often a server did each thing.
        #[derive(Clone, Debug)]
        pub struct Counters {
            dropped: [u64; DropReason::ALL.len()],
            $($(#[$doc])* pub $count: u64,)*
            $($(#[$traffic_doc])* pub $traffic: Traffic,)*
        }

        impl Counters {
            /// How many words they are.
            pub const WORDS: usize = DropReason::ALL.len()
                + [$(stringify!($count)),*].len()
                + 2 * [$(stringify!($traffic)),*].len();

            /// All of them as numbers in a fixed order, to be published one by one.
            pub fn to_words(&self) -> [u64; Self::WORDS] {
                let mut words = [0; Self::WORDS];
                let (drops, rest) = words.split_at_mut(self.dropped.len());
                drops.copy_from_slice(&self.dropped);
                rest.copy_from_slice(&[
                    $(self.$count,)*
                    $(self.$traffic.packets, self.$traffic.bytes,)*
                ]);
                words
            }

            /// What [`Counters::to_words`] was made from.
            pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
                let mut words = words.iter().copied();
                let mut next = || words.next().unwrap_or_default();
                Self {
                    dropped: std::array::from_fn(|_| next()),
                    $($count: next(),)*
                    $($traffic: Traffic { packets: next(), bytes: next() },)*
                }
            }
        }
    };
}

counters! {
    /// Binding requests answered.
    bindings,
    /// Requests challenged for want of credentials; the normal first step of every client.
    challenges,
    /// Requests refused with an error code other than the challenge and the redirection.
    refused,
    /// Requests whose integrity was wrong, or whose user is not known; also those not answered.
    failed,
    /// Clients sent to another server.
    redirected,
    /// ICMP errors that clients were told of.
    icmp,
    /// Allocations granted.
    opened,
    /// Allocations ended.
    ended,
    /// Allocations that settled on another 5-tuple.
    moved,
    /// Connections made to peers of TCP allocations.
    connected,
    /// Connections that peers made to TCP allocations.
    accepted,
    /// Connections with peers that a client has bound.
    bound,
    /// Connections with peers that no client has bound in time.
    unbound,
    ;
    /// From clients to peers.
    sent,
    /// From peers to clients.
    received,
}

impl Default for Counters {
    fn default() -> Self {
        Self::from_words(&[0; Self::WORDS])
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_a_word_of_its_own() {
        let words = std::array::from_fn(|at| at as u64 + 1);
        assert_eq!(Counters::from_words(&words).to_words(), words);
        assert_eq!(Counters::default().to_words(), [0; Counters::WORDS]);
    }
}
