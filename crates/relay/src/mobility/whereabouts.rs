//! The whereabouts of all allocations that may move, for the shard that is shown a ticket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::MacKey;

use crate::AllocationId;
use crate::mobility::ShardId;
use crate::nonce::Issued;
use crate::realms::RealmId;

/// Every allocation with a ticket, by its number. It is locked when one begins, moves or ends, and
/// when a ticket is shown; never by a packet of data.
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

/// The user and key of an allocation that was opened with a password, so that any shard that its
/// client comes to can verify the client.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) realm: RealmId,
    pub(crate) user: Arc<str>,
    pub(crate) key: MacKey,
    /// When the nonce was made that the allocation was opened with.
    pub(crate) opened_with: Issued,
}

/// Where an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the shard that is named, under the id that is named.
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

    /// Enters an allocation under the number that it had in a process before this one.
    pub(crate) fn restore(&self, number: u64, place: Place, holder: Option<Holder>) {
        let mut register = self.register();
        register.last = register.last.max(number);
        register.entries.insert(number, Entry { place, holder });
    }

    /// Goes on behind the numbers that were given by a process before this one: a ticket of one of
    /// them must not be good for another allocation.
    pub(crate) fn go_on_from(&self, last: u64) {
        self.register().last = last;
    }

    /// The number that was given last.
    pub(crate) fn last(&self) -> u64 {
        self.register().last
    }

    /// The place of an allocation, if it still exists.
    pub(crate) fn find(&self, number: u64) -> Option<Place> {
        self.register()
            .entries
            .get(&number)
            .map(|entry| entry.place)
    }

    /// The user and the key of an allocation.
    pub(crate) fn holder(&self, number: u64) -> Option<Holder> {
        self.register().entries.get(&number)?.holder.clone()
    }

    /// Notes that an allocation left for another shard, or came to it. Only the shard that has it
    /// calls this.
    pub(crate) fn note(&self, number: u64, place: Place) {
        if let Some(entry) = self.register().entries.get_mut(&number) {
            entry.place = place;
        }
    }

    /// Removes an allocation that ended.
    pub(crate) fn remove(&self, number: u64) {
        self.register().entries.remove(&number);
    }

    /// How many allocations may move.
    pub fn count(&self) -> usize {
        self.register().entries.len()
    }

    /// Removes all allocations of a shard, which begins anew with none.
    pub(crate) fn forget(&self, shard: ShardId) {
        self.register()
            .entries
            .retain(|_, entry| !matches!(entry.place, Place::At(at, _) if at == shard));
    }

    /// Each change is one call on the map, so a shard that panics leaves it whole.
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
        // The allocation on its way belongs to the next shard now.
        assert_eq!(whereabouts.find(third), Some(Place::Between));
    }
}
