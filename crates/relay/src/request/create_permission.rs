//! CreatePermission: lets peers reach the allocation. RFC 8656 §10.

use wire::attributes::XorPeerAddress;
use wire::{AddressFamily, Attribute};

use super::Answer;
use crate::auth::Signed;
use crate::permissions::Scope;
use crate::policy::IpRuling;
use crate::{Now, PeerAddr, Reject, Server};

/// RFC 8656 §10.2: all of the peers or none.
pub(super) fn create_permission(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Answer, Reject> {
    let family = server.own_allocation(request)?.family();
    let mut peers = Vec::new();
    for peer in request.message().get_all::<XorPeerAddress>() {
        let peer = PeerAddr(peer?.0);
        peers.push((peer, permitted(server, family, peer)?));
    }
    if peers.is_empty() {
        return Err(Reject::MissingAttribute(XorPeerAddress::TYPE));
    }
    let limit = server.config.limits.permissions;
    let permissions = &mut server.own_allocation(request)?.permissions;
    let ips = peers.iter().map(|(peer, _)| peer.0.ip());
    permissions.make_room(ips, limit, now.mono)?;
    for (peer, scope) in peers {
        permissions.install(peer.0.ip(), scope, now.mono);
    }
    Ok(Answer::Granted)
}

/// How far the policy lets this peer be reached, whatever its port.
pub(super) fn permitted(
    server: &Server,
    family: AddressFamily,
    peer: PeerAddr,
) -> Result<Scope, Reject> {
    let ip = peer.0.ip();
    if AddressFamily::of(ip) != family {
        return Err(Reject::FamilyMismatch);
    }
    let scope = match server.config.policy.judge_ip(ip) {
        IpRuling::EveryPort(_) => Scope::EveryPort,
        IpRuling::SomePorts => Scope::SomePorts,
        IpRuling::NoPort(denial) => return Err(Reject::PeerDenied { peer, denial }),
    };
    // An IPv4-mapped address stands for an IPv4 one, which an IPv6 socket of ours does not reach.
    if AddressFamily::of(ip.to_canonical()) != family {
        return Err(Reject::FamilyMismatch);
    }
    Ok(scope)
}
