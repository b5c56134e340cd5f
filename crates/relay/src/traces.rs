//! Traces: what the clients that the operator named do, told while they do it.
//!
//! A shard is told what is traced, and by [`Server::handle_command`] only. Where nobody traces, a request
//! costs one comparison more, and data nothing. Events leave as effects; of data only sums do,
//! once a second.

mod disclosed;
mod tracer;

use std::time::{Duration, Instant};

use wire::Message;
use wire::attributes::XorPeerAddress;

use crate::allocation::Allocation;
use crate::realms::RealmId;
use crate::request::named_user;
use crate::story::Event;
use crate::timers::Timer;
use crate::{
    AllocationId, ClientTuple, DropReason, Now, Places, Quality, Reject, Selection, Server,
    Traffic, Verdict,
};
use tracer::Tracer;

/// The number of a trace, which nobody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u64);

/// The operator's wish to be told of some clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its number.
    pub id: TraceId,
    /// Whose doings: those of allocations that are meant, and of clients that ask for one in such a
    /// name, from such an address, or for such a peer.
    pub of: Selection,
    /// Whether the messages themselves are told, too.
    pub messages: bool,
}

/// One thing that a trace tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The trace.
    pub trace: TraceId,
    /// The allocation, if there is one.
    pub allocation: Option<AllocationId>,
    /// The client; `None` if it is about the trace itself.
    pub client: Option<ClientTuple>,
    /// The USERNAME, as it was claimed where it is not the allocation's.
    pub user: Option<Box<str>>,
    /// The event.
    pub what: Seen,
}

/// An event that a trace tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A control event.
    Event {
        /// Which.
        event: Event,
        /// Why a request was refused, as a sentence.
        reason: Option<Box<str>>,
    },
    /// The data of the last second, if there was any.
    Second {
        /// From the client to peers.
        sent: Traffic,
        /// From peers to the client.
        received: Traffic,
        /// Packets that were dropped, by reason.
        drops: Vec<(DropReason, u32)>,
        /// How good its legs are, where that is measured.
        quality: Option<Box<Quality>>,
    },
    /// A message, without what opens something: integrity, tickets, tokens and attributes that are not
    /// known are zeros. FINGERPRINT is that of these bytes.
    Message {
        /// Whether the client sent it; else the server.
        from_client: bool,
        /// The message.
        bytes: Vec<u8>,
    },
    /// There was more in the last second than a trace tells.
    Lost {
        /// Things that were not told.
        told: u32,
        /// Requests of clients that are not followed, as there are too many.
        clients: u32,
    },
}

/// The traces of a shard.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    all: Vec<Tracer>,
    /// Whether [`Timer::Traces`] is armed.
    is_armed: bool,
}

impl Traces {
    /// Whether there are any.
    #[inline]
    pub(crate) const fn are_any(&self) -> bool {
        !self.all.is_empty()
    }
}

/// Commands.
impl Server {
    /// Begins a trace, of what comes from now on.
    pub(crate) fn trace(&mut self, now: Instant, trace: Trace) {
        if !self.traces.is_armed {
            self.traces.is_armed = true;
            self.timers.arm(now + SECOND, Timer::Traces);
        }
        self.traces.all.push(Tracer::new(trace));
    }

    /// Ends a trace.
    pub(crate) fn untrace(&mut self, id: TraceId) {
        self.traces.all.retain(|it| it.trace.id != id);
    }

    /// Has a trace follow the allocations at these places that it means; returns the next place, if
    /// there are more.
    pub(crate) fn follow(&mut self, now: Instant, id: TraceId, places: Places) -> Option<usize> {
        let end = places.from.saturating_add(places.count);
        let mut traces = std::mem::take(&mut self.traces);
        if let Some(tracer) = traces.all.iter_mut().find(|it| it.trace.id == id) {
            let ids = self.allocations.ids_at(places.from..end);
            let selection = tracer.trace.of.clone();
            for allocation in self.selected(now, &selection, ids) {
                tracer.follow(
                    allocation.seen_at(),
                    Some(allocation),
                    Some(&allocation.user),
                );
            }
        }
        self.traces = traces;
        (end < self.allocations.places()).then_some(end)
    }
}

/// The events that are told.
impl Server {
    /// A request has come: whoever it concerns follows its client from now on.
    #[cold]
    pub(crate) fn trace_request(&mut self, now: Now, client: ClientTuple, message: &Message<'_>) {
        let claimed = named_user(message);
        let realm = self.rules.realms.at(client.server);
        let peers = message.get_all::<XorPeerAddress>();
        let peers: Vec<_> = peers
            .flatten()
            .map(|XorPeerAddress(peer)| peer.ip())
            .collect();
        let mut traces = std::mem::take(&mut self.traces);
        for tracer in &mut traces.all {
            let allocation = self.allocations.of(client);
            let of = &tracer.trace.of;
            let names_peer = || of.peer.is_none_or(|peer| peers.contains(&peer));
            let is_meant = match allocation {
                Some(it) => {
                    self.is_meant(now.mono, of, it)
                        || of.id.is_none()
                            && names_peer()
                            && self.is_claim_meant(of, client, it.realm, Some(&it.user))
                }
                None => {
                    of.id.is_none()
                        && names_peer()
                        && self.is_claim_meant(of, client, realm, claimed)
                }
            };
            let user = allocation.map_or(claimed, |it| Some(&*it.user));
            if is_meant {
                tracer.follow(client, allocation, user);
            }
            self.effects
                .extend(tracer.tell_message(client, true, message.as_bytes()));
        }
        self.traces = traces;
    }

