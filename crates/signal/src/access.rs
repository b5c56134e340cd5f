//! Who may enter a room.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq};

use crate::message::Join;

/// Who may enter a room.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everyone who knows its name.
    Open,
    /// Those who know one of these secrets.
    Secret(Secrets),
    /// Those with a token that is signed with one of these keys.
    Tokens(TokenKeys),
}

/// Secrets that open every room.
#[derive(Clone)]
pub struct Secrets(Vec<[u8; 32]>);

impl Secrets {
    /// Secrets, each of which is as good as the others.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(secrets.into_iter().map(hashed).collect())
    }

    /// Takes as long for every secret that is not one of these: hashes have one length.
    fn know(&self, secret: &str) -> bool {
        let secret = hashed(secret.as_bytes());
        let known = self.0.iter().map(|known| known.ct_eq(&secret));
        known.fold(Choice::from(0), |any, one| any | one).into()
    }
}

/// The secrets are left out.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// Keys of join tokens: JWT (RFC 7519) with HS256, and with the claims `room`, `exp`, and, if the token
/// is for one name only, `name`; `nbf` is observed.
#[derive(Clone)]
pub struct TokenKeys(Vec<hmac::Key>);

impl TokenKeys {
    /// Keys, each of which is as good as the others.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let key = |secret| hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self(secrets.into_iter().map(key).collect())
    }

    /// The claims of a token that one of the keys has signed. Nothing of them is read before.
    fn claims(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_signed = |key| hmac::verify(key, signed.as_bytes(), &signature).is_ok();
        if !self.0.iter().any(is_signed) {
            return None;
        }
        let header: Header = read(header)?;
        // RFC 7515 §4.1.11: an extension that must be understood is not.
        if header.alg != "HS256" || header.crit.is_some() {
            return None;
        }
        read(claims)
    }
}

/// The keys are left out.
impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys(***)")
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde_json::Value>,
}

/// RFC 7519 §4.1: dates are seconds since the Unix epoch, and may have a fraction.
#[derive(Deserialize)]
struct Claims {
    room: String,
    name: Option<String>,
    exp: f64,
    nbf: Option<f64>,
}

impl Access {
    /// Refuses by a sentence for the client.
    pub(crate) fn check(&self, join: &Join, unix: Duration) -> Result<(), &'static str> {
        match self {
            Self::Open => Ok(()),
            Self::Secret(secrets) => {
                let secret = join.secret.as_ref().ok_or("the room has a secret")?;
                if !secrets.know(secret) {
                    return Err("the secret is not that of the room");
                }
                Ok(())
            }
            Self::Tokens(keys) => {
                let token = join.token.as_ref().ok_or("a token is needed")?;
                let claims = keys.claims(token).ok_or("the token is not valid")?;
                claims.check(join, unix)
            }
        }
    }
}

impl Claims {
    fn check(&self, join: &Join, unix: Duration) -> Result<(), &'static str> {
        let now = unix.as_secs_f64();
        // Written so that a date that is no number is a date in the past.
        let is_alive = self.exp > now;
        if !is_alive {
            return Err("the token has expired");
        }
        if self.nbf.is_some_and(|begin| begin > now + LEEWAY) {
            return Err("the token is not valid yet");
        }
        if self.room != join.room {
            return Err("the token is for another room");
        }
        if self.name.as_ref().is_some_and(|name| *name != join.name) {
            return Err("the token is for another name");
        }
        Ok(())
    }
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

fn hashed(secret: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, secret);
    *hash.as_ref().first_chunk().expect("a hash has 32 bytes")
}

/// In seconds: the clock of the one that signs may be ahead.
const LEEWAY: f64 = 5.0;
