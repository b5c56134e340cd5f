//! MESSAGE-INTEGRITY and the keys behind it. RFC 8489 §9, §14.5, §14.6.

use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, CoreProxy};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::IntegrityError::Wrong;

/// The hash behind an integrity attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MESSAGE-INTEGRITY.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

/// Why a message cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// The message has no integrity attribute of the wanted algorithm.
    #[error("no integrity attribute of the wanted algorithm")]
    Missing,
    /// It has one that does not match: another key, or another message.
    #[error("the integrity attribute does not match")]
    Wrong,
}

/// The key of one user, which both sides derive from a password.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A short-term key: the password itself. RFC 8489 §9.1.1.
    pub fn short_term(password: &str) -> Self {
        Self {
            bytes: password.as_bytes().to_vec().into(),
        }
    }

    /// A long-term key under PASSWORD-ALGORITHM MD5, the one of RFC 5389: MD5 over
    /// `username:realm:password`, the texts already prepared (OpaqueString). RFC 8489 §18.5.1.1.
    pub fn md5(username: &str, realm: &str, password: &str) -> Self {
        Self {
            bytes: joined::<Md5>(username, realm, password),
        }
    }

    /// The same under PASSWORD-ALGORITHM SHA-256. RFC 8489 §18.5.1.2.
    pub fn sha256(username: &str, realm: &str, password: &str) -> Self {
        Self {
            bytes: joined::<Sha256>(username, realm, password),
        }
    }

    /// A long-term key that was derived elsewhere: 16 bytes for MD5, 32 for SHA-256.
    pub fn precomputed(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec().into(),
        }
    }

    /// The key schedule for one algorithm. It is worth keeping, as it saves two of four hash
    /// blocks.
    pub fn schedule(&self, algorithm: Algorithm) -> MacKey {
        match algorithm {
            Algorithm::Sha1 => MacKey::Sha1(schedule(&self.bytes)),
            Algorithm::Sha256 => MacKey::Sha256(schedule(&self.bytes)),
        }
    }

    /// The raw key, for a caller that stores it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

fn joined<D: Digest>(username: &str, realm: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let mut hash = D::new();
    for part in [username, ":", realm, ":", password] {
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec().into()
}

fn schedule<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// A key made ready for one algorithm. It is kept as long as an allocation, so it is only the two
/// states of the hash, without the block in which a running MAC collects its input.
#[derive(Clone)]
pub enum MacKey {
    /// For MESSAGE-INTEGRITY.
    Sha1(HmacCore<Sha1>),
    /// For MESSAGE-INTEGRITY-SHA256.
    Sha256(HmacCore<Sha256>),
}

impl MacKey {
    /// The algorithm that it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha1(_) => Algorithm::Sha1,
            Self::Sha256(_) => Algorithm::Sha256,
        }
    }

    /// Compares `code` with the MAC of the first `offset` bytes of a message.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        offset: usize,
        code: &[u8],
    ) -> Result<(), IntegrityError> {
        let covered = offset + 4 + code.len();
        match self {
            Self::Sha1(key) => fed(sha1(key), message, offset, covered).verify_slice(code),
            Self::Sha256(key) => fed(sha256(key), message, offset, covered).verify_slice(code),
        }
        .map_err(|_| Wrong)
    }

    /// Appends the MAC of the message that begins at `start` of `buffer`; its four bytes of
    /// attribute header must be there already.
    pub(crate) fn append(&self, buffer: &mut Vec<u8>, start: usize) {
        let message = &buffer[start..];
        let offset = message.len() - 4;
        match self {
            Self::Sha1(key) => {
                let code = fed(sha1(key), message, offset, message.len() + 20).finalize();
                buffer.extend_from_slice(&code.into_bytes());
            }
            Self::Sha256(key) => {
                let code = fed(sha256(key), message, offset, message.len() + 32).finalize();
                buffer.extend_from_slice(&code.into_bytes());
            }
        }
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(***)")
    }
}

fn sha1(key: &HmacCore<Sha1>) -> Hmac<Sha1> {
    Hmac::compose(key.clone(), Buffer::<HmacCore<Sha1>>::default())
}

fn sha256(key: &HmacCore<Sha256>) -> Hmac<Sha256> {
    Hmac::compose(key.clone(), Buffer::<HmacCore<Sha256>>::default())
}

/// The MAC over a message up to `offset`, whose length field is read as if the message ended with
/// the integrity attribute, at `covered`. RFC 8489 §14.5.
fn fed<M: Mac>(mut mac: M, message: &[u8], offset: usize, covered: usize) -> M {
    let length = u16::try_from(covered - crate::Message::HEADER).unwrap_or(u16::MAX);
    mac.update(&message[..2]);
    mac.update(&length.to_be_bytes());
    mac.update(&message[4..offset]);
    mac
}
