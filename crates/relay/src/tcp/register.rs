//! The connections of all shards that a ConnectionBind may name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Passage;
use crate::allocation::Allocation;
use crate::auth::Signed;
use crate::keys::Grant;
use crate::mobility::Holder;
use crate::realms::RealmId;
use crate::{ConnectionId, Reject, ShardId};

/// Every peer data connection that was made, by its id. It is locked when one begins, is bound or
/// ends; never by data.
#[derive(Debug, Default)]
pub struct Register(Mutex<BTreeMap<ConnectionId, Entry>>);

/// The facts about a connection that another shard has to know.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The shard that has its allocation.
    pub(crate) shard: ShardId,
    pub(crate) owner: Owner,
    pub(crate) passage: Passage,
    /// Whether it waits for ConnectionBind: the peer has answered, and no client has bound it.
    pub(crate) waits: bool,
}

/// The party that may bind a connection: RFC 6062 §4.3 asks for the credentials of the control connection.
#[derive(Clone, Debug)]
pub(crate) enum Owner {
    /// The user who opened the allocation with a password.
    Password(Holder),
    /// The bearer of the very token that the allocation lives on.
    Token {
        realm: RealmId,
        user: Arc<str>,
        grant: Box<Grant>,
    },
}

impl Owner {
    /// The party that has this allocation.
    pub(crate) fn of(allocation: &Allocation) -> Self {
        let Allocation {
            realm,
            user,
            key,
            opened_with,
            grant,
            ..
        } = allocation;
        let user = Arc::clone(user);
        match grant {
            Some(grant) => Self::Token {
                realm: *realm,
                user,
                grant: grant.clone(),
            },
            None => Self::Password(Holder {
                realm: *realm,
                user,
                key: key.clone(),
                opened_with: *opened_with,
            }),
        }
    }

    fn is(&self, request: &Signed<'_>) -> bool {
        match (self, &request.grant) {
            (Self::Password(holder), None) => {
                (holder.realm, &*holder.user) == (request.realm, &*request.user)
            }
            (Self::Token { realm, user, grant }, Some(shown)) => {
                (*realm, &**user, grant.nonce) == (request.realm, &*request.user, shown.nonce)
            }
            (Self::Password(_), Some(_)) | (Self::Token { .. }, None) => false,
        }
    }
}

impl Register {
    /// Enters a connection; `false` if the id is another's.
    pub(crate) fn enter(&self, id: ConnectionId, entry: Entry) -> bool {
        let mut entries = self.entries();
        if entries.contains_key(&id) {
            return false;
        }
        entries.insert(id, entry);
        true
    }

    /// The peer has answered: the connection waits for ConnectionBind from now on.
    pub(crate) fn wait(&self, id: ConnectionId) {
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.waits = true;
        }
    }

    /// Whether a connection waits for ConnectionBind.
    pub(crate) fn waits(&self, id: ConnectionId) -> bool {
        self.entries().get(&id).is_some_and(|entry| entry.waits)
    }

    /// Binds a connection that waits, once, for its owner. RFC 6062 §5.4.
    pub(crate) fn bind(&self, id: ConnectionId, request: &Signed<'_>) -> Result<Entry, Reject> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&id).filter(|entry| entry.waits);
        let entry = entry.ok_or(Reject::NoConnection)?;
        if !entry.owner.is(request) {
            return Err(Reject::WrongUser);
        }
        entry.waits = false;
        Ok(entry.clone())
    }

    /// The user and the key of a connection's allocation, if a password opened it.
    pub(crate) fn holder(&self, id: ConnectionId) -> Option<Holder> {
        match &self.entries().get(&id)?.owner {
            Owner::Password(holder) => Some(holder.clone()),
            Owner::Token { .. } => None,
        }
    }

    /// Removes a connection that ended.
    pub(crate) fn remove(&self, id: ConnectionId) {
        self.entries().remove(&id);
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    /// Removes all connections of a shard, which begins anew with none.
    pub(crate) fn forget(&self, shard: ShardId) {
        self.entries().retain(|_, entry| entry.shard != shard);
    }

    /// Each change is one call on the map, so a shard that panics leaves it whole.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
