//! Credentials that a web service mints from a shared secret, good until a time that they name.
//! The TURN REST convention of draft-uberti-behave-turn-rest.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// USERNAME.
    pub username: String,
    /// The password, base64.
    pub password: String,
}

/// The hash behind a time-limited password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mint {
    /// HMAC-SHA1, which every server and every guide knows.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

/// Mints a time-limited credential: user name `expiry:user` (or `expiry` alone), password
/// base64(HMAC(secret, user name)). `expiry` is in seconds since the Unix epoch.
pub fn mint(mint: Mint, secret: &[u8], user: Option<&str>, expiry: u64) -> Credential {
    let username = user.map_or_else(|| expiry.to_string(), |user| format!("{expiry}:{user}"));
    let password = Secret::new(secret).password(mint, &username);
    Credential { username, password }
}

pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(secret.to_vec().into())
    }

    pub(super) fn password(&self, mint: Mint, username: &str) -> String {
        match mint {
            Mint::Sha1 => self.mac::<Hmac<Sha1>>(username),
            Mint::Sha256 => self.mac::<Hmac<Sha256>>(username),
        }
    }

    fn mac<M: Mac + KeyInit>(&self, username: &str) -> String {
        let mut mac = <M as KeyInit>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A user name of the form `expiry` or `expiry:user`.
pub(super) struct TimeLimited<'a> {
    pub(super) expiry: Duration,
    pub(super) name: Option<&'a str>,
}

impl<'a> TimeLimited<'a> {
    pub(super) fn read(user: &'a str) -> Option<Self> {
        let (expiry, name) = match user.split_once(':') {
            Some((expiry, name)) => (expiry, Some(name)),
            None => (user, None),
        };
        // `parse` alone would take a leading plus sign.
        if !expiry.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            expiry: Duration::from_secs(expiry.parse().ok()?),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_password_is_the_hmac_of_its_name() {
        // printf %s 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64
        let credential = mint(Mint::Sha1, b"north", Some("alice"), 1_800_000_000);
        assert_eq!(credential.username, "1800000000:alice");
        assert_eq!(credential.password, "sIm7pn/teO7y3AyXGeXl/xAQR6Q=");
        // printf %s 1800000000 | openssl dgst -sha1 -hmac north -binary | base64
        let credential = mint(Mint::Sha1, b"north", None, 1_800_000_000);
        assert_eq!(credential.username, "1800000000");
        assert_eq!(credential.password, "4T8K1gDWaxdgRxU6Bb5OYX1vip8=");
    }

    #[test]
    fn a_password_may_be_minted_with_sha256() {
        // printf %s 1800000000:alice | openssl dgst -sha256 -hmac north -binary | base64
        let credential = mint(Mint::Sha256, b"north", Some("alice"), 1_800_000_000);
        assert_eq!(
            credential.password,
            "/r5Q7atDmSNNbxP/hfNXBc4pnphZeap0qTpyCpx+nc4="
        );
    }

    #[test]
    fn what_is_not_a_number_has_no_expiry() {
        for name in [
            "",
            ":alice",
            "+17:alice",
            "alice:17",
            "0x17:alice",
            "99999999999999999999",
        ] {
            assert!(TimeLimited::read(name).is_none(), "{name}");
        }
    }
}
