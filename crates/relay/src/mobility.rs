//! Mobility: an allocation whose client comes from another 5-tuple. RFC 8016.
//!
//! A Refresh that shows the ticket (`request::relocate`) gives the allocation a second 5-tuple beside
//! its own. Requests are answered on both; data goes on as before until the client sends some from the
//! new one, or its old connection ends: then the allocation *settles* on the new 5-tuple and the old
//! one is forgotten. RFC 8016 §3.2.2.
//!
//! The new 5-tuple may be one of another shard, as the kernel hashes it anywhere. That shard passes
//! whatever comes from it to the *host*, the shard that has the allocation, and sends back the host's
//! answers; so until the client settles nothing moves, and the old 5-tuple is served as ever. When it
//! settles, the allocation goes over with its relay sockets, and the data path is within one shard
//! again. What was passed meanwhile comes back before newer packets are handled, so the order within
//! the 5-tuple holds.

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

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Instant;

use wire::TransactionId;

use crate::allocation::Allocation;
use crate::{AllocationId, ClientTuple, Effect, EndCause, Now, Report, Server};

/// What an allocation has that may move.
#[derive(Debug)]
pub(crate) struct Mobile {
    /// The same wherever it moves; unlike its [`AllocationId`], which a shard gives.
    pub(crate) number: u64,
    /// How often a ticket was used: only the ticket of that number is good.
    pub(crate) moves: u32,
    /// The Refresh that used a ticket last: the same again hears the same.
    pub(crate) last: Option<Move>,
    /// Where the client is going, until it settles.
    pub(crate) next: Option<Path>,
    /// The shard that has the client's 5-tuple, if it is not this one: the allocation must go there.
    pub(crate) via: Option<ShardId>,
    /// The 5-tuple to tell the operator of, if the client's connection ended and no other came.
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
    /// An allocation that has not moved yet.
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

    /// The ticket that moves it next.
    pub(crate) const fn ticket(&self) -> Ticket {
        Ticket {
            number: self.number,
            moves: self.moves,
        }
    }
}

impl Allocation {
    /// The 5-tuple of its client, or the last one.
    pub(crate) fn seen_at(&self) -> ClientTuple {
        let lost = self.mobile.as_ref().and_then(|mobile| mobile.lost);
        lost.unwrap_or(self.client)
    }

    /// The 5-tuple that its client is going to.
    pub(crate) fn next(&self) -> Option<Path> {
        self.mobile.as_ref().and_then(|mobile| mobile.next)
    }

    /// Whether a client's data is the first from where it is going to.
    pub(crate) fn is_next(&self, client: ClientTuple) -> bool {
        self.client != client && self.next().is_some_and(|next| next.client == client)
    }
}

impl ClientTuple {
    /// Nobody's: no packet comes from port 0 of the unspecified address, and no other allocation
    /// has the same.
    const fn nobody(self, id: AllocationId) -> Self {
        let unspecified = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, id.slot, id.generation);
        Self {
            client: SocketAddr::V6(unspecified),
            ..self
        }
    }

    /// Whether nobody is there to be sent anything.
    pub(crate) const fn is_nobody(self) -> bool {
        self.client.port() == 0
    }
}

impl Server {
    /// The client sends data from where it was going to: it has settled there, and the old 5-tuple is
    /// forgotten. RFC 8016 §3.2.2. Whether there was such a client.
    pub(crate) fn settle(&mut self, client: ClientTuple) -> bool {
        let allocation = self.allocations.of_mut(client);
        let Some(allocation) = allocation.filter(|allocation| allocation.is_next(client)) else {
            return false;
        };
        let id = allocation.id;
        let (realm, user) = (allocation.realm, Arc::clone(&allocation.user));
        let Some(mobile) = allocation.mobile.as_mut() else {
            return false;
        };
        let via = mobile.next.take().and_then(|next| next.via);
        mobile.via = via;
        mobile.lost = None;
        self.change_client(id, client);
        // Where it goes to another shard, that one reports.
        if via.is_none() {
            self.counters.moved += 1;
            self.effects.push(Effect::Report(Report::Moved {
                allocation: id,
                was: id,
                client,
                realm: Arc::clone(self.rules.realms.name(realm)),
                user,
            }));
        }
        true
    }

    /// A client's connection ended, and with it what it had. RFC 8656 §3.1. An allocation with a
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
                self.settle(next.client);
                self.hand_over(id);
            }
            None => {
                mobile.lost = Some(client);
                self.change_client(id, client.nobody(id));
            }
        }
    }

    /// What the client has is found by another 5-tuple from now on.
    fn change_client(&mut self, id: AllocationId, client: ClientTuple) {
        if let Some(old) = self.allocations.change_client(id, client) {
            self.move_channels(id, old, client);
        }
    }

    /// Forgets where the client was going to, as it goes elsewhere or has ended.
    pub(crate) fn forget_next(&mut self, next: Path) {
        self.allocations.forget_next(next.client);
        if let Some(to) = next.via {
            let client = next.client;
            let mail = Mail::Forget { client };
            self.effects.push(Effect::Mail { to, mail });
        }
    }

    /// What another shard writes. Mail comes through its own queue, so that no lock is on the packet
    /// path; all that follows from it comes as effects.
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
            Mail::Arrive(arrival) => self.handle_arrival(from, *arrival),
            Mail::Fenced { client, is_known } => self.release(now, from, client, is_known),
        }
    }
}
