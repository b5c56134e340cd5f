//! Where the allocations are that may move, for the shard that is shown a ticket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::MacKey;

use crate::AllocationId;
use crate::mobility::ShardId;
use crate::nonce::Issued;
use crate::realms::RealmId;

/// Every allocation with a ticket, by its number. Touched when one begins, moves or ends, and when a
/// ticket is shown; never by a packet of data.
#[derive(Debug, Default)]
pub struct Whereabouts(Mutex<Register>);

#[derive(Debug, Default)]
struct Register {
    /// The number that was given last.
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    holder: Option<Holder>,
}

/// Whose an allocation is that was opened with a password, so that its key is known wherever its
/// client comes to.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) realm: RealmId,
    pub(crate) user: Arc<str>,
    pub(crate) key: MacKey,
    /// When the nonce was made that it was opened with.
    pub(crate) opened_with: Issued,
}

/// Where an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a shard, where it has this id.
    At(ShardId, AllocationId),
    /// On its way from one shard to another.
    Between,
}

impl Whereabouts {
    /// Enters a new allocation; returns its number.
    pub(crate) fn enter(&self, shard: ShardId, id: AllocationId, holder: Option<Holder>) -> u64 {
        let mut register = self.register();
        register.last += 1;
        let number = register.last;
        let place = Place::At(shard, id);
        register.entries.insert(number, Entry { place, holder });
        number
    }

    /// Where an allocation is, if it is still there.
    pub(crate) fn find(&self, number: u64) -> Option<Place> {
        self.register()
            .entries
            .get(&number)
            .map(|entry| entry.place)
    }

    /// Whose it is, and under which key.
    pub(crate) fn holder(&self, number: u64) -> Option<Holder> {
        self.register().entries.get(&number)?.holder.clone()
    }

    /// An allocation left for another shard, or came to it. Only who has it says so.
    pub(crate) fn note(&self, number: u64, place: Place) {
        if let Some(entry) = self.register().entries.get_mut(&number) {
            entry.place = place;
        }
    }

    /// An allocation ended.
    pub(crate) fn remove(&self, number: u64) {
        self.register().entries.remove(&number);
    }

    /// How many allocations may move.
    pub fn count(&self) -> usize {
        self.register().entries.len()
    }

    /// A new life of a shard has nothing of what its last one had.
    pub(crate) fn forget(&self, shard: ShardId) {
        self.register()
            .entries
            .retain(|_, entry| !matches!(entry.place, Place::At(at, _) if at == shard));
    }

    /// Each change is one call on the map, so a shard that panicked does not spoil it.
    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_begins_anew_has_nothing_of_its_last_life() {
        let whereabouts = Whereabouts::default();
        let id = AllocationId {
            slot: 0,
            generation: 7,
        };
        let [first, second, third] =
            [ShardId(0), ShardId(1), ShardId(0)].map(|shard| whereabouts.enter(shard, id, None));
        whereabouts.note(third, Place::Between);
        whereabouts.forget(ShardId(0));
        assert_eq!(whereabouts.find(first), None);
        assert_eq!(whereabouts.find(second), Some(Place::At(ShardId(1), id)));
        // That is its next shard's.
        assert_eq!(whereabouts.find(third), Some(Place::Between));
    }
}
