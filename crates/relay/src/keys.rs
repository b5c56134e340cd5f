//! Whose credentials are good: users with passwords, and shared secrets for time-limited ones.
//! RFC 8489 §9.2.

mod time_limited;

use std::collections::BTreeMap;
use std::time::Duration;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use wire::attributes::{PasswordAlgorithm, UserHash};
use wire::{Algorithm, Key, MacKey, Message};

use crate::Reject;
pub use time_limited::{Credential, Mint, mint};
use time_limited::{Secret, TimeLimited};

/// The realm and everyone in it.
#[derive(Debug)]
pub struct Keys {
    realm: String,
    users: BTreeMap<String, User>,
    /// The users by the hash of their names.
    hashes: BTreeMap<UserHash, String>,
    secrets: Vec<Secret>,
}

/// What a user's password became.
#[derive(Debug)]
struct User {
    md5: Key,
    /// Unknown where only the other was given.
    sha256: Option<Key>,
}

impl Keys {
    /// Nobody yet.
    pub const fn new(realm: String) -> Self {
        Self {
            realm,
            users: BTreeMap::new(),
            hashes: BTreeMap::new(),
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
        let user = User {
            md5: Key::md5(&name, &self.realm, &password),
            sha256: Some(Key::sha256(&name, &self.realm, &password)),
        };
        self.add(&name, user);
        Ok(())
    }

    /// Adds a user by the key that was derived from the password: MD5 over `user:realm:password`.
    /// As long as there is one, SHA-256 keys are offered to nobody: which user asks is known too
    /// late.
    pub fn add_key(&mut self, name: &str, key: [u8; 16]) {
        let md5 = Key::precomputed(&key);
        self.add(name, User { md5, sha256: None });
    }

    fn add(&mut self, name: &str, user: User) {
        let hash = UserHash::of(name, &self.realm);
        self.hashes.insert(hash, name.to_owned());
        self.users.insert(name.to_owned(), user);
    }

    /// Adds a secret whose owner may mint time-limited credentials. All secrets are good at once,
    /// so that they can be rotated.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.secrets.push(Secret::new(secret));
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether nobody can authenticate: a STUN-only server.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty()
    }

    /// Whether every user can be known by a SHA-256 key.
    pub(crate) fn has_sha256(&self) -> bool {
        self.users.values().all(|user| user.sha256.is_some())
    }

    /// Whether every name that may come is known beforehand. Those of time-limited credentials are
    /// not: they hold their time.
    pub(crate) const fn has_names(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The user with this hash of the name.
    pub(crate) fn named(&self, hash: &UserHash) -> Option<&str> {
        self.hashes.get(hash).map(String::as_str)
    }

    /// The key that signed a message in this user's name.
    pub(crate) fn authenticate(
        &self,
        user: &str,
        unix: Duration,
        proof: Proof<'_>,
    ) -> Result<MacKey, Reject> {
        if let Some(user) = self.users.get(user) {
            return proof
                .by(user.key(proof.password))
                .ok_or(Reject::BadIntegrity);
        }
        let limited = TimeLimited::read(user).filter(|_| !self.secrets.is_empty());
        let Some(TimeLimited { expiry, .. }) = limited else {
            // As long as for a wrong password: how long it takes must not tell who is known.
            proof.by(Some(&Key::precomputed(&[0; 32])));
            return Err(Reject::UnknownUser);
        };
        if expiry <= unix {
            return Err(Reject::Expired {
                since: unix - expiry,
            });
        }
        let passwords = self
            .secrets
            .iter()
            .flat_map(|secret| [Mint::Sha1, Mint::Sha256].map(|mint| secret.password(mint, user)));
        passwords
            .map(|password| derive(proof.password, user, &self.realm, &password))
            .find_map(|key| proof.by(Some(&key)))
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

impl User {
    fn key(&self, password: PasswordAlgorithm) -> Option<&Key> {
        if password == PasswordAlgorithm::SHA256 {
            self.sha256.as_ref()
        } else {
            Some(&self.md5)
        }
    }
}

/// What a message offers to be verified by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'m> {
    pub(crate) message: &'m Message<'m>,
    /// How the key was derived.
    pub(crate) password: PasswordAlgorithm,
    /// What it was used for.
    pub(crate) integrity: Algorithm,
}

impl Proof<'_> {
    /// The key made ready, if it is the one that signed.
    fn by(&self, key: Option<&Key>) -> Option<MacKey> {
        let key = key?.schedule(self.integrity);
        self.message.verify(&key).is_ok().then_some(key)
    }
}

fn derive(password: PasswordAlgorithm, user: &str, realm: &str, secret: &str) -> Key {
    if password == PasswordAlgorithm::SHA256 {
        Key::sha256(user, realm, secret)
    } else {
        Key::md5(user, realm, secret)
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn no_debug_output_shows_a_secret() {
        let mut keys = Keys::new("example.org".into());
        keys.add_secret(b"north");
        keys.add_user("alice", "wonderland").unwrap();
        let text = format!("{keys:?}");
        assert!(!text.contains("north") && !text.contains("wonderland") && !text.contains("110"));
    }
}
