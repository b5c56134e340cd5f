//! The credentials that are good in a realm: users with passwords, and shared secrets for
//! time-limited ones (RFC 8489 §9.2). Beside them, keys for the tokens of third parties (RFC 7635).

mod oauth;
mod time_limited;

use std::borrow::Cow;
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

/// A realm and its users. In the realm `example.org`, `alice` and `alice@example.org` are the same
/// user: a client may name its realm, and is kept without it.
#[derive(Debug)]
pub struct Keys {
    realm: Arc<str>,
    /// Users by their names without the realm.
    users: BTreeMap<String, User>,
    /// Names as they were written, where that differs from their OpaqueString form; the values are
    /// users' names.
    spellings: BTreeMap<String, String>,
    /// Whether some password was written otherwise than OpaqueString leaves it.
    has_spellings: bool,
    secrets: Vec<Secret>,
}

/// The credential of a user.
enum User {
    /// A password, from which the key of any realm can be derived.
    Password {
        prepared: Zeroizing<String>,
        /// The password as it was written, if OpaqueString changes it: not every client prepares
        /// it.
        written: Option<Zeroizing<String>>,
    },
    /// MD5 over `user:realm:password`, good only for this spelling of the name and in this realm.
    Key { md5: Key, spelled: String },
}

impl Keys {
    /// A realm without users. The name must be one that [`is_opaque`], as clients prepare it before
    /// they hash it.
    pub fn new(realm: impl Into<Arc<str>>) -> Self {
        Self {
            realm: realm.into(),
            users: BTreeMap::new(),
            spellings: BTreeMap::new(),
            has_spellings: false,
            secrets: Vec::new(),
        }
    }

    /// Adds a user by password. Name and password are good as OpaqueString prepares them, as
    /// clients should, and as they are written here, as many clients do.
    ///
    /// # Errors
    /// If name or password has characters that OpaqueString forbids, such as control characters.
    /// RFC 8265 §4.2.
    pub fn add_user(&mut self, name: &str, password: &str) -> Result<(), NotOpaque> {
        let prepared_name = prepared(name).ok_or(NotOpaque::Name)?;
        let prepared = prepared(password).ok_or(NotOpaque::Password)?;
        let written = (*prepared != *password).then(|| Zeroizing::new(password.to_owned()));
        let prepared = Zeroizing::new(prepared.into_owned());
        self.has_spellings |= written.is_some();
        let own = self.own_name(&prepared_name).to_owned();
        let spelled = self.own_name(name).to_owned();
        if spelled != own {
            self.spellings.insert(spelled, own.clone());
        }
        self.users.insert(own, User::Password { prepared, written });
        Ok(())
    }

    /// Adds a user by the key that was derived from the password: MD5 over `user:realm:password`.
    /// Such a user can sign with this realm only. As long as there is one, SHA-256 keys are offered
    /// to no client: when they are offered, the server does not know yet which user asks.
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

    /// Whether every user has a password, and so a SHA-256 key and a key in another realm.
    pub(crate) fn has_passwords(&self) -> bool {
        let mut users = self.users.values();
        users.all(|user| matches!(user, User::Password { .. }))
    }

    /// The names of users without the realm, if all names that may come are known beforehand. The
    /// names of time-limited credentials are not: they contain their expiry.
    pub(crate) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let names = self.users.keys().chain(self.spellings.keys());
        let names = names.map(String::as_str);
        self.secrets.is_empty().then_some(names)
    }

    /// The key that signed a message in the name of a user, given without the realm. It is made
    /// ready for the answer.
    ///
    /// The time that a refusal takes must not tell which users are known. So the number of tries
    /// depends only on the name and on all keys of the realm, not on whether the name is a user's.
    /// A try is a hash over name, realm and password, and an HMAC over the message. There is one
    /// try, two in a realm where some password was written otherwise than OpaqueString leaves it,
    /// and before them two per secret for a name with an expiry in the future.
    pub(crate) fn authenticate(
        &self,
        user: &str,
        unix: Duration,
        proof: Proof<'_>,
    ) -> Result<MacKey, Reject> {
        let known = self.users.get(self.prepared_name(user));
        let by_secret = self.by_secret(user, unix, proof);
        if known.is_none() && by_secret.is_ok() {
            return by_secret;
        }
        let own = self.by_own_key(known, proof);
        if known.is_some() {
            own.ok_or(Reject::BadIntegrity)
        } else {
            by_secret
        }
    }

    /// The key, if the user's password or key signed. For an unknown user an empty password is
    /// tried.
    fn by_own_key(&self, known: Option<&User>, proof: Proof<'_>) -> Option<MacKey> {
        let (prepared, written) = match known {
            Some(User::Password { prepared, written }) => (&***prepared, written.as_ref()),
            Some(User::Key { .. }) | None => ("", None),
        };
        let derived = proof.derive(prepared);
        let first = if let Some(User::Key { md5, spelled }) = known {
            let is_meant = spelled == proof.username && *self.realm == *proof.realm;
            let is_md5 = proof.algorithms.password != PasswordAlgorithm::SHA256;
            let signed = proof.by(if is_meant { md5 } else { &derived });
            signed.filter(|_| is_meant && is_md5)
        } else {
            proof.by(&derived)
        };
        let is_done = !self.has_spellings || known.is_some() && first.is_some();
        if is_done {
            return first;
        }
        let second = proof.by(&proof.derive(written.map_or(prepared, |written| written)));
        first.or(second.filter(|_| written.is_some()))
    }

    /// The key, if the owner of a secret minted the credential. All secrets and both hashes are
    /// tried, since nothing in the credential names them.
    fn by_secret(&self, user: &str, unix: Duration, proof: Proof<'_>) -> Result<MacKey, Reject> {
        if self.secrets.is_empty() {
            return Err(Reject::UnknownUser);
        }
        let TimeLimited { expiry, .. } = TimeLimited::read(user)?;
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

    /// Whether a name that was once good is no user's, and not that of a time-limited credential:
    /// what such a credential has opened is prolonged also when it has expired and its secret is
    /// gone.
    pub(crate) fn has_lost(&self, user: &str) -> bool {
        !self.users.contains_key(self.prepared_name(user)) && TimeLimited::read(user).is_err()
    }

    /// The user's name of which this is another spelling, or the name itself.
    fn prepared_name<'a>(&'a self, user: &'a str) -> &'a str {
        self.spellings.get(user).map_or(user, String::as_str)
    }

    /// The account that a name without the realm counts against: all time-limited names of one
    /// person are one account.
    pub(crate) fn account<'a>(&'a self, user: &'a str) -> &'a str {
        let user = self.prepared_name(user);
        if self.users.contains_key(user) {
            return user;
        }
        let limited = TimeLimited::read(user).ok();
        let name = limited.and_then(|limited| limited.name);
        // The realm may be written before the expiry.
        name.map_or(user, |name| self.own_name(name))
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(***)")
    }
}

