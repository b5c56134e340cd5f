//! Refresh: prolongs or deletes an allocation. RFC 8656 §8.

use std::time::Duration;

use wire::attributes::{Lifetime, RequestedAddressFamily};

use super::Answer;
use crate::auth::Signed;
use crate::timers::Timer;
use crate::{EndCause, Now, Reject, Server};

/// RFC 8656 §8.2.
pub(super) fn refresh(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Answer, Reject> {
    let allocation = server.own_allocation(request)?;
    if let Some(RequestedAddressFamily(family)) = request.get()?
        && family != Ok(allocation.family())
    {
        return Err(Reject::FamilyMismatch);
    }
    let (id, old) = (allocation.id, allocation.deadline);
    let requested = request.get::<Lifetime>()?.map(|lifetime| lifetime.0);
    if requested == Some(0) {
        server.remove_allocation(now.mono, id, EndCause::Deleted);
        return Ok(Answer::Refreshed { lifetime: 0 });
    }
    let lifetime = server.config.limits.lifetime(requested);
    let deadline = now.mono + Duration::from_secs(lifetime.into());
    server.timers.disarm(old, Timer::Allocation(id));
    server.timers.arm(deadline, Timer::Allocation(id));
    server.own_allocation(request)?.deadline = deadline;
    Ok(Answer::Refreshed { lifetime })
}
