//! Data, out and in. RFC 8656 §11, §12.

use std::net::SocketAddr;

use relay::{AddressFamily, ClientTuple, DropReason, Icmp, Transport};
use wire::attributes::{Data, DontFragment, XorPeerAddress};
use wire::{Attribute, ChannelData, Message, padding};

use super::bounds::{RECEIVED, SENT};
use super::credentials::unknown;
use super::{Allocation, Expect, Id, Model};

impl Model {
    /// RFC 8656 §12.6.
    pub(super) fn channel_data(&mut self, from: ClientTuple, packet: &[u8]) -> Expect {
        let Ok(data) = ChannelData::parse(packet) else {
            return Expect::Lost(DropReason::Malformed);
        };
        // RFC 8016 §3.2.2: the first data from a new 5-tuple is the end of the old one.
        self.settle(from);
        let allocation = self.of(from);
        let bound = allocation.and_then(|it| it.channels.get(&data.number.get()));
        match bound {
            Some((peer, _)) => self.relay_to_peer(from, *peer, false, data.payload),
            None => Expect::Lost(DropReason::NoChannel),
        }
    }

    /// RFC 8656 §11.2.
    pub(super) fn send(&mut self, from: ClientTuple, message: &Message<'_>) -> Expect {
        // RFC 8489 §6.3.2.
        if !unknown(message).is_empty() {
            return Expect::Lost(DropReason::UnknownAttribute);
        }
        // An indication that has neither peer nor data is a keepalive.
        let mut all = message.attributes();
        if !all.any(|it| [XorPeerAddress::TYPE, Data::TYPE].contains(&it.kind)) {
            return Expect::Nothing;
        }
        let (Ok(Some(XorPeerAddress(peer))), Ok(Some(Data(payload))), Ok(asked)) =
            (message.get(), message.get(), message.get::<DontFragment>())
        else {
            return Expect::Lost(DropReason::IncompleteSend);
        };
        self.settle(from);
        let Some(allocation) = self.of(from) else {
            return Expect::Lost(DropReason::NoAllocation);
        };
        if allocation.tcp.is_some() {
            return Expect::Lost(DropReason::TcpAllocation);
        }
        if !allocation.may_exchange_with(peer) {
            return Expect::Lost(DropReason::NoPermission);
        }
        if !self.terms.allows(peer) {
            return Expect::Lost(DropReason::PeerDenied);
        }
        // §13: where datagrams are translated or are IPv6, the client's datagram decides, and the
        // attribute is ignored; a client on a stream sends none (§15).
        let both_v4 = from.client.is_ipv4() && peer.is_ipv4();
        let dont_fragment = asked.is_some() && (both_v4 || from.transport.is_stream());
        self.relay_to_peer(from, peer, dont_fragment, payload)
    }

    /// A datagram leaves from the relayed transport address of the peer's family.
    fn relay_to_peer(
        &mut self,
        from: ClientTuple,
        to: SocketAddr,
        dont_fragment: bool,
        payload: &[u8],
    ) -> Expect {
        let family = AddressFamily::of(to.ip());
        let Some(id) = self.find(from) else {
            return Expect::Lost(DropReason::NoAllocation);
        };
        if self.allocations[&id].may_loop(payload) {
            return Expect::Lost(DropReason::TurnWithin);
        }
        if payload.len() > MAX_DATAGRAM {
            return Expect::Lost(DropReason::TooLarge);
        }
        let Some((local, _)) = self.allocations[&id].relays.get(&family).copied() else {
            return Expect::Lost(DropReason::RelayGone);
        };
        if !self.passes(id, SENT, payload) {
            return Expect::Lost(DropReason::BandwidthExceeded);
        }
        if let Some(allocation) = self.allocations.get_mut(&id) {
            count(&mut allocation.sent, payload);
        }
        let source = self.terms.outward(local);
        let far = self.terms.inward(to);
        let owner = far.and_then(|far| self.udp_holder(far));
        let expect = match (far, owner) {
            (None, _) => Expect::ToPeer {
                from: source,
                to,
                dont_fragment,
                payload: payload.to_vec(),
            },
            // Another relayed transport address of this server: a peer like any other.
            (Some(_), Some(owner)) => self.relay_to_client(owner, source, payload),
            (Some(_), None) => return Expect::Lost(DropReason::NoRelay),
        };
        // A client that has sent an empty datagram may be sent one.
        if payload.is_empty()
            && let Some(allocation) = self.of_mut(from)
        {
            allocation.sends_empty = true;
        }
        expect
    }

