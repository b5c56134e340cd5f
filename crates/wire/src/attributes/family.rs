//! REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY. RFC 8656 §18.6, §18.11.

use crate::{AddressFamily, Attribute, Malformed, TransactionId};

/// REQUESTED-ADDRESS-FAMILY: the family by its number, or `Err` with a number that is neither,
/// which the server answers with 440 and not with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedAddressFamily(pub Result<AddressFamily, u8>);

impl Attribute<'_> for RequestedAddressFamily {
    const TYPE: u16 = 0x0017;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        decode(value, Self::TYPE).map(Self)
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        encode(self.0, value);
    }
}

/// ADDITIONAL-ADDRESS-FAMILY: asks for an address of this family beside the IPv4 one. The server
/// judges whether it makes sense: only IPv6 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdditionalAddressFamily(pub Result<AddressFamily, u8>);

impl Attribute<'_> for AdditionalAddressFamily {
    const TYPE: u16 = 0x8000;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        decode(value, Self::TYPE).map(Self)
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        encode(self.0, value);
    }
}

/// ADDITIONAL-ADDRESS-FAMILY under the number that drafts of RFC 8656 gave it. coturn's clients up
/// to 4.7 know no other number; IANA has not assigned it to anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftAdditionalAddressFamily(pub Result<AddressFamily, u8>);

impl Attribute<'_> for DraftAdditionalAddressFamily {
    const TYPE: u16 = 0x8032;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        decode(value, Self::TYPE).map(Self)
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        encode(self.0, value);
    }
}

fn decode(value: &[u8], kind: u16) -> Result<Result<AddressFamily, u8>, Malformed> {
    let &[family, _, _, _] = value else {
        return Err(Malformed::Value(kind));
    };
    Ok(AddressFamily::from_code(family).ok_or(family))
}

fn encode(family: Result<AddressFamily, u8>, value: &mut Vec<u8>) {
    let family = family.map_or_else(|code| code, AddressFamily::code);
    value.extend_from_slice(&[family, 0, 0, 0]);
}
