//! LIFETIME. RFC 8656 §18.2.

use crate::{Attribute, Malformed, TransactionId};

/// LIFETIME, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub u32);

impl Attribute<'_> for Lifetime {
    const TYPE: u16 = 0x000D;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let seconds = value.try_into().map_err(|_| Malformed::Value(Self::TYPE))?;
        Ok(Self(u32::from_be_bytes(seconds)))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0.to_be_bytes());
    }
}
