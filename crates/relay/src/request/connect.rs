//! Connect: makes a connection from the relayed transport address to a peer. RFC 6062 §5.2.

use std::net::SocketAddr;
use std::sync::Arc;

use wire::attributes::XorPeerAddress;

use super::create_permission::permitted;
use super::{Head, Outcome};
use crate::auth::Signed;
use crate::policy::Permit;
use crate::tcp::{Awaiting, State};
use crate::{ConnectError, Effect, Now, PeerAddr, Reject, RelayAddress, Server};

/// RFC 6062 §5.2. The answer comes when the peer has answered, or does not.
pub(super) fn connect(
    server: &mut Server,
    now: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    let rules = Arc::clone(&server.rules);
    let allocation = server.own_allocation(request)?;
    let tcp = allocation.tcp.as_ref().ok_or(Reject::NoTcpAllocation)?;
    let peer = PeerAddr(request.require::<XorPeerAddress>()?.0);
    if tcp.has(peer) {
        return Err(Reject::ConnectionExists);
    }
    let connections = tcp.connections.len();
    if !rules.tcp {
        return Err(Reject::TcpForbidden);
    }
    permitted(&rules.policy, allocation, peer)?;
    let permit = rules.policy.judge(peer.0);
    let permit = permit.map_err(|denial| Reject::PeerDenied { peer, denial })?;
    if connections >= rules.limits.connections {
        return Err(Reject::TooManyConnections);
    }
    let id = allocation.id;
    let family = wire::AddressFamily::of(peer.0.ip());
    let relay = allocation
        .relays
        .get(family)
        .ok_or(Reject::FamilyMismatch)?;
    let local = relay.local;
    let to = match rules.relay_at(peer.0.ip()) {
        Some(address) => inward(server, address, local, peer, permit)?,
        None => peer.0,
    };
    let awaiting = Box::new(Awaiting {
        head: Head::of(request.message()),
        key: request.key.clone(),
        local,
        to,
    });
    let state = State::Connecting(awaiting);
    let connection = server.add_connection(now.mono, id, peer, state);
    let connection = connection.ok_or(Reject::NoAllocation)?;
    server.effects.push(Effect::Connect {
        connection,
        local,
        peer: to,
    });
    Ok(Outcome::Later)
}

/// Where to connect to for a peer at a relay address of ours: behind a 1:1 NAT the local address of
/// another TCP allocation. Nothing else of this host is reached there unless an entry names it.
fn inward(
    server: &Server,
    address: RelayAddress,
    from: SocketAddr,
    peer: PeerAddr,
    permit: Permit,
) -> Result<SocketAddr, Reject> {
    let local = SocketAddr::new(address.local, peer.0.port());
    // A socket that connects to itself would hear its own data.
    if local == from {
        return Err(Reject::NotConnected(ConnectError::NoRelay));
    }
    if server.shared.ports.is_listening(local.ip(), local.port()) {
        return Ok(local);
    }
    match permit {
        Permit::Public | Permit::Listed(_) => Ok(peer.0),
        Permit::OwnRelay => Err(Reject::NotConnected(ConnectError::NoRelay)),
    }
}
