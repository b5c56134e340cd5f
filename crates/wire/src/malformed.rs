//! Why bytes cannot be read as the message that they claim to be.

/// A packet or an attribute that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its header.
    #[error("shorter than its header")]
    Truncated,
    /// The first two bits are not those of the kind that was asked for.
    #[error("the leading bits are of another protocol")]
    LeadingBits,
    /// The length field is not a multiple of four or does not fit the packet.
    #[error("the length field does not fit the packet")]
    Length,
    /// An attribute of this type reaches past the end of the message.
    #[error("attribute {0:#06x} reaches past the end")]
    Overrun(u16),
    /// The value of an attribute of this type does not have its form.
    #[error("attribute {0:#06x} has an impossible value")]
    Value(u16),
}
