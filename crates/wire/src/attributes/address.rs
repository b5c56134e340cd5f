//! Transport addresses, plain and XORed. RFC 8489 §14.1, §14.2, §14.15, RFC 8656 §18.3, §18.5,
//! RFC 5780 §7.

use std::net::{IpAddr, SocketAddr};

use crate::{AddressFamily, Attribute, Malformed, TransactionId};

macro_rules! plain_address {
    ($(#[$doc:meta])* $name:ident = $code:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub SocketAddr);

        impl Attribute<'_> for $name {
            const TYPE: u16 = $code;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
                decode(value, &[0; 16]).map(Self).ok_or(Malformed::Value(Self::TYPE))
            }

            fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
                value.extend_from_slice(XorAddress::masked(self.0, &[0; 16]).as_bytes());
            }
        }
    };
}

plain_address! {
    /// ALTERNATE-SERVER: another server for the client to try. RFC 8489 §14.15.
    AlternateServer = 0x8023
}
plain_address! {
    /// MAPPED-ADDRESS: the client's reflexive address as it is, for clients that know only
    /// RFC 3489. It also stands beside XOR-MAPPED-ADDRESS for clients that look for a NAT that
    /// rewrites addresses in payloads. RFC 8489 §14.1, RFC 5780 §6.1.
    MappedAddress = 0x0001
}
plain_address! {
    /// SOURCE-ADDRESS: the address that an answer was sent from, for clients that know only
    /// RFC 3489. RFC 3489 §11.2.5.
    SourceAddress = 0x0004
}
plain_address! {
    /// CHANGED-ADDRESS: the OTHER-ADDRESS of RFC 3489, for clients that know only that.
    /// RFC 3489 §11.2.3.
    ChangedAddress = 0x0005
}
plain_address! {
    /// RESPONSE-ORIGIN: the address that an answer was sent from. RFC 5780 §7.3.
    ResponseOrigin = 0x802B
}
plain_address! {
    /// OTHER-ADDRESS: the address that an answer would come from if both IP address and port were
    /// changed. RFC 5780 §7.4.
    OtherAddress = 0x802C
}

macro_rules! xor_address {
    ($(#[$doc:meta])* $name:ident = $code:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub SocketAddr);

        impl Attribute<'_> for $name {
            const TYPE: u16 = $code;

            fn decode(value: &[u8], transaction: TransactionId) -> Result<Self, Malformed> {
                decode(value, transaction.as_bytes()).map(Self).ok_or(Malformed::Value(Self::TYPE))
            }

            fn encode(&self, value: &mut Vec<u8>, transaction: TransactionId) {
                value.extend_from_slice(XorAddress::new(self.0, transaction).as_bytes());
            }
        }
    };
}

xor_address! {
    /// XOR-MAPPED-ADDRESS: the client's reflexive address. RFC 8489 §14.2.
    XorMappedAddress = 0x0020
}
xor_address! {
    /// XOR-PEER-ADDRESS: a peer as the server sees it. RFC 8656 §18.3.
    XorPeerAddress = 0x0012
}
xor_address! {
    /// XOR-RELAYED-ADDRESS: the relayed transport address of an allocation. RFC 8656 §18.5.
    XorRelayedAddress = 0x0016
}

/// The value of an XORed address attribute, inline.
#[derive(Clone, Copy, Debug)]
pub struct XorAddress {
    bytes: [u8; 20],
    length: usize,
}

impl XorAddress {
    /// Encodes an address under a transaction id.
    pub fn new(address: SocketAddr, transaction: TransactionId) -> Self {
        Self::masked(address, transaction.as_bytes())
    }

    /// The value, 8 or 20 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn masked(address: SocketAddr, mask: &[u8; 16]) -> Self {
        let mut bytes = [0; 20];
        bytes[1] = AddressFamily::of(address.ip()).code();
        bytes[2..4].copy_from_slice(&(address.port() ^ port_mask(mask)).to_be_bytes());
        let length = match address.ip() {
            IpAddr::V4(ip) => {
                bytes[4..8].copy_from_slice(&xor(ip.octets(), mask));
                8
            }
            IpAddr::V6(ip) => {
                bytes[4..20].copy_from_slice(&xor(ip.octets(), mask));
                20
            }
        };
        Self { bytes, length }
    }
}

fn decode(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([p0, p1]) ^ port_mask(mask);
    let ip = match AddressFamily::from_code(family)? {
        AddressFamily::V4 => IpAddr::from(xor::<4>(ip.try_into().ok()?, mask)),
        AddressFamily::V6 => IpAddr::from(xor::<16>(ip.try_into().ok()?, mask)),
    };
    Some(SocketAddr::new(ip, port))
}

fn xor<const N: usize>(mut ip: [u8; N], mask: &[u8; 16]) -> [u8; N] {
    for (byte, mask) in ip.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    ip
}

fn port_mask(mask: &[u8; 16]) -> u16 {
    u16::from_be_bytes([mask[0], mask[1]])
}
