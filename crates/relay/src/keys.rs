//! Whose credentials are good: users with passwords, and shared secrets for time-limited ones.
//! RFC 8489 §9.2; the TURN REST convention of draft-uberti-behave-turn-rest.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use sha1::Sha1;
use wire::{Algorithm, Key, MacKey, Message};
use zeroize::Zeroizing;

use crate::Reject;

/// The realm and everyone in it.
#[derive(Debug)]
pub struct Keys {
    realm: String,
    users: BTreeMap<String, Key>,
    secrets: Vec<Secret>,
}

impl Keys {
    /// Nobody yet.
    pub const fn new(realm: String) -> Self {
        Self {
            realm,
            users: BTreeMap::new(),
            secrets: Vec::new(),
        }
    }

    /// Adds a user by password.
    ///
    /// # Errors
    /// If name or password has characters that OpaqueString forbids, such as control characters.
    /// RFC 8265 §4.2.
    pub fn add_user(&mut self, name: &str, password: &str) -> Result<(), NotOpaque> {
        let name = OpaqueString::enforce(name).map_err(|_| NotOpaque::Name)?;
        let password = OpaqueString::enforce(password).map_err(|_| NotOpaque::Password)?;
        let key = Key::md5(&name, &self.realm, &password);
        self.users.insert(name.into_owned(), key);
        Ok(())
    }

    /// Adds a user by the key that was derived from the password: MD5 over `user:realm:password`.
    pub fn add_key(&mut self, name: &str, key: [u8; 16]) {
        self.users.insert(name.to_owned(), Key::precomputed(&key));
    }

    /// Adds a secret whose owner may mint time-limited credentials. All secrets are good at once,
    /// so that they can be rotated.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.secrets.push(Secret(secret.to_vec().into()));
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether nobody can authenticate: a STUN-only server.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty()
    }

    /// The key that signed a message in this user's name.
    pub(crate) fn authenticate(
        &self,
        user: &str,
        unix: Duration,
        message: &Message<'_>,
    ) -> Result<MacKey, Reject> {
        let signed_by = |key: &MacKey| message.verify(key).is_ok();
        if let Some(key) = self.users.get(user) {
            let key = key.schedule(Algorithm::Sha1);
            return if signed_by(&key) {
                Ok(key)
            } else {
                Err(Reject::BadIntegrity)
            };
        }
        let limited = TimeLimited::read(user).filter(|_| !self.secrets.is_empty());
        let Some(TimeLimited { expiry, .. }) = limited else {
            // As long as for a wrong password: how long it takes must not tell who is known.
            signed_by(&Key::precomputed(&[0; 16]).schedule(Algorithm::Sha1));
            return Err(Reject::UnknownUser);
        };
        if expiry <= unix {
            return Err(Reject::Expired {
                since: unix - expiry,
            });
        }
        self.secrets
            .iter()
            .map(|secret| Key::md5(user, &self.realm, &secret.password(user)))
            .map(|key| key.schedule(Algorithm::Sha1))
            .find(signed_by)
            .ok_or(Reject::BadIntegrity)
    }

    /// Whose quota a user name falls under: time-limited names of one person are one account.
    pub(crate) fn account<'a>(&self, user: &'a str) -> &'a str {
        if self.users.contains_key(user) {
            return user;
        }
        TimeLimited::read(user)
            .and_then(|limited| limited.name)
            .unwrap_or(user)
    }
}

/// A name or a password that no client could send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpaque {
    /// The name.
    #[error("the user name is empty or has characters that RFC 8265 forbids")]
    Name,
    /// The password.
    #[error("the password is empty or has characters that RFC 8265 forbids")]
    Password,
}

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// USERNAME.
    pub username: String,
    /// The password, base64.
    pub password: String,
}

/// Mints a time-limited credential: user name `expiry:user` (or `expiry` alone), password
/// base64(HMAC-SHA1(secret, user name)). `expiry` is in seconds since the Unix epoch.
pub fn mint(secret: &[u8], user: Option<&str>, expiry: u64) -> Credential {
    let username = user.map_or_else(|| expiry.to_string(), |user| format!("{expiry}:{user}"));
    let password = Secret(secret.to_vec().into()).password(&username);
    Credential { username, password }
}

struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    fn password(&self, username: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes any key");
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
struct TimeLimited<'a> {
    expiry: Duration,
    name: Option<&'a str>,
}

impl<'a> TimeLimited<'a> {
    fn read(user: &'a str) -> Option<Self> {
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
        let credential = mint(b"north", Some("alice"), 1_800_000_000);
        assert_eq!(credential.username, "1800000000:alice");
        assert_eq!(credential.password, "sIm7pn/teO7y3AyXGeXl/xAQR6Q=");
        // printf %s 1800000000 | openssl dgst -sha1 -hmac north -binary | base64
        let credential = mint(b"north", None, 1_800_000_000);
        assert_eq!(credential.username, "1800000000");
        assert_eq!(credential.password, "4T8K1gDWaxdgRxU6Bb5OYX1vip8=");
    }

    #[test]
    fn names_of_one_person_are_one_account() {
        let mut keys = Keys::new("example.org".into());
        keys.add_secret(b"north");
        keys.add_user("17:static", "password").unwrap();
        assert_eq!(keys.account("1800000000:alice"), "alice");
        assert_eq!(keys.account("1900000000:alice"), "alice");
        assert_eq!(keys.account("1900000000"), "1900000000");
        assert_eq!(keys.account("17:static"), "17:static");
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

    #[test]
    fn no_debug_output_shows_a_secret() {
        let mut keys = Keys::new("example.org".into());
        keys.add_secret(b"north");
        keys.add_user("alice", "wonderland").unwrap();
        let text = format!("{keys:?}");
        assert!(!text.contains("north") && !text.contains("wonderland") && !text.contains("110"));
    }
}
