//! Refresh with a ticket: the client comes from another 5-tuple. RFC 8016 §3.2.2.

use wire::attributes::MobilityTicket;

use super::allocate::check_client;
use super::refresh::prolong;
use super::{Head, Outcome};
use crate::auth::Signed;
use crate::mobility::{Move, Path, Place, Ticket};
use crate::{AllocationId, DropReason, Now, Reject, Server};

/// RFC 8016 §3.2.2, whose order these checks keep. The ticket says which allocation it is, not the
/// 5-tuple.
pub(super) fn relocate(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
    MobilityTicket(ticket): MobilityTicket<'_>,
) -> Result<Outcome, Reject> {
    let ticket = server.tickets.open(ticket);
    // A ticket that was given is good, also where none are given any more.
    if ticket.is_none() && !server.rules.mobility {
        return Err(Reject::MobilityForbidden);
    }
    check_client(server, request.client.client)?;
    let ticket = ticket.ok_or(Reject::BadTicket)?;
    let place = server.shared.whereabouts.find(ticket.number);
    match place.ok_or(Reject::AllocationOver)? {
        Place::At(shard, id) if shard == server.shard => arrive(server, now, request, ticket, id),
        Place::At(..) if has_own(server, request) => Err(Reject::AllocationExists),
        Place::At(shard, _) => Ok(Outcome::Elsewhere(shard)),
        // Its client settles elsewhere at this very moment, and uses a ticket here.
        Place::Between => Ok(Outcome::Never(DropReason::AllocationMoving)),
    }
}

/// Handles it where the allocation is in this shard.
fn arrive(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
    ticket: Ticket,
    id: AllocationId,
) -> Result<Outcome, Reject> {
    let allocation = server.allocations.get(id).ok_or(Reject::AllocationOver)?;
    let mobile = allocation.mobile.as_ref().ok_or(Reject::AllocationOver)?;
    let transaction = Head::of(request.message()).transaction;
    let is_own = allocation.follows(request);
    let again = mobile
        .last
        .filter(|last| (last.transaction, last.client) == (transaction, request.client));
    if let Some(Move { lifetime, .. }) = again.filter(|_| is_own) {
        let ticket = Some(server.tickets.seal(mobile.ticket()));
        return Ok(Outcome::Refreshed { lifetime, ticket });
    }
    let next = mobile.next;
    let is_next = next.is_some_and(|next| next.client == request.client);
    if allocation.client == request.client || is_next {
        return Err(Reject::NotMoved);
    }
    // Checked as early as for an allocation in another shard, so that the answer is the same.
    if has_own(server, request) {
        return Err(Reject::AllocationExists);
    }
    if ticket.moves != mobile.moves {
        return Err(Reject::UsedTicket);
    }
    if !is_own {
        return Err(Reject::WrongUser);
    }
    if server.has_peer_at(allocation, request.client.client.ip(), now) {
        return Err(Reject::ClientIsPeer);
    }
    let lifetime = prolong(server, now, request, id)?;
    let Some(allocation) = server.allocations.get_mut(id) else {
        // The whole allocation was deleted.
        let ticket = None;
        return Ok(Outcome::Refreshed { lifetime, ticket });
    };
    let Some(mobile) = allocation.mobile.as_mut() else {
        return Err(Reject::AllocationOver);
    };
    mobile.moves = Ticket::next(mobile.moves);
    mobile.last = Some(Move {
        transaction,
        client: request.client,
        lifetime,
    });
    mobile.next = Some(Path {
        client: request.client,
        via: server.passed_by,
    });
    let is_lost = mobile.lost.is_some();
    let ticket = server.tickets.seal(mobile.ticket());
    if let Some(next) = next {
        server.forget_next(next);
    }
    server.allocations.add_next(id, request.client);
    if is_lost {
        // The old connection has ended already.
        server.settle(now.mono, request.client);
    }
    Ok(Outcome::Refreshed {
        lifetime,
        ticket: Some(ticket),
    })
}

/// Whether the 5-tuple has an allocation already, so that it cannot have this one too.
fn has_own(server: &Server, request: &Signed<'_>) -> bool {
    server.allocations.of(request.client).is_some()
}
