//! How many allocations there are, per account, per realm and in all, shared by all shards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Reject;
use crate::bandwidth::Ways;
use crate::realms::{Account, Quota, RealmId};

/// Counts allocations. The counts are locked when an allocation begins or ends, never by a packet
/// of data or of a stranger.
#[derive(Debug, Default)]
pub struct Quotas {
    realms: Mutex<Realms>,
    /// Written under the lock, and read without it where a flood of strangers must not contend.
    total: AtomicU32,
    /// Whether no more are admitted. It is written under the lock, so a shard that then finds no
    /// allocation left knows that there will be none.
    draining: AtomicBool,
}

type Realms = BTreeMap<RealmId, RealmCounts>;

#[derive(Debug, Default)]
struct RealmCounts {
    total: u32,
    accounts: BTreeMap<Box<str>, Held>,
}

/// The holdings of one account.
#[derive(Debug)]
struct Held {
    /// How many allocations.
    count: u32,
    /// The part of its bandwidth that was used, where that is limited.
    ways: Option<Arc<Ways>>,
}

impl Quotas {
    /// Counts one allocation more, if the limits allow.
    pub(crate) fn admit(&self, account: Account<'_>, quota: &Quota) -> Result<(), Reject> {
        let mut realms = self.realms();
        if self.is_draining() {
            return Err(Reject::Draining);
        }
        if quota.total.is_some_and(|limit| self.total() >= limit) {
            return Err(Reject::TotalQuota);
        }
        let realm = realms.entry(account.realm).or_default();
        if quota.realm.is_some_and(|limit| realm.total >= limit) {
            return Err(Reject::RealmQuota);
        }
        let own = realm
            .accounts
            .get(account.name)
            .map_or(0, |held| held.count);
        if own >= quota.per_user {
            return Err(Reject::UserQuota);
        }
        self.count_in(realm, account.name);
        Ok(())
    }

    /// Counts an allocation that was admitted before, whatever the limits are.
    pub(crate) fn count(&self, account: Account<'_>) {
        let mut realms = self.realms();
        self.count_in(realms.entry(account.realm).or_default(), account.name);
    }

    /// Counts also without a limit, since there may be one later.
    fn count_in(&self, realm: &mut RealmCounts, name: &str) {
        match realm.accounts.get_mut(name) {
            Some(held) => held.count += 1,
            None => {
                let held = Held {
                    count: 1,
                    ways: None,
                };
                realm.accounts.insert(name.into(), held);
            }
        }
        realm.total += 1;
        self.total.store(self.total() + 1, Ordering::Relaxed);
    }

    /// The part of its bandwidth that an account with an allocation has used, for all shards.
    pub(crate) fn ways(&self, account: Account<'_>, new: impl FnOnce() -> Ways) -> Arc<Ways> {
        let mut realms = self.realms();
        let realm = realms.get_mut(&account.realm);
        match realm.and_then(|realm| realm.accounts.get_mut(account.name)) {
            Some(held) => Arc::clone(held.ways.get_or_insert_with(|| Arc::new(new()))),
            None => Arc::new(new()),
        }
    }

    /// Admits no more from now on, or admits again.
    pub(crate) fn set_draining(&self, draining: bool) {
        let _no_admission = self.realms();
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether the last allocation ended, and no more are admitted.
    pub(crate) fn is_drained(&self) -> bool {
        let _no_admission = self.realms();
        self.is_draining() && self.total() == 0
    }

    /// Whether no more are admitted.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many allocations users of a realm have.
    pub(crate) fn of_realm(&self, realm: RealmId) -> u32 {
        let realms = self.realms();
        realms.get(&realm).map_or(0, |realm| realm.total)
    }

    /// How many allocations there are, over all shards.
    pub fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts one allocation less.
    pub(crate) fn release(&self, account: Account<'_>) {
        let mut realms = self.realms();
        let left = self.total().saturating_sub(1);
        self.total.store(left, Ordering::Relaxed);
        let Some(realm) = realms.get_mut(&account.realm) else {
            return;
        };
        realm.total = realm.total.saturating_sub(1);
        if let Some(held) = realm.accounts.get_mut(account.name) {
            held.count -= 1;
            if held.count == 0 {
                realm.accounts.remove(account.name);
            }
        }
    }

    /// A panic cannot leave a number half changed, so the counts are good after one.
    fn realms(&self) -> MutexGuard<'_, Realms> {
        self.realms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
