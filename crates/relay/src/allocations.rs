//! All allocations of a shard, by everything they are found by.

use std::net::SocketAddr;

use ahash::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::allocation::{Allocation, Relay};
use crate::{AllocationId, ClientTuple};

#[derive(Debug)]
pub(crate) struct Allocations {
    slots: Slab<Allocation>,
    by_client: HashMap<ClientTuple, AllocationId, RandomState>,
    by_relayed: HashMap<SocketAddr, AllocationId, RandomState>,
    generation: u32,
}

impl Allocations {
    pub(crate) fn new(hasher: RandomState, generation: u32) -> Self {
        Self {
            slots: Slab::new(),
            by_client: HashMap::with_hasher(hasher.clone()),
            by_relayed: HashMap::with_hasher(hasher),
            generation,
        }
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

    pub(crate) fn of(&self, client: ClientTuple) -> Option<&Allocation> {
        self.get(*self.by_client.get(&client)?)
    }

    pub(crate) fn of_mut(&mut self, client: ClientTuple) -> Option<&mut Allocation> {
        self.get_mut(*self.by_client.get(&client)?)
    }

    /// Who has a relayed transport address.
    pub(crate) fn by_relayed(&self, relayed: SocketAddr) -> Option<AllocationId> {
        self.by_relayed.get(&relayed).copied()
    }

    /// Adds the allocation that `make` makes of its id.
    pub(crate) fn insert(&mut self, make: impl FnOnce(AllocationId) -> Allocation) -> AllocationId {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("there are fewer ports than that");
        let id = AllocationId {
            slot,
            generation: self.generation,
        };
        let allocation = entry.insert(make(id));
        self.by_client.insert(allocation.client, id);
        self.by_relayed.insert(allocation.relay.relayed, id);
        id
    }

    /// Moves an allocation to another relay socket, after the first could not be opened.
    pub(crate) fn replace_relay(&mut self, id: AllocationId, relay: Relay) {
        let Some(allocation) = self.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut allocation.relay, relay);
        self.by_relayed.remove(&old.relayed);
        self.by_relayed.insert(relay.relayed, id);
    }

    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Allocation> {
        self.get(id)?;
        let allocation = self.slots.remove(id.slot as usize);
        self.by_client.remove(&allocation.client);
        self.by_relayed.remove(&allocation.relay.relayed);
        Some(allocation)
    }

    /// All of them, in the order of slots.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AllocationId> {
        self.slots.iter().map(|(_, allocation)| allocation.id)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is left, by any way to find it.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.by_client.is_empty() && self.by_relayed.is_empty()
    }
}
