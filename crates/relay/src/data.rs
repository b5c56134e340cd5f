//! The data path: a datagram out to a peer, a datagram in from one. RFC 8656 §11, §12.
//!
//! Nothing here allocates memory, and a packet costs one lookup by channel or by peer.

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng;
use wire::attributes::Icmp;
use wire::{AddressFamily, ChannelData, ChannelNumber, Kind, RelayHeader, TransactionId};

use crate::allocation::Allocation;
use crate::bandwidth::Way;
use crate::permissions::Scope;
use crate::policy::Permit;
use crate::ports::Home;
use crate::routes::Bound;
use crate::{
    ClientTuple, Crossing, Destination, DropReason, Event, Hop, Now, Outgoing, PeerAddr,
    RelayAddress, RelayId, Server, Verdict,
};

impl Server {
    /// ChannelData from a client. RFC 8656 §12.6.
    pub(crate) fn handle_channel_data<'p>(
        &mut self,
        now: Now,
        client: ClientTuple,
        packet: &'p [u8],
    ) -> Verdict<'static, 'p> {
        let Ok(data) = ChannelData::parse(packet) else {
            return self.discard_from(client, DropReason::Malformed);
        };
        let Some(bound) = self.route(now.mono, client, data.number) else {
            return self.discard_from(client, DropReason::NoChannel);
        };
        let hop = Hop {
            from: bound.relay,
            to: bound.peer,
            dont_fragment: false,
        };
        self.forward(now, hop, data.payload)
    }

    /// The binding of a client's channel.
    fn route(
        &mut self,
        now: Instant,
        client: ClientTuple,
        channel: ChannelNumber,
    ) -> Option<Bound> {
        let bound = self.routes.by_channel(client, channel);
        bound.or_else(|| self.route_settled(now, client, channel))
    }

    /// The same for a client that moves, which is known by its old 5-tuple until data comes from
    /// the new one.
    #[cold]
    fn route_settled(
        &mut self,
        now: Instant,
        client: ClientTuple,
        channel: ChannelNumber,
    ) -> Option<Bound> {
        if self.settle(now, client) {
            self.routes.by_channel(client, channel)
        } else {
            None
        }
    }

    /// Sends application data to a peer, which may be a relayed address of this server.
    pub(crate) fn forward<'p>(
        &mut self,
        now: Now,
        hop: Hop,
        payload: &'p [u8],
    ) -> Verdict<'static, 'p> {
        let from = hop.from;
        if Kind::of(payload).is_some() && self.is_of_a_loop(from, payload) {
            return self.discard_of(from.allocation, DropReason::TurnWithin);
        }
        let Some(allocation) = self.allocations.get_mut(from.allocation) else {
            return self.discard_of(from.allocation, DropReason::RelayGone);
        };
        if !allocation.relays.has(from.family) {
            return self.discard_of(from.allocation, DropReason::RelayGone);
        }
        if payload.len() > MAX_DATAGRAM {
            return self.discard_of(from.allocation, DropReason::TooLarge);
        }
        let tally = allocation.tally.as_mut();
        let is_noted = tally.is_none_or(|tally| tally.pass(Way::Out, payload));
        if let Some(meter) = &allocation.meter {
            let now = self.shared.epoch.count(now.mono);
            if !meter.admit(now, Way::Out, payload.len()) {
                return self.discard_of(from.allocation, DropReason::BandwidthExceeded);
            }
        }
        allocation.sent.count(payload.len());
        self.counters.sent.count(payload.len());
        if !is_noted {
            self.look_closely(now.mono, from.allocation, Way::Out, payload);
        }
        let verdict = match self.rules.relay_at(hop.to.0.ip()) {
            Some(address) => self.hairpin(now, address, hop, payload),
            None => hop.leave(payload),
        };
        if payload.is_empty() && !matches!(verdict, Verdict::Drop(DropReason::NoRelay)) {
            self.note_empty(from);
        }
        verdict
    }

    /// Notes that a client has sent an empty datagram, so that it may be sent one.
    #[cold]
    fn note_empty(&mut self, from: RelayId) {
        if let Some(allocation) = self.allocations.get_mut(from.allocation) {
            allocation.sends_empty = true;
        }
    }

    /// Delivers data between two relayed addresses of this server: here, or in the shard that has the
    /// receiver's allocation. The datagram does not go through the kernel, unless that allocation is
    /// on its way between two shards: then it waits in the socket.
    fn hairpin<'p>(
        &mut self,
        now: Now,
        address: RelayAddress,
        hop: Hop,
        payload: &'p [u8],
    ) -> Verdict<'static, 'p> {
        // Behind a 1:1 NAT the local address is a second name of the same relay, and the host's
        // other programs on it are as closed to clients.
        let local = SocketAddr::new(address.local, hop.to.0.port());
        // A socket that is still being opened belongs to nobody yet, whatever the shard.
        let Some(home) = self.shared.ports.home(local) else {
            return match self.rules.policy.judge(hop.to.0) {
                Ok(Permit::Public | Permit::Listed(_)) => hop.leave(payload),
                Ok(Permit::OwnRelay) | Err(_) => {
                    self.discard_of(hop.from.allocation, DropReason::NoRelay)
                }
            };
        };
        let Some(source) = self.allocations.relay(hop.from) else {
            return self.discard_of(hop.from.allocation, DropReason::RelayGone);
        };
        let from = PeerAddr(source.relayed);
        match home {
            Home::At(shard, slot) if shard == self.shard => {
                if let Some(relay) = self.allocations.relay_at(slot, local) {
                    return self.deliver(now, relay, from, payload);
                }
            }
            Home::At(shard, _) => {
                let crossing = Crossing {
                    shard,
                    from,
                    to: local,
                };
                return crossing.leave(payload);
            }
            Home::Between => {}
        }
        let to = PeerAddr(local);
        Hop { to, ..hop }.leave(payload)
    }

    /// A datagram that another shard brings: [`Destination::Relayed`]. Its sender's permission was
    /// asked there, its receiver's is asked here.
    pub fn handle_crossing<'p>(
        &mut self,
        now: Now,
        crossing: Crossing,
        payload: &'p [u8],
    ) -> Verdict<'static, 'p> {
        self.handle_timeout(now);
        let Crossing { from, to, .. } = crossing;
        match self.shared.ports.home(to) {
            Some(Home::At(shard, slot)) if shard == self.shard => {
                match self.allocations.relay_at(slot, to) {
                    Some(relay) => self.deliver(now, relay, from, payload),
                    None => self.discard(DropReason::RelayGone),
                }
            }
            // The allocation has moved on meanwhile. It moves when its client does, so this ends.
            Some(Home::At(shard, _)) => Crossing { shard, ..crossing }.leave(payload),
            Some(Home::Between) | None => self.discard(DropReason::RelayGone),
        }
    }

    /// Hands a peer's datagram to the client, if the peer has a channel or a permission. RFC 8656
    /// §11.3, §12.7.
    ///
    /// The RFC asks for the permission of a channel's peer, too. aioice and werift renew their
    /// channels and never a permission, so a channel is enough for as long as it lives.
    pub(crate) fn deliver<'p>(
        &mut self,
        now: Now,
        relay: RelayId,
        from: PeerAddr,
        payload: &'p [u8],
    ) -> Verdict<'static, 'p> {
        let channel = self.routes.by_peer(relay, from);
        let (allocation, scope) = match self.hearer_of(now, relay, from.0, channel.is_some()) {
            Ok(found) => found,
            Err(why) => return self.discard_of(relay.allocation, why),
        };
        let (to, sends_empty) = (allocation.client, allocation.sends_empty);
        if !self.in_scope(scope, from.0) {
            return self.discard_of(relay.allocation, DropReason::PeerDenied);
        }
        if payload.is_empty() && !sends_empty {
            return self.discard_of(relay.allocation, DropReason::EmptyDatagram);
        }
        if self.is_impostor(from.0) {
            return self.discard_of(relay.allocation, DropReason::NoRelay);
        }
        if Kind::of(payload).is_some() && self.is_of_a_loop(relay, payload) {
            return self.discard_of(relay.allocation, DropReason::TurnWithin);
        }
        let header = match channel {
            Some(channel) if payload.len() <= MAX_DATAGRAM => {
                RelayHeader::channel_data(channel, payload.len())
            }
            None if payload.len() <= RelayHeader::max_payload(from.0) => {
                RelayHeader::data_indication(from.0, payload.len(), self.next_transaction())
            }
            Some(_) | None => return self.discard_of(relay.allocation, DropReason::TooLarge),
        };
        let length = header.len() + payload.len() + header.padding();
        if to.transport.is_stream() {
            if channel.is_none() && length > self.rules.limits.stream_indication() {
                return self.discard_of(relay.allocation, DropReason::IndicationTooLong);
            }
        } else if length > MAX_DATAGRAM {
            return self.discard_of(relay.allocation, DropReason::TooLarge);
        }
        let mut is_noted = true;
        if let Some(allocation) = self.allocations.get_mut(relay.allocation) {
            let tally = allocation.tally.as_mut();
            is_noted = tally.is_none_or(|tally| tally.pass(Way::In, payload));
            if let Some(meter) = &allocation.meter {
                let now = self.shared.epoch.count(now.mono);
                if !meter.admit(now, Way::In, payload.len()) {
                    return self.discard_of(relay.allocation, DropReason::BandwidthExceeded);
                }
            }
            allocation.received.count(payload.len());
        }
        self.counters.received.count(payload.len());
        if !is_noted {
            self.look_closely(now.mono, relay.allocation, Way::In, payload);
        }
        Verdict::Relay(Outgoing {
            to: Destination::Client { client: to, header },
            contents: payload,
        })
    }

    /// Tells a client of an ICMP error about a datagram that it sent to `peer`. RFC 8656 §11.5.
    pub(crate) fn deliver_icmp(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        icmp: Icmp,
    ) -> Verdict<'static, 'static> {
        let Some(icmp) = worth_telling(relay.family, icmp) else {
            return self.discard_of(relay.allocation, DropReason::IcmpType);
        };
        let has_channel = self.routes.by_peer(relay, peer).is_some();
        let to = match self.hearer_of(now, relay, peer.0, has_channel) {
            Ok((allocation, _)) if !self.rules.icmp.is_for(allocation) => {
                return self.discard_of(relay.allocation, DropReason::IcmpUnasked);
            }
            Ok((allocation, _)) => allocation.client,
            Err(why) => return self.discard_of(relay.allocation, why),
        };
        self.counters.icmp += 1;
        let event = Event::Icmp {
            peer: peer.0,
            kind: icmp.kind,
            code: icmp.code,
            times: 1,
        };
        self.note(now.mono, relay.allocation, &event);
        let header = RelayHeader::icmp_indication(peer.0, icmp, self.next_transaction());
        Verdict::Relay(Outgoing {
            to: Destination::Client { client: to, header },
            contents: &[],
        })
    }

    /// The allocation whose client is to hear a peer's datagram to a relay socket, and the scope
    /// that lets the peer through: its channel, or a permission.
    fn hearer_of(
        &self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        has_channel: bool,
    ) -> Result<(&Allocation, Scope), DropReason> {
        let allocation = self.allocations.get(relay.allocation);
        let allocation = allocation.filter(|it| it.relays.has(relay.family));
        let allocation = allocation.ok_or(DropReason::RelayGone)?;
        let scope = if has_channel {
            Scope::Channel
        } else {
            let scope = allocation.permissions.scope(peer.ip(), now.mono);
            scope.ok_or(DropReason::NoPeerPermission)?
        };
        if allocation.client.is_nobody() {
            return Err(DropReason::ClientAway);
        }
        Ok((allocation, scope))
    }

    /// The scope of a channel's peer, which needs no permission.
    pub(crate) fn scope_of_channel(&self, relay: RelayId, peer: PeerAddr) -> Option<Scope> {
        let channel = self.routes.by_peer(relay, peer);
        channel.map(|_| Scope::Channel)
    }

    /// Whether a permission of this scope covers the peer's port.
    pub(crate) fn in_scope(&self, scope: Scope, peer: SocketAddr) -> bool {
        match scope {
            // Port 0 is no port: nothing can be sent there.
            Scope::EveryPort => peer.port() != 0,
            Scope::SomePorts => self.rules.policy.judge(peer).is_ok(),
            Scope::Channel => true,
        }
    }

    /// Whether a datagram comes from a relay address of ours, but from no relay socket: then
    /// another program of this host sent it, which only an allow entry makes a peer.
    fn is_impostor(&self, peer: SocketAddr) -> bool {
        let Some(address) = self.rules.relay_at(peer.ip()) else {
            return false;
        };
        let local = SocketAddr::new(address.local, peer.port());
        !self.shared.ports.is_open(local) && self.rules.policy.judge(peer) == Ok(Permit::OwnRelay)
    }

    /// Whether data would go round in a loop, where each server is the client of another. It is asked
    /// only of data that begins like TURN, which neither media nor DTLS do.
    ///
    /// A relayed address becomes a client's only by requests that leave from it, and in a loop every
    /// server finds the framing of the one before. So an allocation that may move carries no TURN:
    /// no order of requests makes it part of a loop. Any other carries what comes through a few
    /// servers in a row. It cannot be led into a loop by its client, but its port may be that of an
    /// earlier allocation, which was some server's client. There headers become more with each turn,
    /// and towards peers fewer, so that few turns are left.
    #[cold]
    fn is_of_a_loop(&self, relay: RelayId, data: &[u8]) -> bool {
        let allocation = self.allocations.get(relay.allocation);
        allocation.is_some_and(|allocation| match allocation.mobile {
            Some(_) => wire::is_turn(data),
            None => wire::turn_headers(data, MOST_HEADERS) == MOST_HEADERS,
        })
    }

    pub(crate) fn next_transaction(&mut self) -> TransactionId {
        let (first, rest) = (self.rng.next_u64(), self.rng.next_u32());
        let mut id = [0; 12];
        id[..8].copy_from_slice(&first.to_le_bytes());
        id[8..].copy_from_slice(&rest.to_le_bytes());
        TransactionId::new(id)
    }
}

