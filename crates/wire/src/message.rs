//! A STUN message, read in place. RFC 8489 §5, §14.

use crate::attributes::{Fingerprint, MessageIntegrity, MessageIntegritySha256};
use crate::{
    Algorithm, Attribute, Class, IntegrityError, MacKey, Malformed, Method, TransactionId, method,
};

/// A well-formed STUN message inside a packet.
///
/// ```
/// use wire::attributes::{Lifetime, Software, Username};
/// use wire::{Algorithm, Class, Key, Message, Method, TransactionId, Writer};
///
/// let key = Key::md5("alice", "example.org", "wonderland").schedule(Algorithm::Sha1);
/// let transaction = TransactionId::new(*b"twelve bytes");
/// let mut packet = Vec::new();
/// Writer::new(&mut packet, Method::Refresh, Class::Request, transaction)
///     .put(&Username("alice"))
///     .put(&Lifetime(600))
///     .sign(&key)
///     .put(&Software("added on the way"));
///
/// let message = Message::parse(&packet)?;
/// assert_eq!((message.method(), message.class()), (Method::Refresh, Class::Request));
/// assert_eq!(message.get()?, Some(Lifetime(600)));
/// assert_eq!(message.verify(&key), Ok(()));
/// // Nobody signed it, so it is not there.
/// assert_eq!(message.get::<Software<'_>>()?, None);
/// # Ok::<(), wire::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    method: Method,
    class: Class,
    /// The end of the attributes that count: the first integrity or fingerprint attribute.
    end: usize,
    /// Offsets of the attributes that protect the message.
    sha1: Option<usize>,
    sha256: Option<usize>,
    fingerprint: Option<usize>,
}

impl<'a> Message<'a> {
    /// The fixed header, in bytes.
    pub const HEADER: usize = 20;

    /// Checks header and attribute boundaries of a packet that holds exactly one message.
    ///
    /// # Errors
    /// [`Malformed`] if it is no STUN message. Values of attributes are checked only when they are
    /// asked for.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let &[first, second, l0, l1] = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        let body = bytes
            .len()
            .checked_sub(Self::HEADER)
            .ok_or(Malformed::Truncated)?;
        if first & 0xC0 != 0 {
            return Err(Malformed::LeadingBits);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length % 4 != 0 || length != body {
            return Err(Malformed::Length);
        }
        let (method, class) = method::decode(u16::from_be_bytes([first, second]));
        let mut message = Self {
            bytes,
            method,
            class,
            end: bytes.len(),
            sha1: None,
            sha256: None,
            fingerprint: None,
        };
        message.find_protection()?;
        Ok(message)
    }

    /// Walks all attributes once. RFC 8489 §14.5-14.7: after MESSAGE-INTEGRITY only
    /// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT count, after MESSAGE-INTEGRITY-SHA256 only
    /// FINGERPRINT, and after FINGERPRINT nothing.
    fn find_protection(&mut self) -> Result<(), Malformed> {
        let mut walk = Attributes {
            bytes: self.bytes,
            at: Self::HEADER,
            end: self.bytes.len(),
        };
        while let Some(attribute) = walk.step()? {
            let found = Some(attribute.offset);
            match attribute.kind {
                MessageIntegrity::TYPE if self.sha1.or(self.sha256).is_none() => self.sha1 = found,
                MessageIntegritySha256::TYPE if self.sha256.is_none() => self.sha256 = found,
                Fingerprint::TYPE => self.fingerprint = found,
                _ => continue,
            }
            self.end = self.end.min(attribute.offset);
            if self.fingerprint.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The class.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The id that a request and its answer share.
    pub fn transaction(&self) -> TransactionId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.bytes[4..Self::HEADER]);
        TransactionId::from_header(id)
    }

