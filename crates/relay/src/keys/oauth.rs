//! Access tokens: sealed by an authorization server, opened with the key that it shares with this
//! server. RFC 7635.
//!
//! A token names no user. It holds a key that signs requests, and a time. USERNAME names the key
//! that sealed it (RFC 7635 §5), so that is the name that logs show. The bearer of a token of any
//! key may renew an allocation that was opened with one (§9). One token is one account to quotas,
//! as nothing else comes as near to a person: a quota for all tokens of one key would let one
//! client shut out all others of its service.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha1::{Digest, Sha1};
use wire::{Algorithm, Key, MacKey, Message};
use zeroize::Zeroizing;

use crate::Reject;

/// The keys shared with authorization servers, by their ids, and the name by which those servers
/// know this one. Without a key there is no third-party authorization.
#[derive(Debug, Default)]
pub struct TokenKeys {
    server_name: String,
    keys: BTreeMap<String, TokenKey>,
}

impl TokenKeys {
    /// A set without keys. The server name is announced to clients and sealed into every token, so
    /// a token for another server that has the same key is not good here.
    pub const fn new(server_name: String) -> Self {
        Self {
            server_name,
            keys: BTreeMap::new(),
        }
    }

    /// Adds a key. All keys are good at once, so that they can be rotated.
    pub fn add(&mut self, kid: &str, key: TokenKey) {
        self.keys.insert(kid.to_owned(), key);
    }

    /// Whether no token can be good.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The name to announce, if there is a key. RFC 7635 §6.1.
    pub(crate) fn announced(&self) -> Option<&str> {
        (!self.is_empty()).then_some(&*self.server_name)
    }

    /// The content of a token, if it is good now. RFC 7635 §7. A key's id is no secret, as every
    /// client of its service has it, so the time of a refusal may tell whether there is such a key.
    pub(crate) fn open(&self, kid: &str, sealed: &[u8], unix: Duration) -> Result<Token, Reject> {
        let key = self.keys.get(kid).ok_or(Reject::UnknownKey)?;
        if !key.valid.contains(&unix) {
            return Err(Reject::KeyNotValid);
        }
        let token = key.open(&self.server_name, sealed);
        let token = token.ok_or(Reject::BadToken)?;
        token.validity.left(unix)?;
        Ok(token)
    }
}

/// The cipher that seals tokens, by the names of RFC 7518 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// AES-GCM with a key of 32 bytes, which every authorization server supports.
    A256Gcm,
    /// AES-GCM with a key of 16 bytes.
    A128Gcm,
}

impl Encryption {
    /// The length of a key, in bytes.
    pub const fn key_length(self) -> usize {
        match self {
            Self::A256Gcm => 32,
            Self::A128Gcm => 16,
        }
    }
}

/// A key shared with an authorization server: seals tokens there and opens them here.
#[derive(Debug)]
pub struct TokenKey {
    aead: LessSafeKey,
    /// When the key may be used, since the Unix epoch.
    valid: Range<Duration>,
}

impl TokenKey {
    /// A key that may be used at any time, or `None` if its length is not
    /// [`Encryption::key_length`].
    pub fn new(encryption: Encryption, key: &[u8]) -> Option<Self> {
        let algorithm = match encryption {
            Encryption::A256Gcm => &AES_256_GCM,
            Encryption::A128Gcm => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key).ok()?;
        Some(Self {
            aead: LessSafeKey::new(key),
            valid: Duration::ZERO..Duration::MAX,
        })
    }

    /// The same key, good only at these times since the Unix epoch.
    #[must_use]
    pub fn within(self, valid: Range<Duration>) -> Self {
        Self { valid, ..self }
    }

    /// Seals a token for the server of this name, as an authorization server does. No two tokens
    /// may have the same nonce: from two such tokens an attacker can forge others. RFC 7635 §6.2.
    pub fn seal(&self, server_name: &str, nonce: [u8; NONCE_LEN], token: &Token) -> Vec<u8> {
        let mut block = token.encode();
        self.aead
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(server_name.as_bytes()),
                &mut *block,
            )
            .expect("a token is shorter than AES-GCM's limit");
        let mut sealed = NONCE_LENGTH.to_vec();
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&block);
        sealed
    }

    /// Opens a token. Strangers can send these, so nothing is allocated before the seal is
    /// verified, and a text of a length that no token has is not tried.
    fn open(&self, server_name: &str, sealed: &[u8]) -> Option<Token> {
        let (nonce, sealed) = nonce(sealed)?;
        let mut block = Zeroizing::new([0; LONGEST_BLOCK]);
        let block = block.get_mut(..sealed.len())?;
        block.copy_from_slice(sealed);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let server_name = Aad::from(server_name.as_bytes());
        let opened = self.aead.open_in_place(nonce, server_name, block);
        Token::decode(opened.ok()?)
    }
}

/// The content of a token. RFC 7635 §6.2.
#[derive(Clone, Debug)]
pub struct Token {
    /// Signs requests and their answers: 16 to 64 bytes.
    pub mac_key: Key,
    /// When it is good.
    pub validity: Validity,
}

