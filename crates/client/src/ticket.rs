//! The ticket that takes an allocation along. RFC 8016.

/// What a server gave for the next move, opaque to us.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub(crate) Vec<u8>);

/// Half of what it takes to have the allocation.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(***)")
    }
}