    /// The attributes that count, in order: those before any integrity or fingerprint attribute.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes {
            bytes: self.bytes,
            at: Self::HEADER,
            end: self.end,
        }
    }

    /// The first attribute of this type, or `None` if there is none, or only one behind the
    /// integrity, which is not signed.
    ///
    /// # Errors
    /// [`Malformed::Value`] if it is there and unreadable.
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, Malformed> {
        self.attributes()
            .find(|attribute| attribute.kind == A::TYPE)
            .map(|attribute| A::decode(attribute.value, self.transaction()))
            .transpose()
    }

    /// All attributes of this type, for those that may come more than once.
    pub fn get_all<A: Attribute<'a>>(&self) -> impl Iterator<Item = Result<A, Malformed>> + 'a {
        let transaction = self.transaction();
        self.attributes()
            .filter(|attribute| attribute.kind == A::TYPE)
            .map(move |attribute| A::decode(attribute.value, transaction))
    }

    /// Comprehension-required types that are not in `known`, in order of appearance.
    /// RFC 8489 §6.3.
    pub fn unknown_required<'k>(
        &self,
        known: &'k [u16],
    ) -> impl Iterator<Item = u16> + use<'a, 'k> {
        self.attributes()
            .map(|attribute| attribute.kind)
            // `contains` would be a call for each attribute: 4 % of a Send indication.
            .filter(move |kind| *kind < 0x8000 && !known.iter().any(|it| it == kind))
    }

    /// Whether MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 is present.
    pub fn is_signed(&self) -> bool {
        self.integrity().is_some()
    }

    /// The algorithm of the integrity attribute, the better one where both are present.
    pub fn integrity(&self) -> Option<Algorithm> {
        if self.sha256.is_some() {
            Some(Algorithm::Sha256)
        } else {
            self.sha1.map(|_| Algorithm::Sha1)
        }
    }

    /// Checks the integrity attribute of the key's algorithm, in constant time.
    /// RFC 8489 §14.5, §14.6; HMAC-SHA256 only at its full 32 bytes, since TURN allows no
    /// truncation.
    ///
    /// # Errors
    /// [`IntegrityError::Missing`] if there is none of that algorithm, [`IntegrityError::Wrong`]
    /// if it does not match.
    pub fn verify(&self, key: &MacKey) -> Result<(), IntegrityError> {
        let (offset, length) = match key {
            MacKey::Sha1(_) => (self.sha1, MessageIntegrity::LENGTH),
            MacKey::Sha256(_) => (self.sha256, MessageIntegritySha256::LENGTH),
        };
        let offset = offset.ok_or(IntegrityError::Missing)?;
        let announced = u16::from_be_bytes([self.bytes[offset + 2], self.bytes[offset + 3]]);
        if usize::from(announced) != length {
            return Err(IntegrityError::Wrong);
        }
        let code = &self.bytes[offset + 4..offset + 4 + length];
        key.verify(self.bytes, offset, code)
    }

    /// Whether FINGERPRINT is present.
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// Whether FINGERPRINT matches or is absent, as it is never required. RFC 8489 §14.7.
    pub fn fingerprint_matches(&self) -> bool {
        let Some(offset) = self.fingerprint else {
            return true;
        };
        self.bytes[offset + 2..].first_chunk() == Some(&[0, 4])
            && self.bytes[offset + 4..].first_chunk()
                == Some(&Fingerprint::of(&self.bytes[..offset]).to_be_bytes())
    }

    /// The whole message.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// One type-length-value triple, not yet interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// The attribute type.
    pub kind: u16,
    /// The value without padding.
    pub value: &'a [u8],
    /// Where the triple begins in the message.
    offset: usize,
}

/// Walks over attributes whose boundaries were checked by [`Message::parse`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Attributes<'a> {
    fn step(&mut self) -> Result<Option<RawAttribute<'a>>, Malformed> {
        let offset = self.at;
        let rest = &self.bytes[offset..self.end];
        let Some(&[t0, t1, l0, l1]) = rest.first_chunk() else {
            // Lengths are multiples of four, so a rest that is too short for a header is empty.
            return Ok(None);
        };
        let kind = u16::from_be_bytes([t0, t1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(4..4 + length).ok_or(Malformed::Overrun(kind))?;
        self.at += 4 + length + crate::padding(length);
        if self.at > self.end {
            return Err(Malformed::Overrun(kind));
        }
        Ok(Some(RawAttribute {
            kind,
            value,
            offset,
        }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().ok().flatten()
    }
}