impl Token {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mac_key = self.mac_key.as_bytes();
        let length = u16::try_from(mac_key.len()).expect("a key has at most 64 bytes");
        let Validity { issued, lifetime } = self.validity;
        let fraction = u64::from(issued.subsec_nanos()) / FRACTION;
        let mut block = Zeroizing::new(Vec::with_capacity(LONGEST_BLOCK));
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(mac_key);
        block.extend_from_slice(&(issued.as_secs() << 16 | fraction).to_be_bytes());
        block.extend_from_slice(&lifetime.to_be_bytes());
        block
    }

    /// Reads the content. A key that could be guessed, or a token that is never good, is an
    /// authorization server's mistake, and is not accepted.
    fn decode(block: &[u8]) -> Option<Self> {
        let (length, rest) = block.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (mac_key, rest) = rest.split_at_checked(length)?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let timestamp = u64::from_be_bytes(*timestamp);
        let lifetime = u32::from_be_bytes(rest.try_into().ok()?);
        if !(SHORTEST_MAC_KEY..=LONGEST_MAC_KEY).contains(&length) || lifetime == 0 {
            return None;
        }
        let seconds = Duration::from_secs(timestamp >> 16);
        let issued = seconds + Duration::from_nanos((timestamp & 0xFFFF) * FRACTION);
        Some(Self {
            mac_key: Key::precomputed(mac_key),
            validity: Validity { issued, lifetime },
        })
    }

    /// The key made ready, if it is the one that signed.
    ///
    /// RFC 7635 §5 has the mac_key sign as it is. MESSAGE-INTEGRITY is tried in two more ways: its
    /// Appendix B has clients that were given 256 bits use the SHA-1 hash of them, and coturn's
    /// client uses no more than the first 16 bytes, as if they were an MD5 key. Both take the
    /// mac_key to compute.
    pub(crate) fn signer(&self, message: &Message<'_>, algorithm: Algorithm) -> Option<MacKey> {
        let whole = self.mac_key.as_bytes();
        let is_sha1 = algorithm == Algorithm::Sha1;
        let hashed = is_sha1 && whole.len() == 32;
        let hashed = hashed.then(|| Key::precomputed(&Sha1::digest(whole)));
        let cut = whole.first_chunk::<SHORTEST_MAC_KEY>();
        let cut = cut.filter(|_| is_sha1).map(|key| Key::precomputed(key));
        [Some(self.mac_key.clone()), hashed, cut]
            .into_iter()
            .flatten()
            .map(|key| key.schedule(algorithm))
            .find(|key| message.verify(key).is_ok())
    }
}

/// When a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The timestamp in the token, since the Unix epoch.
    pub issued: Duration,
    /// Seconds, at least one.
    pub lifetime: u32,
}

impl Validity {
    /// For how many seconds more an allocation may live on the token: at least one, at most the
    /// lifetime. RFC 7635 §7, §9: clocks may differ by [`DELTA`], and the timestamp may be as far
    /// in the future as in the past.
    pub(crate) fn left(self, unix: Duration) -> Result<u32, Reject> {
        let lifetime = Duration::from_secs(self.lifetime.into());
        let away = unix.abs_diff(self.issued);
        let left = (lifetime + DELTA).saturating_sub(away);
        if !left.is_zero() {
            let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
            return Ok(seconds.max(1).min(self.lifetime));
        }
        if self.issued > unix {
            return Err(Reject::TokenEarly { by: away });
        }
        let since = away - lifetime;
        Err(Reject::Expired { since })
    }
}

/// The part of an opened token that its allocation keeps.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) validity: Validity,
    /// The account whose quota counts the allocation.
    pub(crate) account: Box<str>,
    /// The nonce of the token, which tells it from others of the same key.
    pub(crate) nonce: [u8; NONCE_LEN],
}

impl Grant {
    pub(crate) fn new(token: &Token, kid: &str, sealed: &[u8]) -> Box<Self> {
        let nonce = nonce(sealed).map_or([0; NONCE_LEN], |(nonce, _)| nonce);
        Box::new(Self {
            validity: token.validity,
            account: account(kid, nonce),
            nonce,
        })
    }
}

/// The account of a token: its own. The nonce tells it from all others that its key sealed, and the
/// line break from all user names, which have none.
fn account(kid: &str, nonce: [u8; NONCE_LEN]) -> Box<str> {
    let digits = nonce.map(|byte| format!("{byte:02x}")).concat();
    format!("{kid}\n{digits}").into()
}

/// The nonce in front of the sealed block, which RFC 5116 §5.1 gives one length.
fn nonce(sealed: &[u8]) -> Option<([u8; NONCE_LEN], &[u8])> {
    let rest = sealed.strip_prefix(&NONCE_LENGTH)?;
    let (nonce, block) = rest.split_first_chunk()?;
    Some((*nonce, block))
}

/// How far clocks may differ. RFC 7635 §7.
const DELTA: Duration = Duration::from_secs(5);
/// A 64000th of a second, in nanoseconds. RFC 7635 §6.2.
const FRACTION: u64 = 15_625;
/// A nonce of 12 bytes, as its length field says it.
const NONCE_LENGTH: [u8; 2] = (NONCE_LEN as u16).to_be_bytes();
/// 128 bits: fewer could be guessed one day.
const SHORTEST_MAC_KEY: usize = 16;
/// A block of SHA-1 and of SHA-256: HMAC makes no use of more.
const LONGEST_MAC_KEY: usize = 64;
/// Key length, key, timestamp, lifetime, and the tag of AES-GCM.
const LONGEST_BLOCK: usize = 2 + LONGEST_MAC_KEY + 8 + 4 + 16;

#[cfg(test)]
mod tests;
