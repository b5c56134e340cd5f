//! MOBILITY-TICKET. RFC 8016 §3.3.

use crate::{Attribute, Malformed, TransactionId};

/// MOBILITY-TICKET: empty, it asks for a ticket; with a value, it is one, which only its server reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MobilityTicket<'a>(pub &'a [u8]);

/// Who has the ticket and the password has the allocation, so no log shows it.
impl std::fmt::Debug for MobilityTicket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MobilityTicket({} bytes)", self.0.len())
    }
}

impl<'a> Attribute<'a> for MobilityTicket<'a> {
    const TYPE: u16 = 0x8030;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
        Ok(Self(value))
    }

    fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
        value.extend_from_slice(self.0);
    }
}
