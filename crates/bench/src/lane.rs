//! A lane: packets of one direction, made at one end and checked at the other.

use std::net::SocketAddr;

use wire::attributes::{Data, XorPeerAddress};
use wire::{ChannelNumber, Class, Message, Method, TransactionId, Writer};

use crate::packet::{STAMP, Stamp, filler};

/// The sending and the receiving side of one direction.
pub(crate) struct Lane {
    /// Its number, in every packet.
    pub(crate) id: u32,
    /// The end that sends, by its place.
    pub(crate) from: usize,
    /// The end that receives, by its place.
    to: usize,
    /// How packets come there.
    way: Way,
    /// The bytes before each stamp.
    pub(crate) before: Vec<u8>,
    /// The filler, and the padding that framing asks for.
    pub(crate) behind: Vec<u8>,
    /// How much of that is filler.
    filler: usize,
    /// The number of the next packet.
    pub(crate) next: u64,
    /// The number after the highest that has arrived.
    expected: u64,
    /// The packets before that one which have arrived: a bit for each, the lowest for the last.
    seen: u128,
    /// Packets that were sent and have not arrived; those that are lost for good are forgotten.
    pub(crate) in_flight: usize,
    /// When the last one was sent or has arrived, in nanoseconds since the load began.
    pub(crate) moved: u64,
    /// When the last Binding requests were to be sent, whose answers cannot say it; empty in a lane of data.
    asked: Vec<u64>,
}

/// An end of a lane: its place, and the bytes around a payload there.
#[derive(Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) place: usize,
    pub(crate) framing: Framing,
}

/// The bytes around a payload on its way.
#[derive(Clone, Copy)]
pub(crate) enum Framing {
    /// A peer's datagram.
    None,
    /// ChannelData, in a datagram.
    Channel(ChannelNumber),
    /// ChannelData on a stream, which is padded. RFC 8656 §12.5.
    PaddedChannel(ChannelNumber),
    /// A Send indication to this peer, or a Data indication from it. RFC 8656 §11.1, §11.4.
    Indication(SocketAddr),
}

/// How a payload came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With nothing around it, as to a peer.
    Bare,
    /// In ChannelData with this number.
    Channel(ChannelNumber),
    /// In a Data indication that names this peer.
    Indication(SocketAddr),
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The packet with this stamp, as it left.
    Whole(Stamp),
    /// The same after a later one.
    Late(Stamp),
    /// A packet that has arrived before; or one that comes so late that nobody can tell. It is no arrival, so that
    /// duplicates cannot hide a loss.
    Again,
    /// A packet at another end than its own, or in another framing: as from another peer, or on another channel.
    Astray,
    /// Bytes that differ from those that left.
    Damaged,
}

impl Lane {
    pub(crate) fn new(id: u32, from: Stop, to: Stop, payload: usize) -> Self {
        let filler = filler(id, payload - STAMP);
        let (before, padding) = from.framing.around(payload);
        let mut behind = filler;
        let filler = behind.len();
        behind.resize(filler + padding, 0);
        Self {
            id,
            from: from.place,
            to: to.place,
            way: to.framing.way(),
            before,
            behind,
            filler,
            next: 0,
            expected: 0,
            seen: 0,
            in_flight: 0,
            moved: 0,
            asked: Vec::new(),
        }
    }

    /// A lane of Binding requests: what stands before the transaction id is its own, and nothing follows.
    pub(crate) fn asking(id: u32, place: usize) -> Self {
        let own = Stop {
            place,
            framing: Framing::None,
        };
        let mut message = Vec::new();
        let transaction = TransactionId::new([0; 12]);
        Writer::new(&mut message, Method::Binding, Class::Request, transaction);
        message.truncate(Message::HEADER - 12);
        Self {
            before: message,
            behind: Vec::new(),
            filler: 0,
            asked: vec![0; REMEMBERED],
            ..Self::new(id, own, own, STAMP)
        }
    }

    /// Whether it asks, and carries no data.
    pub(crate) const fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// So many packets have left, which were to be sent at this time.
    pub(crate) fn leave(&mut self, count: usize, nanos: u64) {
        for _ in 0..count {
            let place = self.next as usize % REMEMBERED;
            if let Some(asked) = self.asked.get_mut(place) {
                *asked = nanos;
            }
            self.next += 1;
        }
        self.in_flight += count;
    }

    /// Takes the answer to the request with this number, which came to this end.
    pub(crate) fn answered(&mut self, number: u64, end: usize) -> Arrival {
        if number >= self.next || number + (REMEMBERED as u64) < self.next {
            return Arrival::Damaged;
        }
        let nanos = self.asked[number as usize % REMEMBERED];
        let stamp = Stamp {
            lane: self.id,
            number,
            nanos,
        };
        self.arrive(stamp, &[], end, Way::Bare)
    }

