//! Which ports of the relay addresses are free, shared by all shards.

mod homes;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::PortRange;
use homes::Homes;

pub(crate) use homes::Home;

/// The free ports of every relay address, and where the sockets of the others are. Lock-free: three
/// bits and a word a port. A port is given out once, for UDP or for TCP.
#[derive(Debug)]
pub struct Ports {
    range: PortRange,
    addresses: ArcSwap<Vec<Arc<AddressPorts>>>,
}

#[derive(Debug)]
struct AddressPorts {
    local: IpAddr,
    /// Promised to an allocation of ours.
    taken: Bits,
    /// Bound by its UDP socket: no other program can have it.
    homes: Homes,
    /// Bound by the socket of a TCP allocation, which listens.
    listening: Bits,
    /// Found in use by another program; left alone for a while.
    foreign: Bits,
}

impl Ports {
    /// All free, for these local addresses.
    pub fn new(locals: impl IntoIterator<Item = IpAddr>, range: PortRange) -> Self {
        let ports = Self {
            range,
            addresses: ArcSwap::default(),
        };
        ports.serve(&locals.into_iter().collect::<Vec<_>>());
        ports
    }

    /// From now on these local addresses have ports. Another is forgotten when none of its ports is
    /// taken any more.
    pub(crate) fn serve(&self, locals: &[IpAddr]) {
        self.add(locals, |ports| {
            locals.contains(&ports.local) || ports.taken.count_ones() > 0
        });
    }

    /// Adds addresses, and keeps those before that are needed.
    fn add(&self, locals: &[IpAddr], is_needed: impl Fn(&AddressPorts) -> bool) {
        self.addresses.rcu(|known| {
            let kept = known.iter().filter(|ports| is_needed(ports));
            let mut next: Vec<_> = kept.cloned().collect();
            for local in locals {
                if next.iter().all(|ports| ports.local != *local) {
                    next.push(Arc::new(AddressPorts::new(*local, self.range)));
                }
            }
            next
        });
    }

    /// Takes the first free port of this parity at or behind a random place. `None` if none is
    /// free.
    pub(crate) fn take(&self, local: IpAddr, parity: Parity, random: u32) -> Option<u16> {
        let ports = self.of(local)?;
        let count = self.range.count();
        let start = random as usize % count;
        let wanted = parity.mask(self.range.first());
        let claim = |index| match parity {
            Parity::Any | Parity::Even => ports.taken.set(index),
            Parity::EvenAndNext => index + 1 < count && ports.take_with_next(index),
        };
        let index = ports
            .take_within(start..count, wanted, claim)
            .or_else(|| ports.take_within(0..start, wanted, claim))?;
        Some(self.range.first() + index as u16)
    }

    /// The TCP socket of a port that was taken listens.
    pub(crate) fn listens(&self, local: IpAddr, port: u16) {
        if let Some((ports, index)) = self.place(local, port) {
            ports.listening.set(index);
        }
    }

    /// Whether a TCP allocation of some shard listens on the port.
    pub(crate) fn is_listening(&self, local: IpAddr, port: u16) -> bool {
        let place = self.place(local, port);
        place.is_some_and(|(ports, index)| ports.listening.is_set(index))
    }

    /// The UDP socket of a port that was taken is bound, and from now on this is its home.
    pub(crate) fn opened(&self, local: SocketAddr, home: Home) {
        if let Some((ports, index)) = self.place(local.ip(), local.port()) {
            ports.homes.set(index, home);
        }
    }

    /// The UDP socket of a port leaves its shard for another one.
    pub(crate) fn departs(&self, local: SocketAddr) {
        if self.home(local).is_some() {
            self.opened(local, Home::Between);
        }
    }

    /// Takes this very port for an allocation that has it already; `false` if another has it. A
    /// port that the range no longer has is nobody else's.
    pub(crate) fn retake(&self, local: IpAddr, port: u16) -> bool {
        // Its address may be one that new allocations do not get any more.
        self.add(&[local], |_| true);
        self.place(local, port)
            .is_none_or(|(ports, index)| ports.taken.set(index))
    }

    /// Gives a port back.
    pub(crate) fn release(&self, local: IpAddr, port: u16) {
        if let Some((ports, index)) = self.place(local, port) {
            ports.homes.clear(index);
            ports.listening.clear(index);
            ports.taken.clear(index);
        }
    }

