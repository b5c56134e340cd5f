//! The header of a peer's payload on its way to the client.

use std::net::SocketAddr;
use std::ops::Deref;

use crate::attributes::{Data, Icmp, XorAddress, XorPeerAddress};
use crate::{Attribute, ChannelData, ChannelNumber, Class, Message, Method, TransactionId, method};

/// The bytes that turn a payload into ChannelData or a Data indication, held inline so that the
/// data path allocates nothing. The payload follows, and then [`RelayHeader::padding`] zero bytes.
/// An ICMP error has no payload: its Data indication is all header.
#[derive(Clone, Copy, Debug)]
pub struct RelayHeader {
    bytes: [u8; Self::CAPACITY],
    length: u8,
    /// Zero bytes that must follow the payload whatever the transport.
    padding: u8,
}

impl RelayHeader {
    /// The longest header: a Data indication of an ICMP error about an IPv6 peer.
    pub const CAPACITY: usize = Self::WITH_PEER + 4 + 8;

    /// The largest payload that the header can announce for every peer.
    pub const MAX_PAYLOAD: usize = u16::MAX as usize - Self::WITH_PEER - 4 - 3;

    /// A STUN header and the XOR-PEER-ADDRESS of an IPv6 peer.
    const WITH_PEER: usize = Message::HEADER + 4 + 20;

    /// The largest payload that the header of a Data indication from this peer can announce.
    pub const fn max_payload(peer: SocketAddr) -> usize {
        // A message's length is a multiple of four.
        let most = u16::MAX as usize & !3;
        let address = if peer.is_ipv4() { 8 } else { 20 };
        most - (4 + address) - 4
    }

    /// The header of ChannelData. RFC 8656 §12.5 asks for padding on streams only, and they add it
    /// themselves. `length` must be below 65,536.
    pub fn channel_data(number: ChannelNumber, length: usize) -> Self {
        let mut header = Self::empty();
        header.push(&number.get().to_be_bytes());
        header.push(&(length as u16).to_be_bytes());
        debug_assert_eq!(header.len(), ChannelData::HEADER);
        header
    }

    /// The header of a Data indication. `length` must be at most [`RelayHeader::max_payload`].
    /// RFC 8656 §11.3.
    pub fn data_indication(peer: SocketAddr, length: usize, transaction: TransactionId) -> Self {
        let padding = crate::padding(length);
        let mut header = Self::indication(peer, length + padding, transaction);
        header.padding = padding as u8;
        header.push(&Data::TYPE.to_be_bytes());
        header.push(&(length as u16).to_be_bytes());
        header
    }

    /// A Data indication of an ICMP error about a datagram to `peer`, with nothing to follow.
    /// RFC 8656 §11.5.
    pub fn icmp_indication(peer: SocketAddr, icmp: Icmp, transaction: TransactionId) -> Self {
        let value = icmp.to_bytes();
        let mut header = Self::indication(peer, value.len(), transaction);
        header.push(&Icmp::TYPE.to_be_bytes());
        header.push(&(value.len() as u16).to_be_bytes());
        header.push(&value);
        header
    }

    /// A Data indication up to XOR-PEER-ADDRESS; one attribute of `length` bytes, padding
    /// included, is to follow.
    fn indication(peer: SocketAddr, length: usize, transaction: TransactionId) -> Self {
        let address = XorAddress::new(peer, transaction);
        let after_header = 4 + address.as_bytes().len() + 4 + length;
        let mut header = Self::empty();
        header.push(&method::encode(Method::Data, Class::Indication).to_be_bytes());
        header.push(&(after_header as u16).to_be_bytes());
        header.push(transaction.as_bytes());
        header.push(&XorPeerAddress::TYPE.to_be_bytes());
        header.push(&(address.as_bytes().len() as u16).to_be_bytes());
        header.push(address.as_bytes());
        header
    }

    const fn empty() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
            padding: 0,
        }
    }

    /// Zero bytes that follow the payload on every transport.
    pub const fn padding(&self) -> usize {
        self.padding as usize
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.length);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}

impl Deref for RelayHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_indication_reads_back_for_both_families() {
        for peer in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            for payload in [&b""[..], b"x", b"four", b"five!"] {
                let id = TransactionId::new([7; 12]);
                let header = RelayHeader::data_indication(peer, payload.len(), id);
                let mut packet = header.to_vec();
                packet.extend_from_slice(payload);
                packet.resize(packet.len() + header.padding(), 0);

                let message = Message::parse(&packet).unwrap();
                assert_eq!(message.method(), Method::Data);
                assert_eq!(message.class(), Class::Indication);
                assert_eq!(message.get::<XorPeerAddress>().unwrap().unwrap().0, peer);
                assert_eq!(message.get::<Data<'_>>().unwrap().unwrap().0, payload);
            }
        }
    }

    #[test]
    fn the_largest_payload_is_announced_and_one_byte_more_could_not_be() {
        for peer in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let most = RelayHeader::max_payload(peer);
            let header = RelayHeader::data_indication(peer, most, TransactionId::new([7; 12]));
            let mut packet = header.to_vec();
            packet.resize(packet.len() + most + header.padding(), 1);
            let message = Message::parse(&packet).unwrap();
            assert_eq!(message.get::<Data<'_>>().unwrap().unwrap().0.len(), most);
            assert!(packet.len() + 4 - Message::HEADER > usize::from(u16::MAX));
        }
    }

    #[test]
    fn an_icmp_error_reads_back_for_both_families() {
        for peer in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let icmp = Icmp {
                kind: 3,
                code: 4,
                data: 1400,
            };
            let header = RelayHeader::icmp_indication(peer, icmp, TransactionId::new([7; 12]));
            assert_eq!((header.len() % 4, header.padding()), (0, 0));
            let message = Message::parse(&header).unwrap();
            assert_eq!(message.method(), Method::Data);
            assert_eq!(message.class(), Class::Indication);
            assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
            assert_eq!(message.get(), Ok(Some(icmp)));
            assert_eq!(message.get::<Data<'_>>(), Ok(None));
        }
    }
}