    /// The stamp of the next packet.
    pub(crate) fn stamp(&self, ahead: usize, nanos: u64) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        let stamp = Stamp {
            lane: self.id,
            number: self.next + ahead as u64,
            nanos,
        };
        stamp.write(&mut bytes);
        bytes
    }

    /// Takes a packet that says it is of this lane, and came to this end in this way.
    pub(crate) fn arrive(&mut self, stamp: Stamp, filler: &[u8], end: usize, way: Way) -> Arrival {
        if *filler != self.behind[..self.filler] || stamp.number >= self.next {
            return Arrival::Damaged;
        }
        if end != self.to || way != self.way {
            return Arrival::Astray;
        }
        let arrival = if let Some(ahead) = stamp.number.checked_sub(self.expected) {
            self.seen = shifted(self.seen, ahead + 1) | 1;
            self.expected = stamp.number + 1;
            Arrival::Whole(stamp)
        } else {
            let its = shifted(1, self.expected - 1 - stamp.number);
            if its == 0 || self.seen & its != 0 {
                return Arrival::Again;
            }
            self.seen |= its;
            Arrival::Late(stamp)
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        arrival
    }
}

/// What is shifted by more bits than there are is zero.
fn shifted(bits: u128, by: u64) -> u128 {
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    bits.checked_shl(by).unwrap_or(0)
}

impl Framing {
    /// How a payload in it comes to an end.
    const fn way(self) -> Way {
        match self {
            Self::None => Way::Bare,
            Self::Channel(number) | Self::PaddedChannel(number) => Way::Channel(number),
            // The scope of a link is not on the wire.
            Self::Indication(peer) => Way::Indication(SocketAddr::new(peer.ip(), peer.port())),
        }
    }

    /// The bytes before a payload, and how many zero bytes follow it.
    fn around(&self, payload: usize) -> (Vec<u8>, usize) {
        match self {
            Self::None => (Vec::new(), 0),
            Self::Channel(number) => (channel_data(*number, payload), 0),
            Self::PaddedChannel(number) => (channel_data(*number, payload), wire::padding(payload)),
            Self::Indication(peer) => {
                let mut message = Vec::new();
                let id = TransactionId::new([0x5A; 12]);
                let mut writer = Writer::new(&mut message, Method::Send, Class::Indication, id);
                writer.put(&XorPeerAddress(*peer));
                writer.put(&Data(&vec![0; payload]));
                let padding = wire::padding(payload);
                message.truncate(message.len() - payload - padding);
                (message, padding)
            }
        }
    }
}

/// So many requests of a lane may wait for their answers.
const REMEMBERED: usize = 256;

fn channel_data(number: ChannelNumber, payload: usize) -> Vec<u8> {
    wire::RelayHeader::channel_data(number, payload).to_vec()
}

/// The payload of what a client receives, if it is ChannelData or a Data indication, and how it came.
pub(crate) fn data_of(packet: &[u8]) -> Option<(Way, &[u8])> {
    if let Ok(data) = wire::ChannelData::parse(packet) {
        return Some((Way::Channel(data.number), data.payload));
    }
    let message = Message::parse(packet).ok().filter(is_data)?;
    let XorPeerAddress(peer) = message.get().ok()??;
    let data = message.get::<Data<'_>>().ok()??;
    Some((Way::Indication(peer), data.0))
}

