//! The right to enter a room.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::Value;
use subtle::{Choice, ConstantTimeEq};

use crate::Refusal;
use crate::message::{Join, read_object};

/// The right to enter a room.
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

    /// The claims of a token that one of the keys has signed, or why there are none. Nothing of them is
    /// read before.
    fn claims(&self, token: &str) -> Result<Claims, &'static str> {
        let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, claims) = signed.split_once('.')?;
            Some((signed, header, claims, signature))
        });
        let (signed, header, claims, signature) = parts.ok_or("the token is no JWT")?;
        let header: Option<Header> = read(header);
        let is_signed = BASE64_URL_SAFE_NO_PAD.decode(signature).is_ok_and(|own| {
            let by = |key| hmac::verify(key, signed.as_bytes(), &own).is_ok();
            self.0.iter().any(by)
        });
        // The log says nothing that a client has written.
        match header.as_ref().map_or("", |header| &header.alg) {
            "HS256" => {}
            "none" => return Err("the token is not signed: `alg` is none, and not HS256"),
            "HS384" | "HS512" => return Err("`alg` of the token is HS384 or HS512, and not HS256"),
            "RS256" | "RS384" | "RS512" | "PS256" | "ES256" | "ES384" | "EdDSA" => {
                return Err("`alg` of the token is one with a public key, and not HS256");
            }
            _ => return Err("`alg` of the token is not HS256"),
        }
        if !is_signed {
            return Err(
                "the signature of the token does not match: the key is the text of a secret in \
                 `token-secrets`, not decoded",
            );
        }
        // RFC 7515 §4.1.11: an extension that must be understood is not.
        if header.is_some_and(|header| header.crit.is_some()) {
            return Err("the token has a `crit` header");
        }
        let written: Written = read(claims).ok_or("the claims of the token are no JSON object")?;
        written.claims()
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
    crit: Option<Value>,
}

/// RFC 7519 §4.1: dates are seconds since the Unix epoch, and may have a fraction.
struct Claims {
    room: String,
    name: Option<String>,
    exp: f64,
    nbf: Option<f64>,
}

/// The claims as they came: each may be missing or something else.
#[derive(Deserialize)]
struct Written {
    room: Option<Value>,
    name: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
}

impl Written {
    fn claims(self) -> Result<Claims, &'static str> {
        let text = |claim: Value| claim.as_str().map(str::to_owned);
        let date = |claim: Value| claim.as_f64();
        let room = self.room.ok_or("the token has no `room`")?;
        let exp = self.exp.ok_or("the token has no `exp`")?;
        let exp = date(exp).ok_or("`exp` of the token is no number")?;
        if exp > YEAR_2100 {
            return Err("`exp` of the token is beyond the year 2100: is it in milliseconds?");
        }
        let name = self.name.map(|name| text(name).ok_or(NOT_TEXT));
        let nbf = self
            .nbf
            .map(|nbf| date(nbf).ok_or("`nbf` of the token is no number"));
        Ok(Claims {
            room: text(room).ok_or(NOT_TEXT)?,
            name: name.transpose()?,
            exp,
            nbf: nbf.transpose()?,
        })
    }
}

impl Access {
    /// Whether one may enter.
    pub(crate) fn check(&self, join: &Join, unix: Duration) -> Result<(), Refusal> {
        match self {
            Self::Open => Ok(()),
            Self::Secret(secrets) => {
                let secret = join.secret.as_ref();
                let secret = secret.ok_or(Refusal::Forbidden("the room has a secret"))?;
                if !secrets.know(secret) {
                    return Err(Refusal::Forbidden("the secret is not that of the room"));
                }
                Ok(())
            }
            Self::Tokens(keys) => {
                let token = join.token.as_ref();
                let token = token.ok_or(Refusal::Forbidden("a token is needed"))?;
                let claims = keys.claims(token).map_err(Refusal::BadToken)?;
                claims.check(join, unix).map_err(Refusal::Forbidden)
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
    read_object(&json)
}

fn hashed(secret: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, secret);
    *hash.as_ref().first_chunk().expect("a hash has 32 bytes")
}

/// In seconds: the clock of the one that signs may be ahead.
const LEEWAY: f64 = 5.0;
/// Its begin, in seconds since the Unix epoch.
const YEAR_2100: f64 = 4_102_444_800.0;
const NOT_TEXT: &str = "`room` or `name` of the token is no text";
