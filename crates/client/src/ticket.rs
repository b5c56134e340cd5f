//! The ticket with which a client moves its allocation. RFC 8016.

/// The server's ticket for the next move; only the server can read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub(crate) Vec<u8>);

/// Logs do not show it: with the ticket and the password anyone has the allocation.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(***)")
    }
}