/// The signed parts of a message, and the names that keys are derived over.
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
        #[cfg(test)]
        TRIES.set(TRIES.get() + 1);
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

/// Whether OpaqueString leaves a text unchanged, so that all who prepare it hash the same bytes.
/// RFC 8265 §4.2.
pub fn is_opaque(text: &str) -> bool {
    prepared(text).is_some_and(|prepared| prepared == text)
}

/// A text after OpaqueString; `None` if it is empty or has characters that OpaqueString forbids.
/// RFC 8265 §4.2.
pub fn prepared(text: &str) -> Option<Cow<'_, str>> {
    OpaqueString::enforce(text).ok()
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
thread_local! {
    /// How often a key was tried.
    static TRIES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use wire::{Algorithm, Class, Method, TransactionId, Writer};

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
    fn both_orders_of_a_time_limited_name_are_one_account() {
        let mut keys = Keys::new("example.org");
        keys.add_secret(b"north");
        for name in [
            "1800000000:alice",
            "alice:1900000000",
            "1800000000.5:alice",
            "alice:1900000000.25",
        ] {
            assert_eq!(keys.account(name), "alice", "{name}");
        }
        assert_eq!(keys.account("1800000000:1900000000"), "1900000000");
        assert_eq!(keys.account("1900000000:"), "1900000000:");
    }

    #[test]
    fn both_spellings_of_a_name_are_one_account() {
        let mut keys = Keys::new("example.org");
        keys.add_user("Zoe\u{308}", "password").unwrap();
        for name in ["Zoe\u{308}", "Zo\u{eb}"] {
            assert_eq!(keys.account(name), "Zo\u{eb}");
        }
    }

    /// How many hashes and HMACs a wrong password costs under each of these names.
    fn tries(keys: &Keys, names: &[&str]) -> Vec<usize> {
        let signer = Key::md5("mallory", "example.org", "guessed").schedule(Algorithm::Sha1);
        let mut buffer = Vec::new();
        let id = TransactionId::new([7; 12]);
        Writer::new(&mut buffer, Method::Allocate, Class::Request, id).sign(&signer);
        let message = Message::parse(&buffer).unwrap();
        let cost = |name: &&str| {
            let proof = Proof {
                message: &message,
                username: name,
                realm: "example.org",
                algorithms: Algorithms {
                    password: PasswordAlgorithm::MD5,
                    integrity: Algorithm::Sha1,
                    answer: Algorithm::Sha1,
                },
            };
            TRIES.set(0);
            let refused = keys.authenticate(name, Duration::from_secs(1_800_000_000), proof);
            refused.unwrap_err();
            TRIES.get()
        };
        names.iter().map(cost).collect()
    }

    /// The time that a refusal takes must not tell which users are known.
    #[test]
    fn a_wrong_password_costs_the_same_under_every_name_known_or_not() {
        let plain = ["alice", "bob", "carol", "nobody", "1700000000:alice"];
        let limited = ["1900000000:alice", "1900000000:known", "carol:1900000000"];
        let mut keys = Keys::new("example.org");
        keys.add_user("alice", "wonderland").unwrap();
        keys.add_user("1900000000:known", "wonderland").unwrap();
        keys.add_key("bob", [7; 16]);
        assert_eq!(tries(&keys, &plain), [1; 5]);
        assert_eq!(tries(&keys, &limited), [1; 3]);
        keys.add_user("carol", "cafe\u{301}").unwrap();
        assert_eq!(tries(&keys, &plain), [2; 5]);
        keys.add_secret(b"north");
        keys.add_secret(b"south");
        assert_eq!(tries(&keys, &plain), [2; 5]);
        assert_eq!(tries(&keys, &limited), [6; 3]);
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
        // An empty text, a control character, a combining accent, a space of another kind.
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