impl Hop {
    /// Sends a payload through the kernel.
    const fn leave(self, payload: &[u8]) -> Verdict<'static, '_> {
        Verdict::Relay(Outgoing {
            to: Destination::Peer(self),
            contents: payload,
        })
    }
}

impl Crossing {
    /// Brings a payload to the other shard.
    const fn leave(self, payload: &[u8]) -> Verdict<'static, '_> {
        Verdict::Relay(Outgoing {
            to: Destination::Relayed(self),
            contents: payload,
        })
    }
}

/// An ICMP error in the form that clients are told of it; `None` for one that they are not told of.
/// The types are those of RFC 8656 §11.5; error data is the MTU where a datagram was too big, else
/// zero (RFC 8656 §18.13).
const fn worth_telling(family: AddressFamily, icmp: Icmp) -> Option<Icmp> {
    let data = match (family, icmp.kind, icmp.code) {
        // Destination unreachable: fragmentation needed. Packet too big.
        (AddressFamily::V4, 3, 4) | (AddressFamily::V6, 2, _) => icmp.data,
        // Destination unreachable. Time exceeded.
        (AddressFamily::V4, 3 | 11, _) | (AddressFamily::V6, 1 | 3, _) => 0,
        (AddressFamily::V4 | AddressFamily::V6, _, _) => return None,
    };
    Some(Icmp { data, ..icmp })
}

/// So many headers of TURN around data are too many: two leave room for a client that reaches its
/// server through two others.
const MOST_HEADERS: usize = 3;

/// The largest UDP payload over IPv4. RFC 768, RFC 791.
pub(crate) const MAX_DATAGRAM: usize = 65_507;
