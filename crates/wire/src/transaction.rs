//! Transaction ids. RFC 8489 §5, RFC 3489 §11.1.

/// The sixteen bytes that a request and its answer share.
///
/// RFC 8489 calls the first four the magic cookie and the other twelve the transaction id; RFC
/// 3489 calls all sixteen the id. They are echoed together and addresses are XORed with them
/// together, so they are one value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId([u8; 16]);

impl TransactionId {
    /// The magic cookie, 0x2112A442.
    pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

    /// An id with the magic cookie and these twelve bytes, which should come from a good random
    /// source. RFC 8489 §5.
    pub const fn new(id: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        let (cookie, rest) = bytes.split_at_mut(4);
        cookie.copy_from_slice(&Self::COOKIE);
        rest.copy_from_slice(&id);
        Self(bytes)
    }

    /// The sixteen bytes as they stand in a header.
    pub const fn from_header(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Whether the sender knows only RFC 3489, which had no magic cookie.
    pub fn is_rfc3489(&self) -> bool {
        self.0[..4] != Self::COOKIE
    }

    /// Cookie and id, as in the header.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
