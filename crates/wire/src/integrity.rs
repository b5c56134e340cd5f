//! MESSAGE-INTEGRITY and the keys behind it. RFC 8489 §9, §14.5, §14.6.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::Output;
use sha2::digest::block_api::{Block, BlockSizeUser, Buffer, CoreProxy};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use subtle::ConstantTimeEq;
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
            Algorithm::Sha1 => MacKey::Sha1(Halves::new(&self.bytes)),
            Algorithm::Sha256 => MacKey::Sha256(Halves::new(&self.bytes)),
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

/// A key made ready for one algorithm. It is kept as long as an allocation, so it is only the two
/// states of the hash, without the block in which a running MAC collects its input.
#[derive(Clone)]
pub enum MacKey {
    /// For MESSAGE-INTEGRITY.
    Sha1(Halves<Sha1>),
    /// For MESSAGE-INTEGRITY-SHA256.
    Sha256(Halves<Sha256>),
}

/// HMAC (RFC 2104 §2) as its two hashes, each of which has taken its padded key and nothing else.
/// Unlike a library's HMAC, the two can be written down and read back.
#[derive(Clone)]
pub struct Halves<D: CoreProxy<Core: Clone>> {
    inner: D::Core,
    outer: D::Core,
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
        match self {
            Self::Sha1(key) => key.verify(message, offset, code),
            Self::Sha256(key) => key.verify(message, offset, code),
        }
    }

    /// Appends the MAC of the message that begins at `start` of `buffer`; its four bytes of
    /// attribute header must be there already.
    pub(crate) fn append(&self, buffer: &mut Vec<u8>, start: usize) {
        let message = &buffer[start..];
        let offset = message.len() - 4;
        match self {
            Self::Sha1(key) => {
                let code = key.mac(message, offset, message.len() + 20);
                buffer.extend_from_slice(&code);
            }
            Self::Sha256(key) => {
                let code = key.mac(message, offset, message.len() + 32);
                buffer.extend_from_slice(&code);
            }
        }
    }

    /// The key as bytes, for a caller that stores it: 56 for SHA-1, 80 for SHA-256. They sign as
    /// well as the key of the user does.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha1(key) => key.to_bytes(),
            Self::Sha256(key) => key.to_bytes(),
        }
    }

    /// The key that [`MacKey::to_bytes`] wrote; `None` if the bytes are of another length or were
    /// written for another hash.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha1 => Halves::from_bytes(bytes).map(Self::Sha1),
            Algorithm::Sha256 => Halves::from_bytes(bytes).map(Self::Sha256),
        }
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(***)")
    }
}

impl<D: Digest + BlockSizeUser + CoreProxy<Core: SerializableState + Clone>> Halves<D> {
    fn new(key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; LONGEST_BLOCK]);
        let block = &mut block[..Block::<D>::default().len()];
        if key.len() <= block.len() {
            block[..key.len()].copy_from_slice(key);
        } else {
            let hash = D::digest(key);
            block[..hash.len()].copy_from_slice(&hash);
        }
        let mut after = |pad| {
            block.iter_mut().for_each(|byte| *byte ^= pad);
            D::new().chain_update(&block).decompose().0
        };
        let inner = after(INNER_PAD);
        // The first padding is taken off with the same stroke.
        let outer = after(INNER_PAD ^ OUTER_PAD);
        Self { inner, outer }
    }

    fn verify(&self, message: &[u8], offset: usize, code: &[u8]) -> Result<(), IntegrityError> {
        let mac = self.mac(message, offset, offset + 4 + code.len());
        if bool::from(mac.as_slice().ct_eq(code)) {
            Ok(())
        } else {
            Err(Wrong)
        }
    }

    /// The MAC over a message up to `offset`, whose length field is read as if the message ended
    /// with the integrity attribute, at `covered`. RFC 8489 §14.5.
    fn mac(&self, message: &[u8], offset: usize, covered: usize) -> Output<D> {
        let length = u16::try_from(covered - crate::Message::HEADER).unwrap_or(u16::MAX);
        let go_on = |state: &D::Core| D::compose(state.clone(), Buffer::<D::Core>::default());
        let inner = go_on(&self.inner)
            .chain_update(&message[..2])
            .chain_update(length.to_be_bytes())
            .chain_update(&message[4..offset]);
        go_on(&self.outer).chain_update(inner.finalize()).finalize()
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        [self.inner.serialize(), self.outer.serialize()]
            .concat()
            .into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (inner, outer) = bytes.split_at(bytes.len() / 2);
        let half = |bytes: &[u8]| {
            let state = SerializedState::<D::Core>::try_from(bytes).ok()?;
            D::Core::deserialize(&state).ok()
        };
        let (inner, outer) = (half(inner)?, half(outer)?);
        Some(Self { inner, outer })
    }
}

/// RFC 2104 §2.
const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5C;
/// That of SHA-1 and SHA-256.
const LONGEST_BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"..  a message of more than four bytes";

    /// The bytes are part of the format of a snapshot: a library that writes others needs a new
    /// version of that.
    #[test]
    fn a_key_can_be_written_down_and_read_back() {
        for (algorithm, length, first) in [
            (Algorithm::Sha1, 56, [46, 143, 167, 156]),
            (Algorithm::Sha256, 80, [171, 9, 168, 237]),
        ] {
            let key = Key::md5("user", "realm", "pass").schedule(algorithm);
            let bytes = key.to_bytes();
            assert_eq!(
                (bytes.len(), &bytes[..4]),
                (length, &first[..]),
                "{algorithm:?}"
            );
            let read = MacKey::from_bytes(algorithm, &bytes).unwrap();
            let mut signed = MESSAGE.to_vec();
            read.append(&mut signed, 0);
            let code = &signed[MESSAGE.len()..];
            assert_eq!(key.verify(MESSAGE, MESSAGE.len() - 4, code), Ok(()));
            assert!(MacKey::from_bytes(algorithm, &bytes[1..]).is_none());
            assert!(MacKey::from_bytes(algorithm, &[]).is_none());
        }
    }
}
