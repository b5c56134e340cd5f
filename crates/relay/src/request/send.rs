//! Send indications: to a peer without a channel. RFC 8656 §11.
//!
//! As hot a path as ChannelData: some browsers never bind a channel.

use wire::attributes::{Data, DontFragment, XorPeerAddress};
use wire::{AddressFamily, Attribute, Message};

use super::{TURN_ATTRIBUTES, dont_fragment};
use crate::{ClientTuple, DropReason, Hop, Now, PeerAddr, Server, Verdict};

/// RFC 8656 §11.2. Indications are not authenticated; the 5-tuple must have an allocation and the
/// peer a permission, or a channel.
pub(crate) fn send<'p>(
    server: &mut Server,
    now: Now,
    client: ClientTuple,
    message: &Message<'p>,
) -> Verdict<'static, 'p> {
    if message.unknown_required(TURN_ATTRIBUTES).next().is_some() {
        return server.discard(DropReason::UnknownAttribute);
    }
    let (Ok(Some(XorPeerAddress(peer))), Ok(Some(Data(payload))), Ok(asked)) =
        (message.get(), message.get(), message.get::<DontFragment>())
    else {
        return incomplete(server, message);
    };
    let Some(allocation) = server.allocations.of(client) else {
        return server.discard(DropReason::NoAllocation);
    };
    if allocation.tcp.is_some() {
        return server.discard_from(client, DropReason::TcpAllocation);
    }
    let scope = allocation.permissions.scope(peer.ip(), now.mono);
    let relay = allocation.relay_id(AddressFamily::of(peer.ip()));
    if allocation.is_next(client) {
        server.settle(now.mono, client);
    }
    let scope = scope.or_else(|| server.scope_of_channel(relay, PeerAddr(peer)));
    let Some(scope) = scope else {
        return server.discard_of(relay.allocation, DropReason::NoPermission);
    };
    if !server.in_scope(scope, peer) {
        return server.discard_of(relay.allocation, DropReason::PeerDenied);
    }
    let hop = Hop {
        from: relay,
        to: PeerAddr(peer),
        dont_fragment: asked.is_some() && dont_fragment::counts(client, relay.family),
    };
    server.forward(now, hop, payload)
}

/// Drops an indication that lacks a peer or data. One that lacks both is pjnath's keepalive, and no
/// error.
#[cold]
fn incomplete(server: &mut Server, message: &Message<'_>) -> Verdict<'static, 'static> {
    let mut kinds = message.attributes().map(|attribute| attribute.kind);
    if kinds.any(|kind| matches!(kind, XorPeerAddress::TYPE | Data::TYPE)) {
        server.discard(DropReason::IncompleteSend)
    } else {
        Verdict::Done
    }
}
