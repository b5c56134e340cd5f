//! Names by their hashes: the user that a USERHASH stands for, without trying every user.
//! RFC 8489 §9.2.4, §14.4.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::attributes::UserHash;

use super::{RealmId, Realms};

/// Every hash of every known user, for all shards. It grows with the number of users times that of
/// the realms that clients are challenged with, and the operator decides both.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<UserHash, Arc<str>>);

impl Names {
    /// The names of all realms; empty if hashes cannot stand for them.
    pub(crate) fn of(realms: &Realms) -> Self {
        if !realms.have_names() {
            return Self::default();
        }
        let listeners = realms.by_listener.values().copied();
        let challenged: BTreeSet<RealmId> = listeners.chain([realms.default]).collect();
        let mut hashes = BTreeMap::new();
        for realm in &realms.all {
            let own = &**realm.keys.realm();
            for name in realm.keys.names().into_iter().flatten() {
                hashes.insert(UserHash::of(name, own), Arc::from(name));
                let full: Arc<str> = format!("{name}@{own}").into();
                // Each user is hashed under its own realm as well, even if no client is challenged
                // with that first.
                let all = challenged.iter().map(|id| &**realms.name(*id));
                for signed_with in all.chain([own]) {
                    hashes.insert(UserHash::of(&full, signed_with), Arc::clone(&full));
                }
            }
        }
        Self(hashes)
    }

    /// The name behind a hash, as its user spells it.
    pub(crate) fn spelled(&self, hash: &UserHash) -> Option<&str> {
        self.0.get(hash).map(|name| &**name)
    }
}
