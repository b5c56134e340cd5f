//! ChannelBind: binds a channel to a peer. RFC 8656 §12.

use std::sync::Arc;

use wire::attributes::{ChannelNumberAttribute, XorPeerAddress};
use wire::{AddressFamily, ChannelNumber};

use super::Outcome;
use super::create_permission::permitted;
use crate::auth::Signed;
use crate::{Now, PeerAddr, Reject, RelayId, Route, Server};

/// RFC 8656 §12.2.
pub(super) fn channel_bind(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    let allocation = server.own_allocation(request)?;
    if allocation.tcp.is_some() {
        return Err(Reject::ChannelOfTcp);
    }
    let (id, client) = (allocation.id, allocation.client);
    let ChannelNumberAttribute(number) = request.require()?;
    let peer = PeerAddr(request.require::<XorPeerAddress>()?.0);
    let channel = ChannelNumber::new(number).ok_or(Reject::ChannelRange(number))?;
    let relay = RelayId {
        allocation: id,
        family: AddressFamily::of(peer.0.ip()),
    };

    let bound = server.routes.by_channel(client, channel);
    let by_peer = server.routes.by_peer(relay, peer);
    if bound.is_some_and(|bound| bound.peer != peer) || by_peer.is_some_and(|by| by != channel) {
        return Err(Reject::ChannelConflict);
    }
    let rules = Arc::clone(&server.rules);
    let (policy, limits) = (&rules.policy, &rules.limits);
    let allocation = server.own_allocation(request)?;
    let scope = permitted(policy, allocation, peer)?;
    let judged = policy.judge(peer.0);
    judged.map_err(|denial| Reject::PeerDenied { peer, denial })?;
    if bound.is_none() && allocation.channels.len() >= limits.channels {
        return Err(Reject::TooManyChannels);
    }
    let ip = std::iter::once(peer.0.ip());
    let permissions = &mut allocation.permissions;
    match permissions.make_room(ip, limits.permissions, now.mono) {
        Ok(()) => permissions.install(peer.0.ip(), scope, now.mono),
        // A channel that lives is prolonged without a permission.
        Err(_) if bound.is_some() => {}
        Err(reject) => return Err(reject),
    }
    let route = Route {
        client,
        channel,
        relay,
        peer,
    };
    server.bind_channel(now.mono, route);
    server.begin_tally(now.mono, id);
    Ok(Outcome::Granted)
}
