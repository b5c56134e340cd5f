//! Bound channels, by both of their ends. RFC 8656 §12.

use std::time::Instant;

use ahash::RandomState;
use hashbrown::HashMap;
use wire::ChannelNumber;

use crate::{ClientTuple, PeerAddr, RelayId};

/// One bound channel, read in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The client that bound it.
    pub client: ClientTuple,
    /// Its number.
    pub channel: ChannelNumber,
    /// The relay socket that it sends from.
    pub relay: RelayId,
    /// Its peer.
    pub peer: PeerAddr,
}

/// All bound channels of a shard, by either end.
#[derive(Debug)]
pub(crate) struct Routes {
    by_channel: HashMap<(ClientTuple, ChannelNumber), Bound, RandomState>,
    by_peer: HashMap<(RelayId, PeerAddr), ChannelNumber, RandomState>,
}

/// The peer and deadline of a channel, seen from its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) relay: RelayId,
    pub(crate) peer: PeerAddr,
    pub(crate) deadline: Instant,
}

impl Routes {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            by_channel: HashMap::with_hasher(hasher.clone()),
            by_peer: HashMap::with_hasher(hasher),
        }
    }

    /// The binding of a client's channel.
    pub(crate) fn by_channel(&self, client: ClientTuple, channel: ChannelNumber) -> Option<Bound> {
        self.by_channel.get(&(client, channel)).copied()
    }

    /// The channel that a peer is bound to.
    pub(crate) fn by_peer(&self, relay: RelayId, peer: PeerAddr) -> Option<ChannelNumber> {
        self.by_peer.get(&(relay, peer)).copied()
    }

    /// Enters a channel, or gives it another deadline.
    pub(crate) fn bind(&mut self, route: Route, deadline: Instant) {
        let Route {
            client,
            channel,
            relay,
            peer,
        } = route;
        let bound = Bound {
            relay,
            peer,
            deadline,
        };
        self.by_channel.insert((client, channel), bound);
        self.by_peer.insert((relay, peer), channel);
    }

    /// Forgets a channel; returns its binding.
    pub(crate) fn unbind(&mut self, client: ClientTuple, channel: ChannelNumber) -> Option<Bound> {
        let bound = self.by_channel.remove(&(client, channel))?;
        self.by_peer.remove(&(bound.relay, bound.peer));
        Some(bound)
    }

    /// Whether no channel is bound, in either table.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_channel.is_empty() && self.by_peer.is_empty()
    }

    /// How many channels are bound.
    pub(crate) fn len(&self) -> usize {
        self.by_channel.len()
    }
}

impl Bound {
    /// The whole route, of a client's channel that leads here.
    pub(crate) const fn route(self, client: ClientTuple, channel: ChannelNumber) -> Route {
        Route {
            client,
            channel,
            relay: self.relay,
            peer: self.peer,
        }
    }
}
