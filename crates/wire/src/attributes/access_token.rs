//! ACCESS-TOKEN. RFC 7635 §6.2.

use crate::{Attribute, Malformed, TransactionId};

/// ACCESS-TOKEN: the token that an authorization server gave to the client. It is sealed for the
/// server, and opaque to everyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessToken<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for AccessToken<'a> {
    const TYPE: u16 = 0x001B;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
        Ok(Self(value))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(self.0);
    }
}
