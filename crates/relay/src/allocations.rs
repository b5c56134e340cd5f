//! All allocations of a shard, by everything they are found by.

use std::net::SocketAddr;

use ahash::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::allocation::{Allocation, Relay};
use crate::{AllocationId, ClientTuple, RelayId};

#[derive(Debug)]
pub(crate) struct Allocations {
    slots: Slab<Allocation>,
    by_client: HashMap<ClientTuple, AllocationId, RandomState>,
    by_relayed: HashMap<SocketAddr, RelayId, RandomState>,
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
    pub(crate) fn by_relayed(&self, relayed: SocketAddr) -> Option<RelayId> {
        self.by_relayed.get(&relayed).copied()
    }

    pub(crate) fn relay(&self, id: RelayId) -> Option<&Relay> {
        self.get(id.allocation)?.relays.get(id.family)
    }

    pub(crate) fn relay_mut(&mut self, id: RelayId) -> Option<&mut Relay> {
        self.get_mut(id.allocation)?.relays.get_mut(id.family)
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
        for relay in allocation.relays.iter() {
            let relay_id = allocation.relay_id(relay.family());
            self.by_relayed.insert(relay.relayed, relay_id);
        }
        id
    }

    /// Moves an allocation to another relay socket of the family, after the first could not be
    /// opened.
    pub(crate) fn replace_relay(&mut self, id: RelayId, relay: Relay) {
        let Some(allocation) = self.get_mut(id.allocation) else {
            return;
        };
        if let Some(old) = allocation.relays.set(relay) {
            self.by_relayed.remove(&old.relayed);
        }
        self.by_relayed.insert(relay.relayed, id);
    }

    /// Takes one relay socket from an allocation.
    pub(crate) fn remove_relay(&mut self, id: RelayId) -> Option<Relay> {
        let relay = self.get_mut(id.allocation)?.relays.take(id.family)?;
        self.by_relayed.remove(&relay.relayed);
        Some(relay)
    }

    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Allocation> {
        self.get(id)?;
        let allocation = self.slots.remove(id.slot as usize);
        self.by_client.remove(&allocation.client);
        for relayed in allocation.relays.relayed() {
            self.by_relayed.remove(&relayed);
        }
        Some(allocation)
    }

    /// All of them, in the order of slots.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AllocationId> {
        self.slots.iter().map(|(_, allocation)| allocation.id)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many relay sockets they have, also those still to be opened.
    pub(crate) fn relays(&self) -> usize {
        self.by_relayed.len()
    }

    /// Whether none is left, by any way to find it.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.by_client.is_empty() && self.by_relayed.is_empty()
    }
}
