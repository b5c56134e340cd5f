//! Mobility: a client that moves its allocation to another 5-tuple. RFC 8016.

use std::net::{IpAddr, SocketAddr};

use relay::{AddressFamily, ClientTuple};
use wire::attributes::MobilityTicket;
use wire::{Message, TransactionId};

use super::allocate::is_tunnelled;
use super::credentials::Signer;
use super::expect::{Refusal, Ticket, refuse};
use super::{Allocation, Expect, Model, Reply};

/// The part of an allocation that only one with a ticket has.
#[derive(Debug)]
pub(super) struct Mobile {
    /// The ticket that came with the allocation, and the one that is good now.
    pub(super) first: Ticket,
    ticket: Ticket,
    moves: u32,
    /// The last Refresh that used a ticket: its transaction, its 5-tuple, and the seconds that it
    /// was granted.
    last: Option<(TransactionId, ClientTuple, u32)>,
    /// The 5-tuple that the client is moving to, until data comes from there.
    next: Option<ClientTuple>,
}

impl Allocation {
    pub(super) fn next(&self) -> Option<ClientTuple> {
        self.mobile.as_ref()?.next
    }

    /// Whether it has a permission or a channel for an IP address.
    fn has_peer_at(&self, ip: IpAddr) -> bool {
        let mut peers = self.channels.values().map(|(peer, _)| peer.ip());
        self.permissions.contains_key(&ip) || peers.any(|peer| peer == ip)
    }

    /// Whether a ticket of it was used, and its client is or will be at this IP address.
    pub(super) fn has_moved_to(&self, ip: IpAddr) -> bool {
        let is_there = |client: ClientTuple| client.client.ip() == ip && !self.is_lost;
        let moves = self.mobile.as_ref().map_or(0, |mobile| mobile.moves);
        moves > 0 && (is_there(self.client) || self.next().is_some_and(is_there))
    }
}

impl Model {
    /// §3.1.2: whether a ticket is asked for, and may be given.
    pub(super) fn wants_ticket(&self, message: &Message<'_>) -> Result<Option<Mobile>, Refusal> {
        let asked: Option<MobilityTicket<'_>> = message.get()?;
        let Some(MobilityTicket(ticket)) = asked else {
            return Ok(None);
        };
        if !ticket.is_empty() {
            return Err(refuse(400, "ticket-in-allocate"));
        }
        if !self.terms.mobility {
            return Err(refuse(405, "mobility-forbidden"));
        }
        let first = Ticket::New(self.numbered + 1, 0);
        Ok(Some(Mobile {
            first: first.clone(),
            ticket: first,
            moves: 0,
            last: None,
            next: None,
        }))
    }

    /// §3.2.2: the ticket says which allocation is meant, not the 5-tuple.
    pub(super) fn relocate(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
        shown: &[u8],
        mut reply: Reply,
    ) -> Result<Expect, Refusal> {
        let heard = self.tickets.get(shown);
        // One that was given is good, also where none are given any more.
        if heard.is_none() && !self.terms.mobility {
            return Err(refuse(405, "mobility-forbidden"));
        }
        // RFC 8656 §21.4.
        if is_tunnelled(from.client.ip()) {
            return Err(refuse(403, "tunnelled-client"));
        }
        let &(id, moves) = heard.ok_or_else(|| refuse(400, "bad-ticket"))?;
        let has_own = self.find(from).is_some();
        let over = || refuse(437, "allocation-over");
        let allocation = self.allocations.get(&id).ok_or_else(over)?;
        let mobile = allocation.mobile.as_ref().ok_or_else(over)?;
        let is_own = allocation.user == signer.user;
        // A retransmission gets the same answer: the last ticket is kept for that.
        if let Some((transaction, client, lifetime)) = mobile.last
            && (transaction, client, is_own) == (reply.transaction, from, true)
        {
            reply.lifetime = Some(lifetime);
            reply.ticket = Some(mobile.ticket.clone());
            return Ok(Expect::Reply(reply));
        }
        if allocation.is_at(from) || mobile.next == Some(from) {
            return Err(refuse(400, "not-moved"));
        }
        // RFC 8656 §7.2: no second allocation for a 5-tuple.
        if has_own {
            return Err(refuse(437, "allocation-exists"));
        }
        if mobile.moves != moves {
            return Err(refuse(400, "used-ticket"));
        }
        if !is_own {
            return Err(refuse(441, "wrong-user"));
        }
        // RFC 8656 §21.4: the peer could be a server that has this allocation for a client.
        if allocation.has_peer_at(from.client.ip()) {
            return Err(refuse(403, "client-is-peer"));
        }
        let lifetime = self.prolong(id, message)?;
        reply.lifetime = Some(lifetime);
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return Ok(Expect::Reply(reply));
        };
        let is_lost = allocation.is_lost;
        if let Some(mobile) = &mut allocation.mobile {
            mobile.moves += 1;
            mobile.last = Some((reply.transaction, from, lifetime));
            mobile.next = Some(from);
            mobile.ticket = Ticket::New(id, mobile.moves);
            reply.ticket = Some(mobile.ticket.clone());
        }
        if is_lost {
            self.settle(from);
        }
        Ok(Expect::Reply(reply))
    }

    /// Settles an allocation on the 5-tuple that its client was moving to, and forgets the old one.
    pub(super) fn settle(&mut self, client: ClientTuple) {
        let Some(allocation) = self.of_mut(client) else {
            return;
        };
        if allocation.next() != Some(client) {
            return;
        }
        if let Some(mobile) = &mut allocation.mobile {
            mobile.next = None;
        }
        allocation.client = client;
        allocation.is_lost = false;
        self.moves.push(client);
    }

    /// A relay socket was lost on its way to the shard that the client has moved to, so that family
    /// of the allocation ends.
    pub(crate) fn stranded(&mut self, local: SocketAddr) {
        if let Some(id) = self.holder(local) {
            let family = AddressFamily::of(local.ip());
            self.end_family(id, family, self.now, "stranded");
        }
    }

    /// A client's connection ended, and its allocation with it (RFC 8656 §3.1), unless the client
    /// has a ticket to come back with.
    pub(crate) fn disconnect(&mut self, client: ClientTuple) {
        let Some(id) = self.find(client) else {
            return;
        };
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let is_open = allocation.is_open();
        let Some(mobile) = allocation.mobile.as_mut().filter(|_| is_open) else {
            return self.end(id, self.now, "disconnected");
        };
        match mobile.next {
            Some(next) if next == client => mobile.next = None,
            Some(next) => self.settle(next),
            None => allocation.is_lost = true,
        }
    }

    /// Notes a ticket that was handed out.
    ///
    /// # Errors
    /// If it was handed out before.
    pub(crate) fn heard_ticket(&mut self, expected: &Ticket, ticket: &[u8]) -> Result<(), String> {
        let Ticket::New(id, moves) = *expected else {
            return Ok(());
        };
        if self.tickets.insert(ticket.to_vec(), (id, moves)).is_some() {
            return Err(format!("ticket {ticket:02x?} was handed out before"));
        }
        let known = Ticket::Known(ticket.to_vec());
        let allocation = self.allocations.get_mut(&id);
        if let Some(mobile) = allocation.and_then(|it| it.mobile.as_mut()) {
            if moves == 0 {
                mobile.first = known.clone();
            }
            if mobile.moves == moves {
                mobile.ticket = known;
            }
        }
        Ok(())
    }
}
