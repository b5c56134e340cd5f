//! Writes a message into a buffer of the caller's.

use crate::attributes::{Fingerprint, MessageIntegrity, MessageIntegritySha256};
use crate::{Attribute, Class, MacKey, Method, TransactionId, method};

/// Appends one message to a buffer. The length field is right after every call, so a message
/// without integrity and fingerprint needs no last step.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut Vec<u8>,
    start: usize,
    transaction: TransactionId,
}

impl<'b> Writer<'b> {
    /// Begins a message after the bytes that `buffer` already holds.
    pub fn new(
        buffer: &'b mut Vec<u8>,
        method: Method,
        class: Class,
        transaction: TransactionId,
    ) -> Self {
        let start = buffer.len();
        let mut header = [0; crate::Message::HEADER];
        header[..2].copy_from_slice(&method::encode(method, class).to_be_bytes());
        header[4..].copy_from_slice(transaction.as_bytes());
        buffer.extend_from_slice(&header);
        Self {
            buffer,
            start,
            transaction,
        }
    }

    /// Appends an attribute.
    pub fn put<'a, A: Attribute<'a>>(&mut self, attribute: &A) -> &mut Self {
        self.put_with(A::TYPE, |value, transaction| {
            attribute.encode(value, transaction)
        })
    }

    /// Appends an attribute of a type that has no Rust type, as tests and probes need it.
    pub fn put_raw(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.put_with(kind, |buffer, _| buffer.extend_from_slice(value))
    }

    /// Appends the integrity attribute of the key's algorithm. RFC 8489 §14.5, §14.6.
    pub fn sign(&mut self, key: &MacKey) -> &mut Self {
        let (kind, length) = match key {
            MacKey::Sha1(_) => (MessageIntegrity::TYPE, MessageIntegrity::LENGTH),
            MacKey::Sha256(_) => (MessageIntegritySha256::TYPE, MessageIntegritySha256::LENGTH),
        };
        self.buffer.extend_from_slice(&kind.to_be_bytes());
        self.buffer
            .extend_from_slice(&(length as u16).to_be_bytes());
        key.append(self.buffer, self.start);
        self.set_length();
        self
    }

    /// Appends FINGERPRINT; nothing may follow. RFC 8489 §14.7.
    pub fn fingerprint(&mut self) -> &mut Self {
        // The checksum covers the length field as it is with the attribute.
        self.buffer
            .extend_from_slice(&Fingerprint::TYPE.to_be_bytes());
        self.buffer.extend_from_slice(&[0, 4, 0, 0, 0, 0]);
        self.set_length();
        let offset = self.buffer.len() - 8;
        let checksum = Fingerprint::of(&self.buffer[self.start..offset]);
        self.buffer[offset + 4..].copy_from_slice(&checksum.to_be_bytes());
        self
    }

    fn put_with(
        &mut self,
        kind: u16,
        encode: impl FnOnce(&mut Vec<u8>, TransactionId),
    ) -> &mut Self {
        let [k0, k1] = kind.to_be_bytes();
        self.buffer.extend_from_slice(&[k0, k1, 0, 0]);
        let value = self.buffer.len();
        encode(self.buffer, self.transaction);
        let length = self.buffer.len() - value;
        let field = u16::try_from(length).expect("attribute values stay below 64 KiB");
        self.buffer[value - 2..value].copy_from_slice(&field.to_be_bytes());
        let padding = crate::padding(length);
        if padding > 0 {
            self.buffer.resize(self.buffer.len() + padding, 0);
        }
        self.set_length();
        self
    }

    fn set_length(&mut self) {
        let length = self.buffer.len() - self.start - crate::Message::HEADER;
        let field = u16::try_from(length).expect("messages stay below 64 KiB");
        self.buffer[self.start + 2..self.start + 4].copy_from_slice(&field.to_be_bytes());
    }
}