    /// A datagram from a peer arrives at a port of a relay address.
    pub(crate) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Expect {
        let from = self.terms.outward(from);
        match self
            .terms
            .inward(to)
            .and_then(|local| self.udp_holder(local))
        {
            Some(owner) => self.relay_to_client(owner, from, payload),
            None => Expect::NoSocket,
        }
    }

    /// An ICMP error about a datagram from a port of a relay address to a peer. §11.5.
    pub(crate) fn icmp(&mut self, relayed: SocketAddr, peer: SocketAddr, icmp: Icmp) -> Expect {
        let owner = self
            .terms
            .inward(relayed)
            .and_then(|at| self.udp_holder(at));
        let Some(allocation) = owner.and_then(|owner| self.allocations.get(&owner)) else {
            return Expect::NoSocket;
        };
        // §18.13: the MTU if a datagram was too big, else zero.
        let data = match (peer.is_ipv4(), icmp.kind, icmp.code) {
            (true, 3, 4) | (false, 2, _) => icmp.data,
            (true, 3 | 11, _) | (false, 1 | 3, _) => 0,
            _ => return Expect::Lost(DropReason::IcmpType),
        };
        let peer = self.terms.outward(peer);
        if !allocation.may_exchange_with(peer) {
            return Expect::Lost(DropReason::NoPeerPermission);
        }
        if allocation.is_lost {
            return Expect::Lost(DropReason::ClientAway);
        }
        // Told only to clients as new as the indication: older ones end at the first one.
        if !self.terms.icmp_for_all && !allocation.knows_rfc8489 {
            return Expect::Lost(DropReason::IcmpUnasked);
        }
        Expect::ToldOfLoss {
            to: allocation.client,
            peer,
            icmp: Icmp { data, ..icmp },
        }
    }

    /// RFC 8656 §11.3, §12.7.
    fn relay_to_client(&mut self, owner: Id, from: SocketAddr, payload: &[u8]) -> Expect {
        let is_impostor = self.terms.inward(from).is_some_and(|local| {
            self.udp_holder(local).is_none() && self.terms.allows_as_relay_only(from)
        });
        let Some(allocation) = self.allocations.get(&owner) else {
            return Expect::Lost(DropReason::RelayGone);
        };
        if !allocation.may_exchange_with(from) {
            return Expect::Lost(DropReason::NoPeerPermission);
        }
        if allocation.is_lost {
            return Expect::Lost(DropReason::ClientAway);
        }
        if !self.terms.allows(from) {
            return Expect::Lost(DropReason::PeerDenied);
        }
        if payload.is_empty() && !allocation.sends_empty {
            return Expect::Lost(DropReason::EmptyDatagram);
        }
        if is_impostor {
            return Expect::Lost(DropReason::NoRelay);
        }
        if allocation.may_loop(payload) {
            return Expect::Lost(DropReason::TurnWithin);
        }
        let to = allocation.client;
        let channel = allocation.channel_to(from);
        if !fits(to.transport, from, channel.is_some(), payload.len()) {
            return Expect::Lost(DropReason::TooLarge);
        }
        let length = indication_length(from, payload.len());
        if to.transport.is_stream() && channel.is_none() && length > LONGEST_ON_STREAM {
            return Expect::Lost(DropReason::IndicationTooLong);
        }
        if !self.passes(owner, RECEIVED, payload) {
            return Expect::Lost(DropReason::BandwidthExceeded);
        }
        if let Some(allocation) = self.allocations.get_mut(&owner) {
            count(&mut allocation.received, payload);
        }
        Expect::ToClient {
            to,
            peer: from,
            channel,
            payload: payload.to_vec(),
        }
    }
}

