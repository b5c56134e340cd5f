//! CreatePermission: lets peers reach the allocation. RFC 8656 §10.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use wire::attributes::XorPeerAddress;
use wire::{AddressFamily, Attribute};

use super::Outcome;
use crate::allocation::Allocation;
use crate::auth::Signed;
use crate::permissions::Scope;
use crate::policy::Policy;
use crate::{Now, PeerAddr, Reject, Server};

/// RFC 8656 §10.2: grants all of the peers or none.
pub(super) fn create_permission(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    let rules = Arc::clone(&server.rules);
    let limit = rules.limits.permissions;
    let allocation = server.own_allocation(request)?;
    let peers = || request.message().get_all::<XorPeerAddress>();
    // Unreadable peers are refused before any peer is judged.
    peers().try_for_each(|peer| peer.map(drop))?;
    let mut scopes = BTreeMap::new();
    let most = limit.max(allocation.permissions.living(now.mono));
    for peer in peers() {
        let peer = PeerAddr(peer?.0);
        let Entry::Vacant(unseen) = scopes.entry(peer.0.ip()) else {
            continue;
        };
        unseen.insert(permitted(&rules.policy, allocation, peer)?);
        // More than can be granted or prolonged are not worth judging.
        if scopes.len() > most {
            return Err(Reject::TooManyPermissions);
        }
    }
    if scopes.is_empty() {
        return Err(Reject::MissingAttribute(XorPeerAddress::TYPE));
    }
    let permissions = &mut allocation.permissions;
    permissions.make_room(scopes.keys().copied(), limit, now.mono)?;
    for (ip, scope) in scopes {
        permissions.install(ip, scope, now.mono);
    }
    let id = allocation.id;
    server.begin_tally(now.mono, id);
    Ok(Outcome::Granted)
}

/// How far the policy lets this peer's IP address be reached. Its port does not matter. A client
/// that has moved may not be there itself.
pub(super) fn permitted(
    policy: &Policy,
    allocation: &Allocation,
    peer: PeerAddr,
) -> Result<Scope, Reject> {
    let ip = peer.0.ip();
    let family = AddressFamily::of(ip);
    if !allocation.relays.has(family) {
        return Err(Reject::FamilyMismatch);
    }
    let scope = Scope::of(policy.judge_ip(ip));
    let scope = scope.map_err(|denial| Reject::PeerDenied { peer, denial })?;
    // An IPv4-mapped address stands for an IPv4 one, which an IPv6 socket of ours does not reach.
    if AddressFamily::of(ip.to_canonical()) != family {
        return Err(Reject::FamilyMismatch);
    }
    if allocation.has_moved_to(ip) {
        return Err(Reject::ClientIsPeer);
    }
    Ok(scope)
}
