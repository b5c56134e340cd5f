//! A key store outside the servers, for realms whose users are remote. It knows the users that every
//! world knows, or others, and answers at once, late, never or with a failure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use relay::keys::User;
use relay::{NoKey, UserName};

use super::World;
use crate::setting::{REALM, USERS, password};

/// The store, and the keys that it was asked for.
#[derive(Debug)]
pub(crate) struct KeyStore {
    /// The only realm of which it knows users.
    realm: String,
    /// Names and passwords.
    users: BTreeMap<String, String>,
    mood: Mood,
    pending: VecDeque<Fetch>,
    /// All names that it was asked for, until they are looked at.
    asked: Vec<String>,
}

impl Default for KeyStore {
    fn default() -> Self {
        let users = USERS.map(|user| (user.to_owned(), password(user)));
        Self {
            realm: REALM.to_owned(),
            users: users.into(),
            mood: Mood::Willing,
            pending: VecDeque::new(),
            asked: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Fetch {
    shard: usize,
    name: UserName,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Willing,
    Slow,
    Failing,
}

/// Events of the store.
impl World {
    /// From now on the store knows these users, by name and password, of this realm.
    pub(crate) fn store_users(&mut self, realm: &str, users: BTreeMap<String, String>) {
        (self.key_store.realm, self.key_store.users) = (realm.to_owned(), users);
    }

    /// From now on keys that are asked for wait for [`World::answer_one_key`] or
    /// [`World::answer_keys`].
    pub const fn hold_keys(&mut self) {
        self.key_store.mood = Mood::Slow;
    }

    /// From now on the store fails.
    pub const fn fail_keys(&mut self) {
        self.key_store.mood = Mood::Failing;
    }

    /// From now on the store answers at once, and first what waits.
    pub fn answer_keys(&mut self) {
        self.key_store.mood = Mood::Willing;
        while self.answer_one_key() {}
    }

    /// The key that waits longest is answered, and the others wait on. Whether there was one.
    pub fn answer_one_key(&mut self) -> bool {
        let Some(Fetch { shard, name, .. }) = self.key_store.pending.pop_front() else {
            return false;
        };
        self.answer_key(shard, &name);
        self.follow_up(shard);
        true
    }

    /// The keys that wait are never answered.
    pub fn lose_keys(&mut self) {
        self.key_store.pending.clear();
    }

    /// The users that the store was asked for, since this was last asked.
    pub fn asked_for(&mut self) -> Vec<String> {
        std::mem::take(&mut self.key_store.asked)
    }

    pub(super) fn fetch_key(&mut self, shard: usize, name: UserName, deadline: Instant) {
        let now = self.now().mono;
        let is_again =
            |fetch: &Fetch| (fetch.shard, &fetch.name) == (shard, &name) && now < fetch.deadline;
        assert!(
            !self.key_store.pending.iter().any(is_again),
            "a key is fetched once at a time"
        );
        self.key_store.asked.push(name.user.to_string());
        if self.key_store.mood == Mood::Slow {
            let fetch = Fetch {
                shard,
                name,
                deadline,
            };
            return self.key_store.pending.push_back(fetch);
        }
        self.answer_key(shard, &name);
    }

    fn answer_key(&mut self, shard: usize, name: &UserName) {
        let store = &self.key_store;
        let password = store.users.get(&*name.user);
        let outcome = match password.filter(|_| *name.realm == *store.realm) {
            _ if store.mood == Mood::Failing => Err(NoKey::Unavailable),
            Some(password) => {
                Ok(User::with_password(password).expect("the password is plain ASCII"))
            }
            None => Err(NoKey::UnknownUser),
        };
        let now = self.clock.now();
        self.shards[shard].handle_key(now, name, outcome);
    }
}
