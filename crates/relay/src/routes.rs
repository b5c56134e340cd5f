//! Bound channels: the one sentence every data plane understands. RFC 8656 §12.

use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use wire::ChannelNumber;

use crate::{ClientTuple, PeerAddr, RelayId};

/// One bound channel, read in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who bound it.
    pub client: ClientTuple,
    /// Under which number.
    pub channel: ChannelNumber,
    /// From which relay socket.
    pub relay: RelayId,
    /// To whom.
    pub peer: PeerAddr,
}

/// All bound channels of a shard, by either end. The tables hold places only: with the keys beside
/// them every channel would be kept twice.
#[derive(Debug)]
pub(crate) struct Routes {
    places: Slab<Place>,
    by_channel: HashTable<u32>,
    by_peer: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Place {
    route: Route,
    deadline: Instant,
}

/// Where a channel leads, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) relay: RelayId,
    pub(crate) peer: PeerAddr,
    pub(crate) deadline: Instant,
}

impl Routes {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            places: Slab::new(),
            by_channel: HashTable::new(),
            by_peer: HashTable::new(),
            hasher,
        }
    }

    /// Where a client's channel leads.
    pub(crate) fn by_channel(&self, client: ClientTuple, channel: ChannelNumber) -> Option<Bound> {
        let place = self.places.get(self.find(client, channel)? as usize)?;
        Some(place.bound())
    }

    /// The channel that a peer is bound to.
    pub(crate) fn by_peer(&self, relay: RelayId, peer: PeerAddr) -> Option<ChannelNumber> {
        let hash = self.hasher.hash_one((relay, peer));
        let is_it = |place: &u32| {
            let route = self.route(*place);
            route.is_some_and(|it| (it.relay, it.peer) == (relay, peer))
        };
        let place = self.by_peer.find(hash, is_it)?;
        self.route(*place).map(|route| route.channel)
    }

    /// Binds a channel or prolongs it; returns the new deadline.
    pub(crate) fn bind(&mut self, route: Route, now: Instant) -> Instant {
        let deadline = now + LIFETIME;
        let known = self.find(route.client, route.channel);
        if let Some(known) = known.and_then(|place| self.places.get_mut(place as usize)) {
            known.deadline = deadline;
            return deadline;
        }
        self.bind_until(route, deadline);
        deadline
    }

    /// Binds a channel that is not bound, until a deadline that it has already.
    pub(crate) fn bind_until(&mut self, route: Route, deadline: Instant) {
        let place = self.places.insert(Place { route, deadline });
        let place = u32::try_from(place).expect("memory ends before");
        let Self { places, hasher, .. } = self;
        // Every place that is listed is taken.
        let route = |place: &u32| places.get(*place as usize).map(|place| &place.route);
        let hash = |place: &u32| route(place).map_or(0, |it| by_channel(hasher, it));
        self.by_channel.insert_unique(hash(&place), place, hash);
        let hash = |place: &u32| route(place).map_or(0, |it| by_peer(hasher, it));
        self.by_peer.insert_unique(hash(&place), place, hash);
    }

    /// Gives a channel to the 5-tuple that its client has now.
    pub(crate) fn rebind(&mut self, old: ClientTuple, new: ClientTuple, channel: ChannelNumber) {
        if let Some(bound) = self.unbind(old, channel) {
            let Bound {
                relay,
                peer,
                deadline,
            } = bound;
            let route = Route {
                client: new,
                channel,
                relay,
                peer,
            };
            self.bind_until(route, deadline);
        }
    }

    /// Forgets a channel; returns what it was.
    pub(crate) fn unbind(&mut self, client: ClientTuple, channel: ChannelNumber) -> Option<Bound> {
        let place = self.find(client, channel)?;
        let gone = self.places.try_remove(place as usize)?;
        for (table, hash) in [
            (&mut self.by_channel, by_channel(&self.hasher, &gone.route)),
            (&mut self.by_peer, by_peer(&self.hasher, &gone.route)),
        ] {
            if let Ok(entry) = table.find_entry(hash, |listed| *listed == place) {
                entry.remove();
            }
        }
        Some(gone.bound())
    }

    /// Whether no channel is bound, seen from either end.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.by_channel.is_empty() && self.by_peer.is_empty()
    }

    fn find(&self, client: ClientTuple, channel: ChannelNumber) -> Option<u32> {
        let hash = self.hasher.hash_one((client, channel));
        let is_it = |place: &u32| {
            let route = self.route(*place);
            route.is_some_and(|it| (it.client, it.channel) == (client, channel))
        };
        self.by_channel.find(hash, is_it).copied()
    }

    fn route(&self, place: u32) -> Option<&Route> {
        let place = self.places.get(place as usize)?;
        Some(&place.route)
    }
}

impl Place {
    const fn bound(&self) -> Bound {
        Bound {
            relay: self.route.relay,
            peer: self.route.peer,
            deadline: self.deadline,
        }
    }
}

fn by_channel(hasher: &RandomState, route: &Route) -> u64 {
    hasher.hash_one((route.client, route.channel))
}

fn by_peer(hasher: &RandomState, route: &Route) -> u64 {
    hasher.hash_one((route.relay, route.peer))
}

/// Fixed by the protocol. RFC 8656 §12.
const LIFETIME: Duration = Duration::from_secs(600);
