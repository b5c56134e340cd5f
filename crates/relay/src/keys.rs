//! Whose credentials are good in a realm: users with passwords, and shared secrets for time-limited
//! ones (RFC 8489 §9.2). Beside them, keys for the tokens of third parties (RFC 7635).

mod oauth;
mod time_limited;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use wire::attributes::PasswordAlgorithm;
use wire::{Key, MacKey, Message};
use zeroize::Zeroizing;

use crate::Reject;
use crate::sha256::Algorithms;
pub(crate) use oauth::Grant;
pub use oauth::{Encryption, Token, TokenKey, TokenKeys, Validity};
pub use time_limited::{Credential, Mint, mint};
use time_limited::{Secret, TimeLimited};

/// A realm and everyone in it. In the realm `example.org`, `alice` and `alice@example.org` are the
/// same user: clients may say which realm they mean, and are known without it.
#[derive(Debug)]
pub struct Keys {
    realm: Arc<str>,
    /// By their names without the realm.
    users: BTreeMap<String, User>,
    secrets: Vec<Secret>,
}

/// What is known of a user.
enum User {
    /// A password, from which follows the key of whatever realm a client was challenged with.
    Password(Zeroizing<String>),
    /// MD5 over `user:realm:password`, good for this spelling of the name and in this realm only.
    Key { md5: Key, spelled: String },
}

impl Keys {
    /// Nobody yet. The realm is one that [`is_opaque`]: clients prepare it before they hash it.
    pub fn new(realm: impl Into<Arc<str>>) -> Self {
        Self {
            realm: realm.into(),
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
        let password = Zeroizing::new(password.into_owned());
        let name = self.own_name(&name).to_owned();
        self.users.insert(name, User::Password(password));
        Ok(())
    }

    /// Adds a user by the key that was derived from the password: MD5 over `user:realm:password`.
    /// Such a user signs with this realm only. As long as there is one, SHA-256 keys are offered to
    /// nobody: which user asks is known too late.
    pub fn add_key(&mut self, name: &str, key: [u8; 16]) {
        let user = User::Key {
            md5: Key::precomputed(&key),
            spelled: name.to_owned(),
        };
        self.users.insert(self.own_name(name).to_owned(), user);
    }

    /// Adds a secret whose owner may mint time-limited credentials. All secrets are good at once,
    /// so that they can be rotated.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.secrets.push(Secret::new(secret));
    }

    /// The realm.
    pub const fn realm(&self) -> &Arc<str> {
        &self.realm
    }

    /// Whether nobody can authenticate: a STUN-only server.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty()
    }

    /// A user's name without this realm: `alice` of `alice@example.org` in `example.org`, and any
    /// other name as it is.
    pub fn own_name<'n>(&self, name: &'n str) -> &'n str {
        let own = name
            .strip_suffix(&*self.realm)
            .and_then(|name| name.strip_suffix('@'));
        own.filter(|own| !own.is_empty()).unwrap_or(name)
    }

    /// Whether every user can be known by any key: of SHA-256, and of another realm.
    pub(crate) fn has_passwords(&self) -> bool {
        let mut users = self.users.values();
        users.all(|user| matches!(user, User::Password(_)))
    }

    /// The names of users without the realm, if every name that may come is known beforehand. Those
    /// of time-limited credentials are not: they hold their time.
    pub(crate) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let names = self.users.keys().map(String::as_str);
        self.secrets.is_empty().then_some(names)
    }

    /// The key that signed a message in the name of a user, given without the realm, made ready
    /// for the answer.
    pub(crate) fn authenticate(
        &self,
        user: &str,
        unix: Duration,
        proof: Proof<'_>,
    ) -> Result<MacKey, Reject> {
        let known = self.users.get(user);
        let limited = TimeLimited::read(user);
        if known.is_none()
            && !self.secrets.is_empty()
            && let Some(TimeLimited { expiry, .. }) = limited
        {
            return self.authenticate_limited(expiry, unix, proof);
        }
        // How long it takes must not tell who is known, so it is as long for everybody.
        let password = match known {
            Some(User::Password(password)) => password,
            Some(User::Key { .. }) | None => "",
        };
        let derived = proof.derive(password);
        match known {
            Some(User::Password(_)) => proof.by(&derived).ok_or(Reject::BadIntegrity),
            Some(User::Key { md5, spelled }) => {
                let is_meant = spelled == proof.username && *self.realm == *proof.realm;
                let signed = proof.by(if is_meant { md5 } else { &derived });
                let is_md5 = proof.algorithms.password != PasswordAlgorithm::SHA256;
                signed
                    .filter(|_| is_meant && is_md5)
                    .ok_or(Reject::BadIntegrity)
            }
            None => {
                proof.by(&derived);
                Err(Reject::UnknownUser)
            }
        }
    }

    fn authenticate_limited(
        &self,
        expiry: Duration,
        unix: Duration,
        proof: Proof<'_>,
    ) -> Result<MacKey, Reject> {
        if expiry <= unix {
            return Err(Reject::Expired {
                since: unix - expiry,
            });
        }
        let both = [Mint::Sha1, Mint::Sha256];
        self.secrets
            .iter()
            .flat_map(|secret| both.map(|mint| secret.password(mint, proof.username)))
            .find_map(|password| proof.by(&proof.derive(&password)))
            .ok_or(Reject::BadIntegrity)
    }

    /// Whose quota a name without the realm falls under: time-limited names of one person are one
    /// account.
    pub(crate) fn account<'a>(&self, user: &'a str) -> &'a str {
        if self.users.contains_key(user) {
            return user;
        }
        TimeLimited::read(user)
            .and_then(|limited| limited.name)
            .unwrap_or(user)
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(***)")
    }
}

