//! The data path: a datagram out to a peer, a datagram in from one. RFC 8656 §11, §12.
//!
//! Nothing here allocates, and a packet costs one lookup by channel or by peer.

use std::net::SocketAddr;

use rand::Rng;
use wire::{ChannelData, ChannelNumber, RelayHeader, TransactionId};

use crate::permissions::Scope;
use crate::policy::Permit;
use crate::routes::Bound;
use crate::{
    ClientTuple, DropReason, Now, PeerAddr, RelayAddress, RelayId, Server, Transport, Verdict,
};

impl Server {
    /// ChannelData from a client. RFC 8656 §12.6.
    pub(crate) fn handle_channel_data<'a>(
        &mut self,
        now: Now,
        client: ClientTuple,
        packet: &'a [u8],
    ) -> Verdict<'a> {
        let Ok(data) = ChannelData::parse(packet) else {
            return self.drop(DropReason::Malformed);
        };
        let Some(bound) = self.route(client, data.number) else {
            return self.drop(DropReason::NoChannel);
        };
        self.forward(now, bound.relay, bound.peer, data.payload)
    }

    /// Where a channel leads. A client that moves is known by its old 5-tuple until this.
    fn route(&mut self, client: ClientTuple, channel: ChannelNumber) -> Option<Bound> {
        let bound = self.routes.by_channel(client, channel);
        if bound.is_none() && self.settle(client) {
            return self.routes.by_channel(client, channel);
        }
        bound
    }

    /// Sends application data to a peer, which may be a relayed address of our own.
    pub(crate) fn forward<'a>(
        &mut self,
        now: Now,
        from: RelayId,
        to: PeerAddr,
        payload: &'a [u8],
    ) -> Verdict<'a> {
        let Some(allocation) = self.allocations.get_mut(from.allocation) else {
            return self.drop(DropReason::RelayGone);
        };
        if !allocation.relays.has(from.family) {
            return self.drop(DropReason::RelayGone);
        }
        if payload.len() > MAX_DATAGRAM {
            return self.drop(DropReason::TooLarge);
        }
        allocation.sent.count(payload.len());
        self.counters.sent.count(payload.len());
        let Some(address) = self.config.relay_at(to.0.ip()) else {
            return Verdict::Forward { from, to, payload };
        };
        self.hairpin(now, from, to, address, payload)
    }

    /// Both ends are relayed addresses of this server: the far one is served as if the packet had
    /// travelled, without a way through the kernel if it lives in this shard.
    fn hairpin<'a>(
        &mut self,
        now: Now,
        from: RelayId,
        to: PeerAddr,
        address: RelayAddress,
        payload: &'a [u8],
    ) -> Verdict<'a> {
        let port = to.0.port();
        // Behind a 1:1 NAT the local face is a second name of the same relay, and as closed to
        // the host's other programs.
        let relayed = SocketAddr::new(address.external, port);
        if let Some(relay) = self.allocations.by_relayed(relayed) {
            let Some(source) = self.allocations.relay(from) else {
                return self.drop(DropReason::RelayGone);
            };
            return self.deliver(now, relay, PeerAddr(source.relayed), payload);
        }
        if self.shared.ports.is_open(address.local, port) {
            let to = PeerAddr(SocketAddr::new(address.local, port));
            return Verdict::Forward { from, to, payload };
        }
        if matches!(
            self.config.policy.judge(to.0),
            Ok(Permit::Public | Permit::Listed(_))
        ) {
            return Verdict::Forward { from, to, payload };
        }
        self.drop(DropReason::NoRelay)
    }

    /// Hands a peer's datagram to the client, if the peer has permission. RFC 8656 §11.3, §12.7.
    pub(crate) fn deliver<'a>(
        &mut self,
        now: Now,
        relay: RelayId,
        from: PeerAddr,
        payload: &'a [u8],
    ) -> Verdict<'a> {
        let allocation = self.allocations.get(relay.allocation);
        let allocation = allocation.filter(|it| it.relays.has(relay.family));
        let Some(allocation) = allocation else {
            return self.drop(DropReason::RelayGone);
        };
        let Some(scope) = allocation.permissions.scope(from.0.ip(), now.mono) else {
            return self.drop(DropReason::NoPeerPermission);
        };
        if !self.in_scope(scope, from.0) {
            return self.drop(DropReason::PeerDenied);
        }
        if self.is_impostor(from.0) {
            return self.drop(DropReason::NoRelay);
        }
        let to = allocation.client;
        if to.is_nobody() {
            return self.drop(DropReason::ClientAway);
        }
        let header = match self.routes.by_peer(relay, from) {
            Some(channel) if payload.len() <= MAX_DATAGRAM => {
                RelayHeader::channel_data(channel, payload.len())
            }
            None if payload.len() <= RelayHeader::max_payload(from.0) => {
                RelayHeader::data_indication(from.0, payload.len(), self.next_transaction())
            }
            Some(_) | None => return self.drop(DropReason::TooLarge),
        };
        let length = header.len() + payload.len() + header.padding();
        if to.transport == Transport::Udp && length > MAX_DATAGRAM {
            return self.drop(DropReason::TooLarge);
        }
        if let Some(allocation) = self.allocations.get_mut(relay.allocation) {
            allocation.received.count(payload.len());
        }
        self.counters.received.count(payload.len());
        Verdict::Deliver {
            to,
            header,
            payload,
        }
    }

    /// Whether a permission of this scope covers the peer's port.
    pub(crate) fn in_scope(&self, scope: Scope, peer: SocketAddr) -> bool {
        match scope {
            // Port 0 is none: nothing can be sent there.
            Scope::EveryPort => peer.port() != 0,
            Scope::SomePorts => self.config.policy.judge(peer).is_ok(),
        }
    }

    /// Whether a peer speaks from a relay address of ours without being a relay: another program of
    /// this host, which only an allow entry makes a peer.
    fn is_impostor(&self, peer: SocketAddr) -> bool {
        let Some(address) = self.config.relay_at(peer.ip()) else {
            return false;
        };
        !self.shared.ports.is_open(address.local, peer.port())
            && self.config.policy.judge(peer) == Ok(Permit::OwnRelay)
    }

    fn next_transaction(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        TransactionId::new(id)
    }
}

/// The largest UDP payload over IPv4. RFC 768, RFC 791.
const MAX_DATAGRAM: usize = 65_507;
