//! Counters: plain integers, one set per shard. One list is the fields and their order as words.

use wire::{AddressFamily, Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes, transmute, transmute_ref};

use crate::{DropReason, EndCause, Refusal, Traffic, Way};

macro_rules! counters {
    (
        $($(#[$by_doc:meta])* $by:ident: $length:expr,)*;
        $($(#[$doc:meta])* $count:ident,)*;
        $($(#[$traffic_doc:meta])* $traffic:ident,)*
    ) => {
        /// How often a server did each thing.
        #[derive(Clone, Debug, FromBytes, Immutable, IntoBytes)]
        #[repr(C)]
        pub struct Counters {
            $($(#[$by_doc])* $by: [u64; $length],)*
            $($(#[$doc])* pub $count: u64,)*
            $($(#[$traffic_doc])* pub $traffic: Traffic,)*
        }

        impl Counters {
            /// How many words they are.
            pub const WORDS: usize = $($length +)*
                 [$(stringify!($count)),*].len()
                + 2 * [$(stringify!($traffic)),*].len();

            /// All of them as numbers in a fixed order, to be published one by one. They lie in memory in that
            /// order, and are not copied.
            pub const fn words(&self) -> &[u64; Self::WORDS] {
                transmute_ref!(self)
            }

            /// The counters that are these [`Counters::words`].
            pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
                transmute!(words)
            }
        }
    };
}

counters! {
    /// Packets dropped, by reason.
    dropped: DropReason::ALL.len(),
    /// Requests that were not granted, by cause.
    refusals: Refusal::ALL.len(),
    /// Allocations ended, by cause.
    endings: EndCause::ALL.len(),
    /// Allocations granted, by the client's transport and the families of the relayed addresses.
    openings: Transport::ALL.len() * Families::ALL.len(),
    ;
    /// Binding requests answered.
    bindings,
    /// Requests whose integrity was wrong, or whose user is not known; also those not answered.
    failed,
    /// ICMP errors that clients were told of.
    icmp,
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
    /// Allocations now whose leg to the client was bad when it was judged last.
    bad_client_legs,
    /// The same of the leg to the peers.
    bad_peer_legs,
    ;
    /// From clients to peers.
    sent,
    /// From peers to clients.
    received,
}

/// The address families of an allocation. RFC 8656 §7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// One relayed address of each.
    Both,
}

impl Families {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Both];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Both => "both",
        }
    }

    /// Those of relayed addresses, of which there is one at least.
    pub(crate) fn of(relayed: impl IntoIterator<Item = AddressFamily>) -> Self {
        let [mut v4, mut v6] = [false; 2];
        for family in relayed {
            match family {
                AddressFamily::V4 => v4 = true,
                AddressFamily::V6 => v6 = true,
            }
        }
        match (v4, v6) {
            (true, true) => Self::Both,
            (_, true) => Self::V6,
            (_, false) => Self::V4,
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::from_words([0; Self::WORDS])
    }
}

impl Counters {
    /// Packets dropped for this reason.
    pub const fn dropped(&self, why: DropReason) -> u64 {
        self.dropped[why as usize]
    }

    /// Requests that were not granted for this cause.
    pub const fn refused_for(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize]
    }

    /// Allocations whose leg is bad from which data comes this way.
    pub(crate) const fn bad_mut(&mut self, way: Way) -> &mut u64 {
        match way {
            Way::Out => &mut self.bad_client_legs,
            Way::In => &mut self.bad_peer_legs,
        }
    }

    /// Requests challenged for want of credentials; the normal first step of every client.
    pub const fn challenges(&self) -> u64 {
        self.refused_for(Refusal::Challenge)
    }

    /// Clients sent to another server.
    pub const fn redirected(&self) -> u64 {
        self.refused_for(Refusal::TryAlternate)
    }

    /// Requests refused with an error code other than the challenge and the redirection.
    pub fn refused(&self) -> u64 {
        self.refusals.iter().sum::<u64>() - self.challenges() - self.redirected()
    }

    /// Allocations ended for this cause.
    pub const fn ended_by(&self, cause: EndCause) -> u64 {
        self.endings[cause as usize]
    }

    /// Allocations ended.
    pub fn ended(&self) -> u64 {
        self.endings.iter().sum()
    }

    /// Allocations granted to clients over this transport with these families.
    pub const fn opened_as(&self, transport: Transport, families: Families) -> u64 {
        self.openings[place(transport, families)]
    }

    /// Allocations granted.
    pub fn opened(&self) -> u64 {
        self.openings.iter().sum()
    }

    pub(crate) const fn count_refusal(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }

    pub(crate) const fn count_ending(&mut self, cause: EndCause) {
        self.endings[cause as usize] += 1;
    }

    pub(crate) const fn count_opening(&mut self, transport: Transport, families: Families) {
        self.openings[place(transport, families)] += 1;
    }

    pub(crate) const fn count_drop(&mut self, why: DropReason) {
        self.dropped[why as usize] += 1;
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        let (own, other) = (self.words(), other.words());
        *self = Self::from_words(std::array::from_fn(|at| own[at] + other[at]));
    }
}

const fn place(transport: Transport, families: Families) -> usize {
    transport as usize * Families::ALL.len() + families as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_a_word_of_its_own() {
        let words = std::array::from_fn(|at| at as u64 + 1);
        let counters = Counters::from_words(words);
        assert_eq!(counters.words(), &words);
        assert_eq!(counters.dropped[0], 1);
        assert_eq!(counters.received.bytes, words[Counters::WORDS - 1]);
        assert_eq!(Counters::default().words(), &[0; Counters::WORDS]);
    }
}
