//! The shards that have the UDP sockets of ports, for datagrams from one relayed address to another.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ShardId;

/// The shard that has the UDP socket of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// This shard, for the allocation in this slot of it.
    At(ShardId, u32),
    /// None for the moment: the allocation is on its way from one shard to another.
    Between,
}

/// The homes of the ports of an address, each in a word of its own, so that the packet path reads it
/// without a lock.
#[derive(Debug)]
pub(super) struct Homes(Vec<AtomicU64>);

impl Homes {
    /// No port has a home.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU64::new(NOWHERE)).collect())
    }

    pub(super) fn get(&self, index: usize) -> Option<Home> {
        match self.0[index].load(Ordering::Relaxed) {
            NOWHERE => None,
            BETWEEN => Some(Home::Between),
            word => {
                let shard = ShardId((word >> 32) as u16);
                Some(Home::At(shard, word as u32))
            }
        }
    }

    pub(super) fn set(&self, index: usize, home: Home) {
        let word = match home {
            Home::At(ShardId(shard), slot) => SOMEWHERE | u64::from(shard) << 32 | u64::from(slot),
            Home::Between => BETWEEN,
        };
        self.0[index].store(word, Ordering::Relaxed);
    }

    pub(super) fn clear(&self, index: usize) {
        self.0[index].store(NOWHERE, Ordering::Relaxed);
    }
}

const NOWHERE: u64 = 0;
const BETWEEN: u64 = 1;
/// Set in every other word: a slot may be 0 or 1, and so may a shard.
const SOMEWHERE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_read_as_it_was_written() {
        let homes = Homes::new(2);
        for home in [
            Home::At(ShardId(0), 0),
            Home::At(ShardId(0), 1),
            Home::At(ShardId(u16::MAX), u32::MAX),
            Home::Between,
        ] {
            homes.set(1, home);
            assert_eq!((homes.get(0), homes.get(1)), (None, Some(home)));
        }
        homes.clear(1);
        assert_eq!(homes.get(1), None);
    }
}
