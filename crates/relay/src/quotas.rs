//! How many allocations there are, per account and in all, shared by all shards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Limits, Reject};

/// Counts allocations. Touched when one begins or ends, never by a packet.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    accounts: BTreeMap<Box<str>, u32>,
}

impl Quotas {
    /// Counts one more, if the limits allow.
    pub(crate) fn admit(&self, account: &str, limits: &Limits) -> Result<(), Reject> {
        let mut counts = self.counts();
        if limits.total.is_some_and(|limit| counts.total >= limit) {
            return Err(Reject::TotalQuota);
        }
        if let Some(limit) = limits.per_user {
            match counts.accounts.get_mut(account) {
                Some(count) if *count >= limit => return Err(Reject::UserQuota),
                Some(count) => *count += 1,
                None => {
                    counts.accounts.insert(account.into(), 1);
                }
            }
        }
        counts.total += 1;
        Ok(())
    }

    /// How many allocations there are, over all shards.
    pub fn total(&self) -> u32 {
        self.counts().total
    }

    /// Counts one less.
    pub(crate) fn release(&self, account: &str) {
        let mut counts = self.counts();
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.accounts.get_mut(account) {
            *count -= 1;
            if *count == 0 {
                counts.accounts.remove(account);
            }
        }
    }

    /// Numbers cannot be left half-changed, so a shard that panicked does not spoil them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
