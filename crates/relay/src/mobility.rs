//! Mobility: an allocation whose client comes from another 5-tuple. RFC 8016.
//!
//! A Refresh that shows the ticket (`request::relocate`) gives the allocation a second 5-tuple
//! beside its own. Requests are answered on both. Data still goes to the first 5-tuple until the
//! client sends some from the new one, or its old connection ends: then the allocation *settles* on
//! the new 5-tuple and the old one is forgotten. RFC 8016 §3.2.2.
//!
//! The new 5-tuple may be one of another shard, as the kernel spreads 5-tuples by a hash. That
//! shard passes every packet from it to the *host*, the shard that has the allocation, and sends
//! back the host's answers. So until the client settles nothing moves, and the old 5-tuple is
//! served as before. When it settles, the allocation goes to the new shard with its relay sockets,
//! and the data path is within one shard again. Packets that the old host has not handled come back
//! before newer packets are handled, so the order within the 5-tuple holds.

mod arrival;
mod guests;
mod hosting;
mod mail;
mod ticket;
mod visiting;
mod whereabouts;

pub(crate) use guests::Guests;
pub use mail::{Arrival, Mail, ShardId};
pub(crate) use ticket::{Sealed, Ticket, Tickets};
pub use whereabouts::Whereabouts;
pub(crate) use whereabouts::{Holder, Place};

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Instant;

use wire::{ChannelNumber, TransactionId};

use crate::allocation::Allocation;
use crate::{AllocationId, ClientTuple, Effect, EndCause, Event, Now, Report, Server};

/// The part of an allocation that only one with a ticket has.
#[derive(Debug)]
pub(crate) struct Mobile {
    /// The same wherever the allocation moves, unlike its [`AllocationId`], which each shard gives
    /// anew.
    pub(crate) number: u64,
    /// How many tickets were used: only the ticket of that number is good.
    pub(crate) moves: u32,
    /// The last Refresh that used a ticket: a retransmission of it gets the same answer.
    pub(crate) last: Option<Move>,
    /// The 5-tuple that the client is moving to, until it settles there.
    pub(crate) next: Option<Path>,
    /// The shard that has the client's 5-tuple, if it is not this one: the allocation must go
    /// there.
    pub(crate) via: Option<ShardId>,
    /// The client's last 5-tuple, for reports, if its connection ended and no other came.
    pub(crate) lost: Option<ClientTuple>,
}

/// A Refresh that used a ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) transaction: TransactionId,
    pub(crate) client: ClientTuple,
    /// The lifetime granted, in seconds.
    pub(crate) lifetime: u32,
}

/// A 5-tuple, and the shard that has it, if it is not this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) client: ClientTuple,
    pub(crate) via: Option<ShardId>,
}

impl Mobile {
    /// The state of an allocation that has not moved yet.
    pub(crate) const fn new(number: u64) -> Self {
        Self {
            number,
            moves: 0,
            last: None,
            next: None,
            via: None,
            lost: None,
        }
    }

    /// The ticket for its next move.
    pub(crate) const fn ticket(&self) -> Ticket {
        Ticket {
            number: self.number,
            moves: self.moves,
        }
    }
}

impl Allocation {
    /// The 5-tuple of its client; if the client has none now, the last one.
    pub(crate) fn seen_at(&self) -> ClientTuple {
        let lost = self.mobile.as_ref().and_then(|mobile| mobile.lost);
        lost.unwrap_or(self.client)
    }

    /// The 5-tuple that its client is moving to.
    pub(crate) fn next(&self) -> Option<Path> {
        self.mobile.as_ref().and_then(|mobile| mobile.next)
    }

    /// Whether its client has moved, or is moving, and to this IP address.
    pub(crate) fn has_moved_to(&self, ip: IpAddr) -> bool {
        let is_there = |client: ClientTuple| client.client.ip() == ip;
        self.mobile.as_ref().is_some_and(|mobile| {
            mobile.moves > 0
                && (is_there(self.client) || mobile.next.is_some_and(|next| is_there(next.client)))
        })
    }

    /// Whether a packet of data on this 5-tuple is the first from where its client is moving to.
    pub(crate) fn is_next(&self, client: ClientTuple) -> bool {
        self.client != client && self.next().is_some_and(|next| next.client == client)
    }
}

impl ClientTuple {
    /// A 5-tuple for an allocation without a client: no packet comes from port 0 of the unspecified
    /// address, and no other allocation has the same one.
    const fn nobody(self, id: AllocationId) -> Self {
        let unspecified = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, id.slot, id.generation);
        Self {
            client: SocketAddr::V6(unspecified),
            ..self
        }
    }

    /// Whether it is such a 5-tuple, to which nothing can be sent.
    pub(crate) const fn is_nobody(self) -> bool {
        self.client.port() == 0
    }
}

