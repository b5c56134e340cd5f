//! All allocations of a shard, and the tables to find them by.

use std::net::SocketAddr;
use std::ops::Range;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};
use slab::Slab;
use wire::AddressFamily;

use crate::allocation::{Allocation, Relay};
use crate::{AllocationId, ClientTuple, RelayId};

/// The tables hold ids only. The address that an allocation is found by is kept in the allocation
/// itself, which the caller reads next anyway. A key beside each id would cost ten times the memory
/// of the id.
#[derive(Debug)]
pub(crate) struct Allocations {
    slots: Slab<Allocation>,
    by_client: HashTable<AllocationId>,
    /// Allocations by the 5-tuple that their client is moving to; empty most of the time. RFC 8016.
    by_next: HashMap<ClientTuple, AllocationId, RandomState>,
    hasher: RandomState,
    generation: u32,
}

impl Allocations {
    pub(crate) fn new(hasher: RandomState, generation: u32) -> Self {
        Self {
            slots: Slab::new(),
            by_client: HashTable::new(),
            by_next: HashMap::with_hasher(hasher.clone()),
            hasher,
            generation,
        }
    }

    /// Tables like these with allocations that keep the ids that they had in another core, which
    /// gave this generation last.
    pub(crate) fn restored(like: &Self, generation: u32, all: Vec<Allocation>) -> Self {
        let mut restored = Self::new(like.hasher.clone(), generation);
        let ids: Vec<_> = all.iter().map(|it| (it.id, it.next())).collect();
        let slots = all.into_iter().map(|it| (it.id.slot as usize, it));
        restored.slots = slots.collect();
        restored.slots.shrink_to_fit();
        for (id, next) in ids {
            restored.list_client(id);
            if let Some(next) = next {
                restored.add_next(id, next.client);
            }
        }
        restored
    }

    /// The generation that was given last.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.slots
            .get(id.slot as usize)
            .filter(|allocation| allocation.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|allocation| allocation.id == id)
    }

    /// A keyed hash of the account of an allocation.
    pub(crate) fn party(&self, id: AllocationId) -> u64 {
        let account = self.get(id).map(|it| (it.realm, &*it.account));
        self.hasher.hash_one(account)
    }

    /// The allocation of a 5-tuple, which may be the one that its client is moving to.
    pub(crate) fn of(&self, client: ClientTuple) -> Option<&Allocation> {
        self.slots.get(self.find(client)?.slot as usize)
    }

    pub(crate) fn of_mut(&mut self, client: ClientTuple) -> Option<&mut Allocation> {
        self.slots.get_mut(self.find(client)?.slot as usize)
    }

    fn going_to(&self, client: ClientTuple) -> Option<&AllocationId> {
        if self.by_next.is_empty() {
            return None;
        }
        self.by_next.get(&client)
    }

    /// The relay socket that is bound to this address, if the allocation in this slot has it.
    pub(crate) fn relay_at(&self, slot: u32, local: SocketAddr) -> Option<RelayId> {
        let allocation = self.slots.get(slot as usize)?;
        let family = AddressFamily::of(local.ip());
        let relay = allocation.relays.get(family)?;
        (relay.local == local).then(|| allocation.relay_id(family))
    }

    pub(crate) fn relay(&self, id: RelayId) -> Option<&Relay> {
        self.get(id.allocation)?.relays.get(id.family)
    }

    pub(crate) fn relay_mut(&mut self, id: RelayId) -> Option<&mut Relay> {
        self.get_mut(id.allocation)?.relays.get_mut(id.family)
    }

    /// Adds an allocation. `make` is given the new id and returns the allocation.
    pub(crate) fn insert(&mut self, make: impl FnOnce(AllocationId) -> Allocation) -> AllocationId {
        self.make_room();
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("there are fewer ports than that");
        let id = AllocationId {
            slot,
            generation: self.generation,
        };
        entry.insert(make(id));
        self.list_client(id);
        id
    }

    /// Grows the list of slots in small steps: a `Vec` by itself doubles, and half of it could be
    /// empty.
    fn make_room(&mut self) {
        let taken = self.slots.len();
        if taken == self.slots.capacity() {
            self.slots.reserve_exact((taken / 8).max(16));
        }
    }

    /// Moves an allocation to another relay socket of the family, after the first could not be
    /// opened.
    pub(crate) fn replace_relay(&mut self, id: RelayId, relay: Relay) {
        if let Some(allocation) = self.get_mut(id.allocation) {
            allocation.relays.set(relay);
        }
    }

    /// Takes one relay socket from an allocation.
    pub(crate) fn remove_relay(&mut self, id: RelayId) -> Option<Relay> {
        self.get_mut(id.allocation)?.relays.take(id.family)
    }

    /// Makes an allocation known also by the 5-tuple that its client is moving to.
    pub(crate) fn add_next(&mut self, id: AllocationId, next: ClientTuple) {
        self.by_next.insert(next, id);
    }

    /// Forgets a 5-tuple that a client was moving to.
    pub(crate) fn forget_next(&mut self, next: ClientTuple) {
        self.by_next.remove(&next);
    }

    /// Gives an allocation another 5-tuple; returns the old one, by which it is no longer found.
    pub(crate) fn change_client(
        &mut self,
        id: AllocationId,
        client: ClientTuple,
    ) -> Option<ClientTuple> {
        let old = self.get(id)?.client;
        self.unlist_client(id, old);
        self.get_mut(id)?.client = client;
        self.list_client(id);
        self.by_next.remove(&client);
        Some(old)
    }

    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Allocation> {
        self.get(id)?;
        let allocation = self.slots.remove(id.slot as usize);
        self.unlist_client(id, allocation.client);
        Some(allocation)
    }

    /// All of them, in the order of slots.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AllocationId> {
        self.slots.iter().map(|(_, allocation)| allocation.id)
    }

    /// Those at these places.
    pub(crate) fn ids_at(&self, places: Range<usize>) -> impl Iterator<Item = AllocationId> {
        let places = places.start..places.end.min(self.places());
        places.filter_map(|place| Some(self.slots.get(place)?.id))
    }

    /// How many places there are, of which some may be empty.
    pub(crate) fn places(&self) -> usize {
        self.slots.capacity()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many relay sockets they have, also those still to be opened.
    pub(crate) fn relays(&self) -> usize {
        let relays = self.slots.iter().map(|(_, it)| it.relays.iter().count());
        relays.sum()
    }

    /// Whether there are no allocations, in any of the tables.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.by_client.is_empty() && self.by_next.is_empty()
    }
}

/// The tables. Every id that is listed has its slot.
impl Allocations {
    fn find(&self, client: ClientTuple) -> Option<AllocationId> {
        let hash = self.hasher.hash_one(client);
        let is_of = |id: &AllocationId| {
            let allocation = self.slots.get(id.slot as usize);
            allocation.is_some_and(|it| it.client == client)
        };
        let settled = self.by_client.find(hash, is_of);
        settled.or_else(|| self.going_to(client)).copied()
    }

    fn list_client(&mut self, id: AllocationId) {
        let Self { slots, hasher, .. } = self;
        let hash = |id: &AllocationId| {
            let allocation = slots.get(id.slot as usize);
            allocation.map_or(0, |allocation| hasher.hash_one(allocation.client))
        };
        self.by_client.insert_unique(hash(&id), id, hash);
    }

    fn unlist_client(&mut self, id: AllocationId, client: ClientTuple) {
        let hash = self.hasher.hash_one(client);
        if let Ok(entry) = self.by_client.find_entry(hash, |listed| *listed == id) {
            entry.remove();
        }
    }
}