/// What a message offers to be verified by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'m> {
    pub(crate) message: &'m Message<'m>,
    /// USERNAME as the client spells it, and REALM as the client signed it: keys are derived over
    /// both.
    pub(crate) username: &'m str,
    pub(crate) realm: &'m str,
    pub(crate) algorithms: Algorithms,
}

impl Proof<'_> {
    /// The key made ready, if it is the one that signed.
    fn by(&self, key: &Key) -> Option<MacKey> {
        let signer = key.schedule(self.algorithms.integrity);
        self.message.verify(&signer).ok()?;
        if self.algorithms.answer == self.algorithms.integrity {
            Some(signer)
        } else {
            Some(key.schedule(self.algorithms.answer))
        }
    }

    fn derive(&self, password: &str) -> Key {
        if self.algorithms.password == PasswordAlgorithm::SHA256 {
            Key::sha256(self.username, self.realm, password)
        } else {
            Key::md5(self.username, self.realm, password)
        }
    }
}

/// Whether a text is as OpaqueString leaves it, so that all who prepare it hash the same bytes.
/// RFC 8265 §4.2.
pub fn is_opaque(text: &str) -> bool {
    OpaqueString::enforce(text).is_ok_and(|prepared| prepared == text)
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
        let mut keys = Keys::new("example.org");
        keys.add_secret(b"north");
        keys.add_user("17:static", "password").unwrap();
        assert_eq!(keys.account("1800000000:alice"), "alice");
        assert_eq!(keys.account("1900000000:alice"), "alice");
        assert_eq!(keys.account("1900000000"), "1900000000");
        assert_eq!(keys.account("17:static"), "17:static");
    }

    #[test]
    fn a_user_is_the_same_with_and_without_the_realm() {
        let keys = Keys::new("example.org");
        for (name, own) in [
            ("alice", "alice"),
            ("alice@example.org", "alice"),
            ("alice@example.net", "alice@example.net"),
            ("aliceexample.org", "aliceexample.org"),
            ("a@b@example.org", "a@b"),
            ("@example.org", "@example.org"),
            ("example.org", "example.org"),
        ] {
            assert_eq!(keys.own_name(name), own);
        }
    }

    #[test]
    fn a_text_is_opaque_if_nothing_prepares_it_further() {
        for opaque in ["example.org", "two words", "caf\u{e9}"] {
            assert!(is_opaque(opaque), "{opaque:?}");
        }
        // Nothing, a control character, a combining accent, a space of another kind.
        for other in ["", "a\tb", "cafe\u{301}", "two\u{3000}words"] {
            assert!(!is_opaque(other), "{other:?}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_secret() {
        let mut keys = Keys::new("example.org");
        keys.add_secret(b"north");
        keys.add_user("alice", "wonderland").unwrap();
        let text = format!("{keys:?}");
        assert!(!text.contains("north") && !text.contains("wonderland") && !text.contains("110"));
    }
}
