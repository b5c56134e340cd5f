//! UNKNOWN-ATTRIBUTES. RFC 8489 §14.13.

use crate::{Attribute, Malformed, TransactionId};

/// UNKNOWN-ATTRIBUTES: the comprehension-required types that led to a 420.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAttributes(pub Vec<u16>);

impl Attribute<'_> for UnknownAttributes {
    const TYPE: u16 = 0x000A;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let (types, []) = value.as_chunks::<2>() else {
            return Err(Malformed::Value(Self::TYPE));
        };
        Ok(Self(
            types.iter().map(|kind| u16::from_be_bytes(*kind)).collect(),
        ))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend(self.0.iter().flat_map(|kind| kind.to_be_bytes()));
    }
}
