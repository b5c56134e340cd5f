//! EVEN-PORT. RFC 8656 §18.7.

use crate::{Attribute, Malformed, TransactionId};

/// EVEN-PORT: the relayed port must be even, and with `reserve_next` the next port is to be kept
/// for a second allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvenPort {
    /// The R bit.
    pub reserve_next: bool,
}

impl Attribute<'_> for EvenPort {
    const TYPE: u16 = 0x0018;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let &[flags] = value else {
            return Err(Malformed::Value(Self::TYPE));
        };
        let reserve_next = flags & RESERVE != 0;
        Ok(Self { reserve_next })
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.push(if self.reserve_next { RESERVE } else { 0 });
    }
}

const RESERVE: u8 = 0x80;