    /// Gives a port back that another program was found to use: nobody takes it until
    /// [`Ports::forget_foreign`].
    pub(crate) fn release_foreign(&self, local: IpAddr, port: u16) {
        if let Some((ports, index)) = self.place(local, port) {
            ports.foreign.set(index);
            ports.taken.clear(index);
        }
    }

    /// Lets a port that another program used be tried again.
    pub(crate) fn forget_foreign(&self, local: IpAddr, port: u16) {
        if let Some((ports, index)) = self.place(local, port) {
            ports.foreign.clear(index);
        }
    }

    /// How many ports allocations have or have reserved, over all addresses.
    pub fn taken(&self) -> usize {
        let ones = |ports: &Arc<AddressPorts>| ports.taken.count_ones();
        self.addresses.load().iter().map(ones).sum()
    }

    /// How many ports there are, over all addresses.
    pub fn count(&self) -> usize {
        self.addresses.load().len() * self.range.count()
    }

    /// Whether an allocation of some shard has bound the UDP port, so that no other program has it.
    pub(crate) fn is_open(&self, local: SocketAddr) -> bool {
        self.home(local).is_some()
    }

    /// The home of the UDP socket that is bound here.
    pub(crate) fn home(&self, local: SocketAddr) -> Option<Home> {
        let index = self.index(local.port())?;
        // On the packet path: the list is borrowed, and no count is touched.
        let known = self.addresses.load();
        let mut ports = known.iter().filter(|ports| ports.local == local.ip());
        ports.find_map(|ports| ports.homes.get(index))
    }

    fn of(&self, local: IpAddr) -> Option<Arc<AddressPorts>> {
        let known = self.addresses.load();
        known.iter().find(|ports| ports.local == local).cloned()
    }

    fn place(&self, local: IpAddr, port: u16) -> Option<(Arc<AddressPorts>, usize)> {
        Some((self.of(local)?, self.index(port)?))
    }

    fn index(&self, port: u16) -> Option<usize> {
        let index = usize::from(port.checked_sub(self.range.first())?);
        (port <= self.range.last()).then_some(index)
    }
}

impl AddressPorts {
    /// All free.
    fn new(local: IpAddr, range: PortRange) -> Self {
        let bits = || Bits::new(range.count());
        Self {
            local,
            taken: bits(),
            homes: Homes::new(range.count()),
            listening: bits(),
            foreign: bits(),
        }
    }

    /// The first of these ports that is free and fits, and that no other shard claims first.
    fn take_within(
        &self,
        indices: Range<usize>,
        wanted: u64,
        claim: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let words = indices.start / 64..indices.end.div_ceil(64);
        for word in words {
            let used = self.taken.word(word) | self.foreign.word(word);
            let mut free = !used & wanted & mask(word, &indices);
            while free != 0 {
                let index = word * 64 + free.trailing_zeros() as usize;
                if claim(index) {
                    return Some(index);
                }
                // Another shard claimed it first, or the next port is taken.
                free &= free - 1;
            }
        }
        None
    }

    /// Claims a port and the next one, or neither.
    fn take_with_next(&self, index: usize) -> bool {
        let next = index + 1;
        if self.taken.is_set(next) || self.foreign.is_set(next) || !self.taken.set(index) {
            return false;
        }
        let both = self.taken.set(next);
        if !both {
            self.taken.clear(index);
        }
        both
    }
}

/// Which ports fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    /// Every port.
    Any,
    /// Even ones, as EVEN-PORT asks for. RFC 8656 §7.2.
    Even,
    /// Even ones whose next port is free too, and is taken along to be reserved.
    EvenAndNext,
}

impl Parity {
    /// The bits of a word whose ports fit, in a range that begins with `first`.
    const fn mask(self, first: u16) -> u64 {
        const EVEN_BITS: u64 = 0x5555_5555_5555_5555;
        match (self, first % 2) {
            (Self::Any, _) => u64::MAX,
            (Self::Even | Self::EvenAndNext, 0) => EVEN_BITS,
            (Self::Even | Self::EvenAndNext, _) => !EVEN_BITS,
        }
    }
}