impl Allocation {
    /// The channel that a peer is bound to.
    fn channel_to(&self, peer: SocketAddr) -> Option<u16> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(_, (bound, _))| *bound == peer);
        found.map(|(number, _)| *number)
    }

    /// RFC 8656 §9 wants a permission for all data. Here a channel is enough while it lives, since
    /// some clients renew nothing else.
    fn may_exchange_with(&self, peer: SocketAddr) -> bool {
        self.permissions.contains_key(&peer.ip()) || self.channel_to(peer).is_some()
    }
}

impl Allocation {
    /// RFC 8656 §21.4: whether this would go round in a loop of servers. An allocation that may move
    /// carries no TURN, any other no more of its framing than two servers in a row put around data.
    fn may_loop(&self, payload: &[u8]) -> bool {
        if self.mobile.is_some() {
            is_turn(payload)
        } else {
            // A server cuts what stands in a frame that it writes, and writes no more behind that.
            let may_be_cut = match payload {
                [0x40..=0x7F, ..] => {
                    ChannelData::parse(payload).is_ok_and(|frame| is_whole(frame.payload, payload))
                }
                _ => true,
            };
            let within = |data, outside| framed(data, may_be_cut && outside > 0);
            (0..3).try_fold(payload, within).is_some()
        }
    }
}

/// ChannelData, or the cookie under a method of TURN.
fn is_turn(data: &[u8]) -> bool {
    match data {
        [0x40..=0x7F, ..] => ChannelData::parse(data)
            .is_ok_and(|frame| !frame.payload.is_empty() && is_whole(frame.payload, data)),
        [0..=1, low, _, _, 0x21, 0x12, 0xA4, 0x42, rest @ ..] if rest.len() >= 12 => {
            (3..=12).contains(&(low & 0x0F)) && low & 0xE0 == 0
        }
        _ => false,
    }
}

/// Whether this is the payload of ChannelData with padding at most behind it.
const fn is_whole(payload: &[u8], data: &[u8]) -> bool {
    payload.len() + 4 > data.len() - 4
}

/// The data within a frame of TURN, which may be cut off where it is longer than most packets.
fn framed(data: &[u8], may_be_cut: bool) -> Option<&[u8]> {
    match data {
        [0x40..=0x7F, ..] => match ChannelData::parse(data) {
            Ok(frame) => Some(frame.payload),
            Err(_) => (may_be_cut && data.len() >= 1400).then(|| &data[4..]),
        },
        [0, 0x16 | 0x17, ..] if is_turn(data) => {
            let mut rest = &data[Message::HEADER..];
            while let [high, low, l0, l1, value @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*l0, *l1]));
                if u16::from_be_bytes([*high, *low]) == Data::TYPE {
                    return Some(&value[..length.min(value.len())]);
                }
                rest = value.get(length.next_multiple_of(4)..).unwrap_or(&[]);
            }
            Some(&[])
        }
        _ => None,
    }
}

/// Whether a payload fits: into the length fields of RFC 8489 §5 and RFC 8656 §12.4, and over UDP
/// into a datagram.
fn fits(transport: Transport, peer: SocketAddr, on_channel: bool, payload: usize) -> bool {
    let (header, whole) = if on_channel {
        (4, 4 + payload)
    } else {
        (Message::HEADER, indication_length(peer, payload))
    };
    let announced = whole - header;
    announced <= usize::from(u16::MAX) && (transport.is_stream() || whole <= MAX_DATAGRAM)
}

/// A Data indication: STUN header, XOR-PEER-ADDRESS, DATA and its padding. RFC 8656 §11.3.
const fn indication_length(peer: SocketAddr, payload: usize) -> usize {
    let header = 4;
    let address = if peer.is_ipv4() { 8 } else { 20 };
    Message::HEADER + header + address + header + payload + padding(payload)
}

/// The most that Firefox takes over TCP; the server's default.
const LONGEST_ON_STREAM: usize = 2_048;

const fn count((packets, bytes): &mut (u64, u64), payload: &[u8]) {
    *packets += 1;
    *bytes += payload.len() as u64;
}

/// 65,535 bytes of an IPv4 packet without its header and UDP's. RFC 791, RFC 768.
const MAX_DATAGRAM: usize = 65_535 - 20 - 8;
