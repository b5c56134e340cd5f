//! Attributes: the trait that each type of attribute implements.

use crate::{Malformed, TransactionId};

/// A typed attribute, read from and written to the value of a type-length-value triple.
/// RFC 8489 §14.
pub trait Attribute<'a>: Sized {
    /// The attribute type. Types below 0x8000 are comprehension-required.
    const TYPE: u16;

    /// Reads a value of exactly the announced length, padding excluded. Addresses are XORed with
    /// the transaction id, so every attribute is given it.
    ///
    /// # Errors
    /// [`Malformed::Value`] if the value does not have this attribute's form.
    fn decode(value: &'a [u8], transaction: TransactionId) -> Result<Self, Malformed>;

    /// Appends the value, without padding. It must stay below 65,536 bytes.
    fn encode(&self, value: &mut Vec<u8>, transaction: TransactionId);
}
