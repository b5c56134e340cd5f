//! Users and secrets that the configuration names.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::MacKey;

use super::time_limited::{Mint, Secret, TimeLimited};
use super::{Proof, User};
use crate::Reject;

/// The users of one realm, and the secrets for its time-limited credentials.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Users by their names without the realm.
    users: BTreeMap<String, User>,
    /// Names as they were written, where that differs from their OpaqueString form; the values are
    /// users' names.
    spellings: BTreeMap<String, String>,
    /// How many users have a key in place of a password. A shard asks for it when it adopts rules,
    /// and must not look at every user then.
    keys: usize,
    /// Whether some password was written otherwise than OpaqueString leaves it.
    has_spellings: bool,
    secrets: Vec<Secret>,
}

impl Local {
    /// Adds a user by its name, which may be `spelled` otherwise as well.
    pub(super) fn add(&mut self, name: String, spelled: String, user: User) {
        self.has_spellings |= user.has_spelling();
        if spelled != name {
            self.spellings.insert(spelled, name.clone());
        }
        self.keys += usize::from(!user.has_password());
        let replaced = self.users.insert(name, user);
        self.keys -= usize::from(replaced.is_some_and(|user| !user.has_password()));
    }

    pub(super) fn add_secret(&mut self, secret: &[u8]) {
        self.secrets.push(Secret::new(secret));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty()
    }

    pub(super) const fn has_passwords(&self) -> bool {
        self.keys == 0
    }

    pub(super) const fn has_spellings(&self) -> bool {
        self.has_spellings
    }

    /// All names, if no others may come.
    pub(super) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let names = self.users.keys().chain(self.spellings.keys());
        let names = names.map(String::as_str);
        self.secrets.is_empty().then_some(names)
    }

    pub(super) fn find(&self, user: &str) -> Option<&User> {
        self.users.get(self.prepared_name(user))
    }

    /// The key, if the owner of a secret minted the credential. All secrets and both hashes are
    /// tried, since nothing in the credential names them.
    pub(super) fn by_secret(
        &self,
        user: &str,
        unix: Duration,
        proof: Proof<'_>,
    ) -> Result<MacKey, Reject> {
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
    pub(super) fn has_lost(&self, user: &str) -> bool {
        self.find(user).is_none() && TimeLimited::read(user).is_err()
    }

    /// The user's name of which this is another spelling, or the name itself.
    fn prepared_name<'a>(&'a self, user: &'a str) -> &'a str {
        self.spellings.get(user).map_or(user, String::as_str)
    }

    /// The account of a name: itself, or as an error the name in a time-limited one, which may still
    /// have the realm at its end.
    pub(super) fn account<'a>(&'a self, user: &'a str) -> Result<&'a str, &'a str> {
        let user = self.prepared_name(user);
        if self.users.contains_key(user) {
            return Ok(user);
        }
        let limited = TimeLimited::read(user).ok();
        limited
            .and_then(|limited| limited.name)
            .map_or(Ok(user), Err)
    }
}
