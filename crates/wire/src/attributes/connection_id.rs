//! CONNECTION-ID. RFC 6062 §6.2.1.

use crate::{Attribute, Malformed, TransactionId};

/// CONNECTION-ID: names a peer data connection of a TCP allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

impl Attribute<'_> for ConnectionId {
    const TYPE: u16 = 0x002A;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let id = value.try_into().map_err(|_| Malformed::Value(Self::TYPE))?;
        Ok(Self(u32::from_be_bytes(id)))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0.to_be_bytes());
    }
}
