//! How many allocations there are, per account, per realm and in all, shared by all shards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Reject;
use crate::realms::{Account, Quota, RealmId};

/// Counts allocations. Touched when one begins or ends, never by a packet.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    realms: BTreeMap<RealmId, RealmCounts>,
    /// Whether none is admitted any more. Kept with the counts, so that who sees none left knows
    /// that none will come.
    draining: bool,
}

/// How full the server is, or one realm of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) allocations: u32,
    /// Whether none is admitted any more.
    pub(crate) draining: bool,
}

#[derive(Debug, Default)]
struct RealmCounts {
    total: u32,
    accounts: BTreeMap<Box<str>, u32>,
}

impl Quotas {
    /// Counts one more, if the limits allow.
    pub(crate) fn admit(&self, account: Account<'_>, quota: &Quota) -> Result<(), Reject> {
        let mut counts = self.counts();
        if counts.draining {
            return Err(Reject::Draining);
        }
        if quota.total.is_some_and(|limit| counts.total >= limit) {
            return Err(Reject::TotalQuota);
        }
        let realm = counts.realms.entry(account.realm).or_default();
        if quota.realm.is_some_and(|limit| realm.total >= limit) {
            return Err(Reject::RealmQuota);
        }
        if let Some(limit) = quota.per_user {
            match realm.accounts.get_mut(account.name) {
                Some(count) if *count >= limit => return Err(Reject::UserQuota),
                Some(count) => *count += 1,
                None => {
                    realm.accounts.insert(account.name.into(), 1);
                }
            }
        }
        realm.total += 1;
        counts.total += 1;
        Ok(())
    }

    /// Admits no more.
    pub(crate) fn drain(&self) {
        self.counts().draining = true;
    }

    /// Whether the last allocation ended, and no other will be admitted.
    pub(crate) fn is_drained(&self) -> bool {
        let counts = self.counts();
        counts.draining && counts.total == 0
    }

    /// How full this realm is, or the server.
    pub(crate) fn load(&self, realm: Option<RealmId>) -> Load {
        let counts = self.counts();
        let of_realm = |realm| counts.realms.get(&realm).map_or(0, |realm| realm.total);
        Load {
            allocations: realm.map_or(counts.total, of_realm),
            draining: counts.draining,
        }
    }

    /// How many allocations there are, over all shards.
    pub fn total(&self) -> u32 {
        self.counts().total
    }

    /// Counts one less.
    pub(crate) fn release(&self, account: Account<'_>) {
        let mut counts = self.counts();
        counts.total = counts.total.saturating_sub(1);
        let Some(realm) = counts.realms.get_mut(&account.realm) else {
            return;
        };
        realm.total = realm.total.saturating_sub(1);
        if let Some(count) = realm.accounts.get_mut(account.name) {
            *count -= 1;
            if *count == 0 {
                realm.accounts.remove(account.name);
            }
        }
    }

    /// Numbers cannot be left half-changed, so a shard that panicked does not spoil them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
