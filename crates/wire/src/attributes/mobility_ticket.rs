//! MOBILITY-TICKET. RFC 8016 §3.3.

/// MOBILITY-TICKET: without a value it asks for a ticket; with one it is a ticket, which only the
/// server that made it can read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MobilityTicket<'a>(pub &'a [u8]);

/// Logs do not show it: with the ticket and the password anyone has the allocation.
impl std::fmt::Debug for MobilityTicket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MobilityTicket({} bytes)", self.0.len())
    }
}

opaque!(MobilityTicket = 0x8030);
