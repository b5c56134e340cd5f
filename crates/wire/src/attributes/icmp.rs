//! ICMP. RFC 8656 §18.13.

use crate::{Attribute, Malformed, TransactionId};

/// ICMP: why a datagram to a peer was lost. The family of the peer's address says whether it is
/// ICMP or ICMPv6.
///
/// The figure in the RFC draws seven bits for the type and nine for the code. ICMP itself has an
/// octet for each, and this type follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The type.
    pub kind: u8,
    /// The code, whose meaning depends on the type.
    pub code: u8,
    /// The MTU of the next link, in bytes, if the datagram was too big for it; else zero.
    pub data: u32,
}

impl Icmp {
    /// The value, from reserved zeros to error data.
    pub const fn to_bytes(self) -> [u8; 8] {
        let [d0, d1, d2, d3] = self.data.to_be_bytes();
        [0, 0, self.kind, self.code, d0, d1, d2, d3]
    }
}

impl Attribute<'_> for Icmp {
    const TYPE: u16 = 0x8004;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let &[_, _, kind, code, d0, d1, d2, d3] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        let data = u32::from_be_bytes([d0, d1, d2, d3]);
        Ok(Self { kind, code, data })
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_octets_of_icmp_are_zero_and_ignored() {
        let icmp = Icmp {
            kind: 3,
            code: 4,
            data: 1400,
        };
        assert_eq!(icmp.to_bytes(), [0, 0, 3, 4, 0, 0, 0x05, 0x78]);
        let id = TransactionId::new([0; 12]);
        let value = [0xFF, 0xFF, 3, 4, 0, 0, 0x05, 0x78];
        assert_eq!(Icmp::decode(&value, id), Ok(icmp));
        assert!(Icmp::decode(&value[..7], id).is_err());
    }
}
