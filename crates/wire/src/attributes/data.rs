//! DATA. RFC 8656 §18.4.

use crate::{Attribute, Malformed, TransactionId};

/// DATA: the payload of a Send or Data indication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for Data<'a> {
    const TYPE: u16 = 0x0013;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
        Ok(Self(value))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(self.0);
    }
}
