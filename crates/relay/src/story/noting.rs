//! Where events go: into the story of their allocation, or of a client without one, and to those who
//! trace it.

use std::net::SocketAddr;
use std::time::Instant;

use wire::Message;
use wire::attributes::{ChannelNumberAttribute, XorPeerAddress};
use wire::{ChannelNumber, Method};

use super::{Event, Story};
use crate::allocation::Allocation;
use crate::lately::Failure;
use crate::request::Whose;
use crate::{AllocationId, ClientTuple, DropReason, EndCause, Reject, Server, Standing, Transport};

impl Server {
    /// Notes an event of an allocation.
    pub(crate) fn note(&mut self, now: Instant, id: AllocationId, event: &Event) {
        self.note_what_is_over(now, id);
        self.note_at(now, id, event, None);
    }

    /// Notes the permissions that are over by now: there are no timers for them.
    pub(crate) fn note_what_is_over(&mut self, now: Instant, id: AllocationId) {
        let allocation = self.allocations.get_mut(id);
        let over = allocation.map(|it| it.permissions.take_over(now));
        for (peer, at) in over.into_iter().flatten() {
            let denied = false;
            self.note_at(at, id, &Event::PermissionOver { peer, denied }, None);
        }
    }

    fn note_at(&mut self, at: Instant, id: AllocationId, event: &Event, reject: Option<&Reject>) {
        let Some(allocation) = self.allocations.get_mut(id) else {
            return;
        };
        allocation.note(at, event);
        if self.traces.are_any() {
            let client = allocation.seen_at();
            self.trace_event(client, Some(id), event, reject);
        }
    }

    /// Notes that an allocation has moved to another 5-tuple.
    pub(crate) fn note_move(&mut self, now: Instant, id: AllocationId, client: ClientTuple) {
        let ClientTuple {
            transport, client, ..
        } = client;
        self.note(now, id, &Event::Moved { transport, client });
    }

    /// Notes that a request was granted.
    pub(crate) fn note_granted(
        &mut self,
        now: Instant,
        client: ClientTuple,
        request: &Message<'_>,
        lifetime: Option<u32>,
    ) {
        let event = granted(request, lifetime);
        match self.allocations.of(client).map(|it| it.id) {
            Some(id) => self.note(now, id, &event),
            None => self.trace_event(client, None, &event, None),
        }
    }

    /// Notes that an allocation was granted.
    pub(crate) fn note_opening(&mut self, now: Instant, id: AllocationId, lifetime: u32) {
        let event = Event::granted(Method::Allocate, Some(lifetime), None);
        self.note(now, id, &event);
    }

    /// Notes that a request was refused.
    pub(crate) fn note_refused(
        &mut self,
        now: Instant,
        whose: &Whose<'_>,
        method: Method,
        reject: &Reject,
    ) {
        let Whose {
            client,
            realm,
            user,
            proven,
            signed,
        } = *whose;
        let event = Event::Refused {
            method,
            refusal: reject.refusal(),
            peer: denied(reject),
            signed,
            times: 1,
        };
        if let Some(id) = self.open_allocation(client) {
            self.note_what_is_over(now, id);
            return self.note_at(now, id, &event, Some(reject));
        }
        self.trace_event(client, None, &event, Some(reject));
        // The first step of every client, or one to another server.
        if matches!(reject, Reject::Challenge | Reject::TryAlternate(_))
            || method == Method::Binding
        {
            return;
        }
        let standing = if signed {
            Standing::Signed
        } else if proven || client.transport != Transport::Udp {
            Standing::Seen
        } else {
            Standing::Claimed
        };
        let failure = Failure {
            client,
            realm,
            user,
            standing,
            event,
        };
        self.lately.fail(now, &failure);
    }

    /// Tells those who trace a client that a request of it is not answered.
    pub(crate) fn note_unanswered(
        &mut self,
        client: ClientTuple,
        request: &Message<'_>,
        why: DropReason,
    ) {
        let method = request.method();
        self.trace_event(client, None, &Event::Unanswered { method, why }, None);
    }

    /// Tells of the end of an allocation that was removed from the tables, and keeps its story.
    pub(crate) fn note_end(
        &mut self,
        now: Instant,
        allocation: &Allocation,
        (cause, story): (EndCause, Story),
    ) {
        if self.traces.are_any() {
            self.trace_end(allocation);
            let ended = Event::Ended { cause };
            let id = Some(allocation.id);
            self.trace_event(allocation.seen_at(), id, &ended, None);
        }
        let listed = self.listed(now, allocation);
        let story = (cause, allocation.born, story);
        self.lately.end(now, listed, story);
    }

    /// The allocation of a client, if the client knows of it.
    pub(crate) fn open_allocation(&self, client: ClientTuple) -> Option<AllocationId> {
        let allocation = self.allocations.of(client)?;
        allocation.is_open().then_some(allocation.id)
    }
}

/// The wish of a request that was granted.
fn granted(request: &Message<'_>, lifetime: Option<u32>) -> Event {
    let channel: Option<ChannelNumberAttribute> = request.get().ok().flatten();
    let mut peers = request.get_all::<XorPeerAddress>().flatten();
    let peer = peers.next().map(|XorPeerAddress(peer)| peer);
    Event::Granted {
        method: request.method(),
        lifetime,
        channel: channel.and_then(|ChannelNumberAttribute(number)| ChannelNumber::new(number)),
        peer,
        more: u8::try_from(peers.count()).unwrap_or(u8::MAX),
    }
}

/// The peer that a refusal is about.
const fn denied(reject: &Reject) -> Option<SocketAddr> {
    if let Reject::PeerDenied { peer, .. } = reject {
        Some(peer.0)
    } else {
        None
    }
}