/// The bits of a word that lie within `indices`.
fn mask(word: usize, indices: &Range<usize>) -> u64 {
    let low = indices.start.saturating_sub(word * 64).min(64);
    let high = indices.end.saturating_sub(word * 64).min(64);
    let below = |bit: usize| if bit == 64 { u64::MAX } else { (1 << bit) - 1 };
    below(high) & !below(low)
}

#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn count_ones(&self) -> usize {
        let ones = |word: &AtomicU64| word.load(Ordering::Relaxed).count_ones() as usize;
        self.0.iter().map(ones).sum()
    }

    fn is_set(&self, index: usize) -> bool {
        self.word(index / 64) & 1 << (index % 64) != 0
    }

    /// Sets a bit; returns whether it was clear.
    fn set(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.0[index / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    fn clear(&self, index: usize) {
        self.0[index / 64].fetch_and(!(1 << (index % 64)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    proptest! {
        #[test]
        fn every_port_of_the_range_is_given_out_once(
            first in 1u16..=u16::MAX,
            length in 0u16..300,
            randoms in prop::collection::vec(any::<u32>(), 301),
        ) {
            let range = PortRange::new(first, first.saturating_add(length)).unwrap();
            let ports = Ports::new([LOCAL], range);
            let taken: BTreeSet<u16> = randoms
                .iter()
                .map_while(|&random| ports.take(LOCAL, Parity::Any, random))
                .collect();
            let whole: BTreeSet<u16> = (range.first()..=range.last()).collect();
            prop_assert_eq!(&taken, &whole);
            prop_assert_eq!(ports.take(LOCAL, Parity::Any, 0), None);
            ports.release(LOCAL, range.last());
            prop_assert_eq!(ports.take(LOCAL, Parity::Any, 0), Some(range.last()));
        }
    }

    #[test]
    fn an_even_port_is_even_wherever_the_range_begins() {
        for first in [5000, 5001] {
            let ports = Ports::new([LOCAL], PortRange::new(first, 5199).unwrap());
            let even: Vec<u16> =
                std::iter::from_fn(|| ports.take(LOCAL, Parity::Even, 77)).collect();
            assert_eq!(even.len(), usize::from(5200 - first) / 2);
            assert!(even.iter().all(|port| port % 2 == 0), "{even:?}");
        }
    }

    #[test]
    fn pairs_begin_even_and_lie_within_the_range_wherever_it_begins() {
        // The first range has pairs that lie across two words of bits.
        for (first, last, pairs) in [(5001, 5200, 99), (5000, 5200, 100), (5000, 5199, 100)] {
            let ports = Ports::new([LOCAL], PortRange::new(first, last).unwrap());
            let even: Vec<u16> =
                std::iter::from_fn(|| ports.take(LOCAL, Parity::EvenAndNext, 77)).collect();
            assert_eq!((even.len(), ports.taken()), (pairs, 2 * pairs));
            assert!(even.iter().all(|port| port % 2 == 0), "{even:?}");
            assert!(even.iter().all(|port| (first..last).contains(port)));
        }
    }

    #[test]
    fn a_pair_is_taken_whole_or_not_at_all() {
        let ports = Ports::new([LOCAL], PortRange::new(5000, 5003).unwrap());
        ports.release_foreign(LOCAL, 5001);
        assert_eq!(ports.take(LOCAL, Parity::EvenAndNext, 0), Some(5002));
        assert_eq!(ports.take(LOCAL, Parity::EvenAndNext, 0), None);
        assert_eq!(ports.take(LOCAL, Parity::Any, 0), Some(5000));
    }

    #[test]
    fn a_foreign_port_is_left_alone_until_forgotten() {
        let ports = Ports::new([LOCAL], PortRange::new(5000, 5001).unwrap());
        let port = ports.take(LOCAL, Parity::Any, 0).unwrap();
        ports.release_foreign(LOCAL, port);
        let other = ports.take(LOCAL, Parity::Any, 0).unwrap();
        assert_ne!(port, other);
        assert_eq!(ports.take(LOCAL, Parity::Any, 0), None);
        ports.forget_foreign(LOCAL, port);
        assert_eq!(ports.take(LOCAL, Parity::Any, 0), Some(port));
    }
}
