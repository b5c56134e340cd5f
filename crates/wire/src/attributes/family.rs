//! REQUESTED-ADDRESS-FAMILY. RFC 8656 §18.6.

use crate::{AddressFamily, Attribute, Malformed, TransactionId};

/// REQUESTED-ADDRESS-FAMILY: the family by its number, or `Err` with a number that is none of the
/// two, which the server answers with 440 and not with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedAddressFamily(pub Result<AddressFamily, u8>);

impl Attribute<'_> for RequestedAddressFamily {
    const TYPE: u16 = 0x0017;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let &[family, _, _, _] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        Ok(Self(AddressFamily::from_code(family).ok_or(family)))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        let family = self.0.map_or_else(|code| code, AddressFamily::code);
        value.extend_from_slice(&[family, 0, 0, 0]);
    }
}
