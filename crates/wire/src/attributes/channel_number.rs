//! CHANNEL-NUMBER. RFC 8656 §18.1.

use crate::{Attribute, Malformed, TransactionId};

/// CHANNEL-NUMBER as received: any sixteen bits. Only [`crate::ChannelNumber::new`] makes a channel of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelNumberAttribute(pub u16);

impl Attribute<'_> for ChannelNumberAttribute {
    const TYPE: u16 = 0x000C;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        // The two bytes after the number are reserved and ignored.
        let &[n0, n1, _, _] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        Ok(Self(u16::from_be_bytes([n0, n1])))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0.to_be_bytes());
        value.extend_from_slice(&[0, 0]);
    }
}