    /// The answer in `reply` is sent to a client.
    pub(crate) fn trace_reply(&mut self, client: ClientTuple) {
        if self.traces.are_any() {
            let reply = std::mem::take(&mut self.reply);
            self.trace_answer(client, &reply);
            self.reply = reply;
        }
    }

    /// A message is sent to a client.
    pub(crate) fn trace_answer(&mut self, client: ClientTuple, message: &[u8]) {
        for tracer in &mut self.traces.all {
            self.effects
                .extend(tracer.tell_message(client, false, message));
        }
    }

    /// Tells of an event.
    pub(crate) fn trace_event(
        &mut self,
        client: ClientTuple,
        allocation: Option<AllocationId>,
        event: &Event,
        reject: Option<&Reject>,
    ) {
        for tracer in &mut self.traces.all {
            self.effects
                .extend(tracer.tell(client, allocation, || Seen::Event {
                    event: *event,
                    reason: reject.map(|reject| reject.to_string().into()),
                }));
        }
    }

    /// Counts a dropped packet of an allocation's for those who trace it.
    #[cold]
    fn trace_drop(&mut self, allocation: AllocationId, why: DropReason) {
        for tracer in &mut self.traces.all {
            let mut follows = tracer.follows.iter_mut();
            if let Some(followed) = follows.find(|it| it.allocation == Some(allocation)) {
                *followed.drops.entry(why).or_default() += 1;
            }
        }
    }

    /// Counts and drops a packet of data, of which the allocation is known.
    pub(crate) fn discard_of(
        &mut self,
        allocation: AllocationId,
        why: DropReason,
    ) -> Verdict<'static, 'static> {
        if self.traces.are_any() {
            self.trace_drop(allocation, why);
        }
        self.discard(why)
    }

    /// Counts and drops a packet of data of a client.
    pub(crate) fn discard_from(
        &mut self,
        client: ClientTuple,
        why: DropReason,
    ) -> Verdict<'static, 'static> {
        if self.traces.are_any()
            && let Some(id) = self.allocations.of(client).map(|it| it.id)
        {
            self.trace_drop(id, why);
        }
        self.discard(why)
    }

    /// An allocation came from another shard, under another id.
    pub(crate) fn trace_arrival(&mut self, now: Instant, was: AllocationId, id: AllocationId) {
        let mut traces = std::mem::take(&mut self.traces);
        if let Some(allocation) = self.allocations.get(id) {
            for tracer in &mut traces.all {
                if tracer.trace.of.id == Some(was) {
                    tracer.trace.of.id = Some(id);
                }
                if self.is_meant(now, &tracer.trace.of, allocation) {
                    let user = Some(&*allocation.user);
                    tracer.follow(allocation.seen_at(), Some(allocation), user);
                }
            }
        }
        self.traces = traces;
    }

    /// An allocation has ended, or left this shard: the last of its data is told.
    pub(crate) fn trace_end(&mut self, allocation: &Allocation) {
        for tracer in &mut self.traces.all {
            let (client, id) = (allocation.seen_at(), Some(allocation.id));
            let Some(followed) = tracer.followed(client, id) else {
                continue;
            };
            let second = followed.second(allocation, None);
            self.effects
                .extend(second.and_then(|second| tracer.tell(client, id, || second)));
            if let Some(followed) = tracer.followed(client, id) {
                followed.is_over = true;
            }
        }
    }

    /// A second is over.
    pub(crate) fn trace_second(&mut self, now: Instant) {
        let mut traces = std::mem::take(&mut self.traces);
        for tracer in &mut traces.all {
            let living = tracer.follows.iter().filter(|it| !it.is_over);
            let followed = living.filter_map(|it| it.allocation);
            let followed: Vec<AllocationId> = followed.collect();
            for id in followed {
                let Some(allocation) = self.allocations.get(id) else {
                    continue;
                };
                let client = allocation.seen_at();
                let quality = self.listed(now, allocation).quality;
                let second = tracer.followed(client, Some(id));
                let second = second.and_then(|it| it.second(allocation, quality));
                self.effects
                    .extend(second.and_then(|second| tracer.tell(client, Some(id), || second)));
            }
            self.effects.extend(tracer.begin_second());
        }
        let ids: Vec<_> = traces.all.iter().flat_map(|it| &it.follows).collect();
        let ids: Vec<_> = ids.iter().filter_map(|it| it.allocation).collect();
        self.traces = traces;
        for id in ids {
            self.note_what_is_over(now, id);
        }
        self.traces.is_armed = self.traces.are_any();
        if self.traces.is_armed {
            self.timers.arm(now + SECOND, Timer::Traces);
        }
    }

    /// Whether a client without an allocation, or with this one, is meant by all that is known of it but
    /// its id and its peers.
    pub(crate) fn is_claim_meant(
        &self,
        of: &Selection,
        client: ClientTuple,
        realm: RealmId,
        user: Option<&str>,
    ) -> bool {
        let realms = &self.rules.realms;
        let signer = user.map(|user| realms.signer(user.into(), realm, None));
        let its_realm = signer.as_ref().map_or(realm, |it| it.realm);
        let user = signer.as_ref().map(|it| it.user());
        let account = user.map(|user| realms.account(its_realm, user).name);
        of.realm
            .as_ref()
            .is_none_or(|wanted| **wanted == **realms.name(its_realm))
            && (of.user.as_ref()).is_none_or(|wanted| account == Some(wanted))
            && (of.credential.as_ref()).is_none_or(|wanted| user == Some(wanted))
            && (of.client.as_ref()).is_none_or(|it| it.contains_ip(client.client.ip()))
    }
}

const SECOND: Duration = Duration::from_secs(1);
