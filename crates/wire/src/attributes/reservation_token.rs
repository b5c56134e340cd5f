//! RESERVATION-TOKEN. RFC 8656 §18.10.

use crate::{Attribute, Malformed, TransactionId};

/// RESERVATION-TOKEN: names a relayed transport address that is kept for a second allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationToken(pub [u8; 8]);

/// Logs do not show it: with the token anyone of the account has the port.
impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReservationToken(***)")
    }
}

impl Attribute<'_> for ReservationToken {
    const TYPE: u16 = 0x0022;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
        let token = value.try_into();
        token.map(Self).map_err(|_| Malformed::Value(Self::TYPE))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(&self.0);
    }
}
