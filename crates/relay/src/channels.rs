//! Channels: how they begin, are prolonged, move and end. RFC 8656 §12.
//!
//! A channel is in both tables of [`crate::routes::Routes`], in the list of its allocation and in
//! the queue of timers, and effects report it to a data path beside the server. Only this file
//! changes any of them, and always all together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::ChannelNumber;

use crate::allocation::Allocation;
use crate::policy::Policy;
use crate::routes::Bound;
use crate::timers::Timer;
use crate::{AllocationId, ClientTuple, Effect, Event, RelayId, Route, Server};

impl Server {
    /// Binds a channel, or prolongs it.
    pub(crate) fn bind_channel(&mut self, now: Instant, route: Route) {
        let id = route.relay.allocation;
        let timer = Timer::Channel(id, route.channel);
        match self.routes.by_channel(route.client, route.channel) {
            Some(bound) => self.timers.disarm(bound.deadline, timer),
            None => {
                if let Some(allocation) = self.allocations.get_mut(id) {
                    allocation.channels.push(route.channel);
                }
                self.effects.push(Effect::Bind(route));
            }
        }
        self.note_route(route, now + LIFETIME);
    }

    /// Ends a channel whose lifetime is over.
    pub(crate) fn expire_channel(
        &mut self,
        now: Instant,
        id: AllocationId,
        channel: ChannelNumber,
    ) {
        self.cut_channel(now, id, channel, false);
    }

    /// Ends a channel whose time is over or whose peer is denied.
    fn cut_channel(
        &mut self,
        now: Instant,
        id: AllocationId,
        channel: ChannelNumber,
        denied: bool,
    ) {
        let Some(allocation) = self.allocations.get_mut(id) else {
            return;
        };
        allocation.channels.retain(|bound| *bound != channel);
        let client = allocation.client;
        if let Some(bound) = self.end_channel(id, client, channel) {
            let peer = bound.peer.0;
            let over = Event::ChannelOver {
                channel,
                peer,
                denied,
            };
            self.note(now, id, &over);
        }
    }

    /// Ends all channels of an allocation that was removed from the tables; returns their bindings.
    pub(crate) fn end_channels(&mut self, allocation: &Allocation) -> Vec<(ChannelNumber, Bound)> {
        let (id, client) = (allocation.id, allocation.client);
        let channels = allocation.channels.iter();
        let ended = channels
            .filter_map(|channel| Some((*channel, self.end_channel(id, client, *channel)?)));
        ended.collect()
    }

    /// Ends the channels to peers of one family. RFC 8656 §8.1.
    pub(crate) fn end_channels_of(&mut self, relay: RelayId) {
        let id = relay.allocation;
        let Some(allocation) = self.allocations.get_mut(id) else {
            return;
        };
        let (client, routes) = (allocation.client, &self.routes);
        let is_of = |channel: &ChannelNumber| {
            let bound = routes.by_channel(client, *channel);
            bound.is_some_and(|bound| bound.relay == relay)
        };
        let ended: Vec<_> = allocation.channels.extract_if(.., |it| is_of(it)).collect();
        for channel in ended {
            self.end_channel(id, client, channel);
        }
    }

    /// Ends the permissions and channels of peers that the policy denies by now.
    pub(crate) fn judge_peers_of(&mut self, now: Instant, id: AllocationId) {
        let rules = Arc::clone(&self.rules);
        self.end_denied_channels(now, id, &rules.policy);
        self.end_denied_connections(now, id, &rules.policy);
        let allocation = self.allocations.get_mut(id);
        let denied = allocation.map(|it| it.permissions.judge_again(&rules.policy));
        for peer in denied.into_iter().flatten() {
            let denied = true;
            self.note(now, id, &Event::PermissionOver { peer, denied });
        }
    }

    /// Ends the channels to peers that the policy denies by now.
    fn end_denied_channels(&mut self, now: Instant, id: AllocationId, policy: &Policy) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let client = allocation.client;
        let is_denied = |channel: &&ChannelNumber| {
            let bound = self.routes.by_channel(client, **channel);
            bound.is_some_and(|bound| policy.judge(bound.peer.0).is_err())
        };
        let channels = allocation.channels.iter();
        let denied: Vec<_> = channels.filter(is_denied).copied().collect();
        for channel in denied {
            self.cut_channel(now, id, channel, true);
        }
    }

    /// Binds the channels that an allocation brings from another shard; they end when they would
    /// have ended there.
    pub(crate) fn adopt_channels(
        &mut self,
        id: AllocationId,
        client: ClientTuple,
        channels: Vec<(ChannelNumber, Bound)>,
    ) {
        for (channel, mut bound) in channels {
            bound.relay.allocation = id;
            let route = bound.route(client, channel);
            self.effects.push(Effect::Bind(route));
            self.note_route(route, bound.deadline);
        }
    }

    /// Gives the channels of an allocation the new 5-tuple of its client.
    pub(crate) fn move_channels(&mut self, id: AllocationId, old: ClientTuple, new: ClientTuple) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        for channel in &allocation.channels {
            if let Some(bound) = self.routes.unbind(old, *channel) {
                self.effects
                    .push(Effect::Unbind(bound.route(old, *channel)));
                let route = bound.route(new, *channel);
                self.effects.push(Effect::Bind(route));
                self.routes.bind(route, bound.deadline);
            }
        }
    }

    fn note_route(&mut self, route: Route, deadline: Instant) {
        self.routes.bind(route, deadline);
        let timer = Timer::Channel(route.relay.allocation, route.channel);
        self.timers.arm(deadline, timer);
    }

    fn end_channel(
        &mut self,
        id: AllocationId,
        client: ClientTuple,
        channel: ChannelNumber,
    ) -> Option<Bound> {
        let bound = self.routes.unbind(client, channel)?;
        let timer = Timer::Channel(id, channel);
        self.timers.disarm(bound.deadline, timer);
        self.effects
            .push(Effect::Unbind(bound.route(client, channel)));
        Some(bound)
    }
}

/// Fixed by the protocol. RFC 8656 §12.
const LIFETIME: Duration = Duration::from_secs(600);
