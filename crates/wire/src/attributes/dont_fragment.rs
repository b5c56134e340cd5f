//! DONT-FRAGMENT. RFC 8656 §18.9.

use crate::{Attribute, Malformed, TransactionId};

/// DONT-FRAGMENT: the datagram to the peer is to leave with its DF bit set. In Allocate it asks
/// whether the server can do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DontFragment;

impl Attribute<'_> for DontFragment {
    const TYPE: u16 = 0x001A;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        if value.is_empty() {
            Ok(Self)
        } else {
            Err(Malformed::Value(Self::TYPE))
        }
    }

    fn encode(&self, _: &mut Vec<u8>, _: TransactionId) {}
}