impl Server {
    /// Whether an allocation has a permission or a channel for a peer of this IP address.
    pub(crate) fn has_peer_at(&self, allocation: &Allocation, ip: IpAddr, now: Now) -> bool {
        let is_there = |channel: &ChannelNumber| {
            let bound = self.routes.by_channel(allocation.client, *channel);
            bound.is_some_and(|bound| bound.peer.0.ip() == ip)
        };
        allocation.permissions.scope(ip, now.mono).is_some()
            || allocation.channels.iter().any(is_there)
    }

    /// Settles an allocation on the 5-tuple that its client is moving to, because data came from
    /// there, and forgets the old one. RFC 8016 §3.2.2. Returns whether there was such a client.
    pub(crate) fn settle(&mut self, now: Instant, client: ClientTuple) -> bool {
        let allocation = self.allocations.of_mut(client);
        let Some(allocation) = allocation.filter(|allocation| allocation.is_next(client)) else {
            return false;
        };
        let id = allocation.id;
        let realm = allocation.realm;
        let [user, credential] = [&allocation.account, &allocation.user].map(Arc::clone);
        let Some(mobile) = allocation.mobile.as_mut() else {
            return false;
        };
        let via = mobile.next.take().and_then(|next| next.via);
        mobile.via = via;
        mobile.lost = None;
        self.change_client(id, client);
        // If the allocation goes to another shard, that shard reports the move.
        if via.is_none() {
            self.counters.moved += 1;
            self.note_move(now, id, client);
            self.effects.push(Effect::Report(Report::Moved {
                allocation: id,
                was: id,
                client,
                realm: Arc::clone(self.rules.realms.name(realm)),
                user,
                credential,
            }));
        }
        true
    }

    /// A client's connection ended, and its allocation with it. RFC 8656 §3.1. An allocation with a
    /// ticket stays to the end of its lifetime: its client may be on its way. RFC 8016 §3.2.2.
    pub(crate) fn lose(&mut self, now: Instant, client: ClientTuple) {
        let Some(allocation) = self.allocations.of_mut(client) else {
            return;
        };
        let id = allocation.id;
        let Some(mobile) = allocation.mobile.as_mut() else {
            return self.remove_allocation(now, id, EndCause::Disconnected);
        };
        match mobile.next {
            Some(next) if next.client == client => {
                mobile.next = None;
                self.allocations.forget_next(client);
            }
            Some(next) => {
                self.settle(now, next.client);
                self.hand_over(id);
            }
            None => {
                mobile.lost = Some(client);
                self.change_client(id, client.nobody(id));
                self.note(now, id, &Event::Away);
            }
        }
    }

    /// Gives an allocation and its channels another 5-tuple.
    fn change_client(&mut self, id: AllocationId, client: ClientTuple) {
        if let Some(old) = self.allocations.change_client(id, client) {
            self.move_channels(id, old, client);
        }
    }

    /// Forgets the 5-tuple that the client was moving to, because it moves elsewhere or the
    /// allocation ended.
    pub(crate) fn forget_next(&mut self, next: Path) {
        self.allocations.forget_next(next.client);
        if let Some(to) = next.via {
            let client = next.client;
            let mail = Mail::Forget { client };
            self.effects.push(Effect::Mail { to, mail });
        }
    }

    /// Handles mail of another shard. Mail comes through a queue of its own, so that there is no
    /// lock on the packet path; everything that follows from it comes out as effects.
    pub fn handle_mail(&mut self, now: Now, from: ShardId, mail: Mail) {
        self.handle_timeout(now);
        match mail {
            Mail::Pass { client, packet } => self.handle_passed(now, from, client, packet),
            Mail::Disconnected { client } => self.lose(now.mono, client),
            Mail::Fence { client } => {
                let is_known = self.knows(client);
                let mail = Mail::Fenced { client, is_known };
                self.effects.push(Effect::Mail { to: from, mail });
            }
            Mail::Reply { client, message } => self.handle_passed_reply(from, client, message),
            Mail::Return { client, packet } => self.handle_returned(now, from, client, packet),
            Mail::Forget { client } => self.recall(client, from),
            Mail::Arrive(arrival) => self.handle_arrival(now.mono, from, *arrival),
            Mail::Fenced { client, is_known } => self.release(now, from, client, is_known),
            Mail::Claim { connection } => self.handle_claim(from, connection),
            Mail::Yield { connection } => self.handle_yield(connection),
            Mail::Close { connection } => self.handle_close(connection),
            Mail::Ended { connection } => self.forget_bound(connection, from),
        }
    }
}