/// Whether a client has to take this as data, readable or not.
pub(crate) fn is_data(message: &Message<'_>) -> bool {
    message.method() == Method::Data && message.class() == Class::Indication
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Stop = Stop {
        place: 0,
        framing: Framing::None,
    };

    /// A lane of peers' datagrams from end 0 to end 1.
    fn lane(payload: usize) -> Lane {
        Lane::new(1, FROM, Stop { place: 1, ..FROM }, payload)
    }

    fn arrive(lane: &mut Lane, number: u64, end: usize, way: Way) -> Arrival {
        let filler = filler(lane.id, lane.filler);
        lane.arrive(stamp(number), &filler, end, way)
    }

    const fn stamp(number: u64) -> Stamp {
        Stamp {
            lane: 1,
            number,
            nanos: 0,
        }
    }

    #[test]
    fn what_leaves_in_any_framing_is_the_payload_that_arrives() {
        let peer = "192.0.2.7:9".parse().unwrap();
        let number = ChannelNumber::new(0x4001).unwrap();
        for payload in [STAMP, 29, 160, 1472] {
            for framing in [
                Framing::Channel(number),
                Framing::PaddedChannel(number),
                Framing::Indication(peer),
            ] {
                let from = Stop { place: 0, framing };
                let lane = Lane::new(5, from, FROM, payload);
                let stamp = lane.stamp(0, 9);
                let packet = [&lane.before[..], &stamp, &lane.behind].concat();
                let found = match framing {
                    Framing::Indication(_) => {
                        let message = Message::parse(&packet).unwrap();
                        assert_eq!(message.get::<XorPeerAddress>().unwrap().unwrap().0, peer);
                        message.get::<Data<'_>>().unwrap().unwrap().0
                    }
                    Framing::None | Framing::Channel(_) | Framing::PaddedChannel(_) => {
                        let (way, payload) = data_of(&packet).unwrap();
                        assert_eq!(way, framing.way());
                        payload
                    }
                };
                assert_eq!(found.len(), payload);
                let (read, filler) = Stamp::read(found).unwrap();
                assert_eq!((read.lane, read.number, read.nanos), (5, 0, 9));
                assert_eq!(filler, &lane.behind[..lane.filler]);
            }
        }
    }

    #[test]
    fn a_data_indication_says_its_peer_and_without_one_it_is_no_data() {
        let peer = "192.0.2.7:9".parse().unwrap();
        let mut message = Vec::new();
        let id = TransactionId::new([0; 12]);
        let mut writer = Writer::new(&mut message, Method::Data, Class::Indication, id);
        writer.put(&Data(b"x"));
        assert_eq!(data_of(&message), None);
        assert!(is_data(&Message::parse(&message).unwrap()));
        let mut whole = Vec::new();
        let mut writer = Writer::new(&mut whole, Method::Data, Class::Indication, id);
        writer.put(&XorPeerAddress(peer)).put(&Data(b"x"));
        assert_eq!(data_of(&whole), Some((Way::Indication(peer), &b"x"[..])));
    }

    #[test]
    fn packets_are_told_late_or_damaged() {
        let mut lane = lane(100);
        lane.next = 3;
        let mut arrive = |number| arrive(&mut lane, number, 1, Way::Bare);
        assert_eq!(arrive(0), Arrival::Whole(stamp(0)));
        assert_eq!(arrive(2), Arrival::Whole(stamp(2)));
        assert_eq!(arrive(1), Arrival::Late(stamp(1)));
        assert_eq!(arrive(3), Arrival::Damaged, "it was never sent");
        for other in [&[0; 72][..], &[0; 71], &[]] {
            let arrival = lane.arrive(stamp(2), other, 1, Way::Bare);
            assert_eq!(arrival, Arrival::Damaged);
        }
    }

    #[test]
    fn a_packet_arrives_once_and_one_that_cannot_be_told_from_a_duplicate_is_one() {
        let mut lane = lane(100);
        lane.next = 1_000;
        lane.in_flight = 10;
        let mut arrive = |number| arrive(&mut lane, number, 1, Way::Bare);
        for number in [0, 1, 200, 201] {
            assert_eq!(arrive(number), Arrival::Whole(stamp(number)));
            assert_eq!(arrive(number), Arrival::Again);
        }
        for number in [199, 74, 75] {
            assert_eq!(arrive(number), Arrival::Late(stamp(number)));
            assert_eq!(arrive(number), Arrival::Again);
        }
        assert_eq!(arrive(73), Arrival::Again, "128 behind the last");
        assert_eq!(arrive(1), Arrival::Again);
        assert_eq!(arrive(999), Arrival::Whole(stamp(999)));
        assert_eq!(arrive(998), Arrival::Late(stamp(998)));
        assert_eq!(lane.in_flight, 1, "duplicates make no room");
    }

    #[test]
    fn a_packet_has_one_end_and_one_framing() {
        let number = |number| ChannelNumber::new(number).unwrap();
        let peer = |port| SocketAddr::from(([192, 0, 2, 7], port));
        let ways = [
            Way::Bare,
            Way::Channel(number(0x4000)),
            Way::Channel(number(0x4001)),
            Way::Indication(peer(9)),
            Way::Indication(peer(10)),
        ];
        for (framing, right) in [
            (Framing::None, 0),
            (Framing::Channel(number(0x4000)), 1),
            (Framing::PaddedChannel(number(0x4001)), 2),
            (Framing::Indication(peer(9)), 3),
        ] {
            let to = Stop { place: 4, framing };
            let mut lane = Lane::new(1, FROM, to, 100);
            lane.next = 1;
            for (place, way) in ways.iter().enumerate().filter(|(place, _)| *place != right) {
                let arrival = arrive(&mut lane, 0, 4, *way);
                assert_eq!(arrival, Arrival::Astray, "{place} in place of {right}");
            }
            let arrival = arrive(&mut lane, 0, 3, ways[right]);
            assert_eq!(arrival, Arrival::Astray, "another end");
            let arrival = arrive(&mut lane, 0, 4, ways[right]);
            assert_eq!(arrival, Arrival::Whole(stamp(0)));
        }
    }
}
