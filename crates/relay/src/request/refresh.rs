//! Refresh: prolongs or deletes an allocation. RFC 8656 §8.

use std::time::Duration;

use wire::AddressFamily;
use wire::attributes::{MobilityTicket, RequestedAddressFamily};

use super::Outcome;
use super::relocate::relocate;
use crate::allocation::Allocation;
use crate::auth::Signed;
use crate::timers::Timer;
use crate::{AllocationId, EndCause, Now, Reject, RelayId, Server};

/// RFC 8656 §8.2. Of a dual allocation the client may name one family, which is prolonged or
/// deleted alone, with its permissions and channels: RFC 8656 §8.1.
pub(super) fn refresh(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    if let Some(ticket) = request.get::<MobilityTicket<'_>>()? {
        return relocate(server, now, request, ticket);
    }
    let id = server.own_allocation(request)?.id;
    let lifetime = prolong(server, now, request, id)?;
    let ticket = None;
    Ok(Outcome::Refreshed { lifetime, ticket })
}

/// Gives an allocation the lifetime that is asked for, or ends it; returns the seconds granted.
pub(super) fn prolong(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
    id: AllocationId,
) -> Result<u32, Reject> {
    let allocation = server.allocations.get(id).ok_or(Reject::NoAllocation)?;
    let named = named_family(allocation, request.get()?)?;
    let requested = request.requested_lifetime()?;
    if requested == Some(0) {
        match named {
            Some(family) => {
                let relay = allocation.relay_id(family);
                server.remove_relay(now.mono, relay, EndCause::Deleted);
            }
            None => server.remove_allocation(now.mono, id, EndCause::Deleted),
        }
        return Ok(0);
    }
    let lifetime = request.lifetime(requested, &server.rules.limits, now)?;
    let deadline = now.mono + Duration::from_secs(lifetime.into());
    let Some(allocation) = server.allocations.get_mut(id) else {
        return Err(Reject::NoAllocation);
    };
    allocation.renew(request);
    for relay in allocation.relays.iter_mut() {
        let family = relay.family();
        if named.is_none_or(|named| named == family) {
            let timer = Timer::Relay(RelayId {
                allocation: id,
                family,
            });
            server.timers.disarm(relay.deadline, timer.clone());
            server.timers.arm(deadline, timer);
            relay.deadline = deadline;
        }
    }
    Ok(lifetime)
}

/// The family that the request names: one that the allocation has. RFC 8656 §8.2.
fn named_family(
    allocation: &Allocation,
    requested: Option<RequestedAddressFamily>,
) -> Result<Option<AddressFamily>, Reject> {
    let Some(RequestedAddressFamily(family)) = requested else {
        return Ok(None);
    };
    let family = family.map_err(|_| Reject::FamilyMismatch)?;
    match allocation.relays.get(family) {
        Some(_) => Ok(Some(family)),
        None => Err(Reject::FamilyMismatch),
    }
}
