//! REQUESTED-TRANSPORT. RFC 8656 §18.8.

use crate::{Attribute, Malformed, TransactionId};

/// REQUESTED-TRANSPORT: the protocol between server and peer, an IANA protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// UDP.
    pub const UDP: Self = Self(17);
    /// TCP. RFC 6062 §4.1.
    pub const TCP: Self = Self(6);
}

impl Attribute<'_> for RequestedTransport {
    const TYPE: u16 = 0x0019;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let &[protocol, _, _, _] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        Ok(Self(protocol))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&[self.0, 0, 0, 0]);
    }
}
