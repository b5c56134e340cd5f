//! The credentials that are good in a realm: users with passwords, and shared secrets for
//! time-limited ones (RFC 8489 §9.2). Beside them, keys for the tokens of third parties (RFC 7635).

mod local;
mod oauth;
mod time_limited;
mod user;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use wire::attributes::PasswordAlgorithm;
use wire::{Key, MacKey, Message};

use crate::Reject;
use crate::sha256::Algorithms;
use local::Local;
pub(crate) use oauth::Grant;
pub use oauth::{Encryption, Token, TokenKey, TokenKeys, Validity};
pub use time_limited::{Credential, Mint, mint};
pub use user::User;

/// A realm and its users. In the realm `example.org`, `alice` and `alice@example.org` are the same
/// user: a client may name its realm, and is kept without it.
#[derive(Debug)]
pub struct Keys {
    realm: Arc<str>,
    source: Source,
}

/// Where the keys of users are.
#[derive(Debug)]
enum Source {
    /// Here: the configuration has them.
    Local(Local),
    /// In a store outside the process, which is asked for one user at a time:
    /// [`crate::Effect::FetchKey`].
    Remote,
}

impl Keys {
    /// A realm without users. The name must be one that [`is_opaque`], as clients prepare it before
    /// they hash it.
    pub fn new(realm: impl Into<Arc<str>>) -> Self {
        Self {
            realm: realm.into(),
            source: Source::Local(Local::default()),
        }
    }

    /// A realm whose users are in a store outside the process, by names that [`is_opaque`]: clients
    /// prepare theirs (RFC 8489 §14.3). The kinds of keys that the store has are not known before it is
    /// asked, so clients are offered neither SHA-256 keys nor USERHASH.
    pub fn remote(realm: impl Into<Arc<str>>) -> Self {
        Self {
            realm: realm.into(),
            source: Source::Remote,
        }
    }

    /// Whether the users are in a store outside the process.
    pub(crate) const fn are_remote(&self) -> bool {
        matches!(self.source, Source::Remote)
    }

    /// The users that are here. A realm that is given one has all its users here.
    fn local(&mut self) -> &mut Local {
        if self.are_remote() {
            self.source = Source::Local(Local::default());
        }
        match &mut self.source {
            Source::Local(local) => local,
            Source::Remote => unreachable!("it was replaced"),
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
        let user = User::with_password(password)?;
        let own = self.own_name(&prepared_name).to_owned();
        let spelled = self.own_name(name).to_owned();
        self.local().add(own, spelled, user);
        Ok(())
    }

    /// Adds a user by the key that was derived from the password: MD5 over `user:realm:password`.
    /// Such a user can sign with this realm only. As long as there is one, SHA-256 keys are offered
    /// to no client: when they are offered, the server does not know yet which user asks.
    pub fn add_key(&mut self, name: &str, key: [u8; 16]) {
        let own = self.own_name(name).to_owned();
        self.local()
            .add(own.clone(), own, User::with_key(name, key));
    }

    /// Adds a secret whose owner may mint time-limited credentials. All secrets are good at once,
    /// so that they can be rotated.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.local().add_secret(secret);
    }

    /// The realm.
    pub const fn realm(&self) -> &Arc<str> {
        &self.realm
    }

    /// Whether nobody can authenticate: a STUN-only server.
    pub fn is_empty(&self) -> bool {
        match &self.source {
            Source::Local(local) => local.is_empty(),
            Source::Remote => false,
        }
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
    pub(crate) const fn has_passwords(&self) -> bool {
        match &self.source {
            Source::Local(local) => local.has_passwords(),
            Source::Remote => false,
        }
    }

    /// The names of users without the realm, if all names that may come are known beforehand. The
    /// names of time-limited credentials are not: they contain their expiry.
    pub(crate) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        match &self.source {
            Source::Local(local) => local.names(),
            Source::Remote => None,
        }
    }

    /// The key that signed a message in the name of a user, given without the realm. It is made
    /// ready for the answer. `fetched` is what a store has of the user, if the users are there.
    ///
    /// The time that a refusal takes must not tell which users are known. So the number of tries
    /// depends only on the name and on all keys of the realm, not on whether the name is a user's.
    /// A try is a hash over name, realm and password, and an HMAC over the message. There is one
    /// try, two in a realm where some password was (or may be) written otherwise than OpaqueString
    /// leaves it, and before them two per secret for a name with an expiry in the future.
    pub(crate) fn authenticate(
        &self,
        user: &str,
        unix: Duration,
        proof: Proof<'_>,
        fetched: Option<&User>,
    ) -> Result<MacKey, Reject> {
        let (known, by_secret, has_spellings) = match &self.source {
            Source::Local(local) => {
                let by_secret = local.by_secret(user, unix, proof);
                (local.find(user), by_secret, local.has_spellings())
            }
            Source::Remote => (fetched, Err(Reject::UnknownUser), true),
        };
        if known.is_none() && by_secret.is_ok() {
            return by_secret;
        }
        let own = User::own_key(known, &self.realm, has_spellings, proof);
        if known.is_some() {
            own.ok_or(Reject::BadIntegrity)
        } else {
            by_secret
        }
    }

    /// Whether a name that was once good is no user's: [`Local::has_lost`]. The users of a store may
    /// come and go, and no user of it is known to be lost.
    pub(crate) fn has_lost(&self, user: &str) -> bool {
        match &self.source {
            Source::Local(local) => local.has_lost(user),
            Source::Remote => false,
        }
    }

    /// The account that a name without the realm counts against: all time-limited names of one
    /// person are one account.
    pub(crate) fn account<'a>(&'a self, user: &'a str) -> &'a str {
        match &self.source {
            // The realm may be written before the expiry.
            Source::Local(local) => match local.account(user) {
                Ok(user) => user,
                Err(name) => self.own_name(name),
            },
            Source::Remote => user,
        }
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
            let refused = keys.authenticate(name, Duration::from_secs(1_800_000_000), proof, None);
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
