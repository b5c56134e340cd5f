//! Caps of data: users and realms that have used up what they may in a month. The operator's side
//! counts, and says here who is over; a server refuses new allocations by it, and limits bandwidth.
//!
//! An allocation that there is lives on, and is refreshed: a call is not cut off in the middle.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use crate::allocation::Allocation;
use crate::realms::Account;
use crate::{AllocationId, Answer, Places, Reject, Server};

/// The rules for users and realms that are over a cap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    realms: BTreeMap<Arc<str>, RealmCaps>,
}

/// The rules in one realm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RealmCaps {
    /// For each of its users.
    everyone: Capped,
    /// For single users, by account.
    users: BTreeMap<Arc<str>, Capped>,
}

/// The rule for a user or a realm that is over a cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capped {
    /// Whether no new allocation is granted.
    pub is_refused: bool,
    /// How fast data of the user may pass each way, in bytes per second, where other limits are not
    /// lower; `None` is as fast as those allow.
    pub rate: Option<NonZeroU64>,
}

impl Capped {
    /// Both hold.
    fn and(self, other: Self) -> Self {
        Self {
            is_refused: self.is_refused || other.is_refused,
            rate: slower(self.rate, other.rate),
        }
    }
}

impl Caps {
    /// This holds as well for a user of a realm, by the account: the name without realm and expiry. Without
    /// a user it holds for each user of the realm.
    pub fn add(&mut self, realm: &Arc<str>, user: Option<&Arc<str>>, capped: Capped) {
        let realm = self.realms.entry(Arc::clone(realm)).or_default();
        let place = match user {
            Some(user) => realm.users.entry(Arc::clone(user)).or_default(),
            None => &mut realm.everyone,
        };
        *place = place.and(capped);
    }

    fn of(&self, realm: &str, user: &str) -> Capped {
        let Some(realm) = self.realms.get(realm) else {
            return Capped::default();
        };
        let own = realm.users.get(user).copied().unwrap_or_default();
        own.and(realm.everyone)
    }
}

impl Server {
    /// The rule of the caps for an account.
    pub(crate) fn capped(&self, account: Account<'_>) -> Capped {
        let realm = self.rules.realms.name(account.realm);
        self.shared.caps().of(realm, account.name)
    }

    /// Refuses a new allocation of an account that is over a cap.
    pub(crate) fn check_cap(&self, account: Account<'_>) -> Result<(), Reject> {
        if self.capped(account).is_refused {
            return Err(Reject::DataCap);
        }
        Ok(())
    }

    /// Puts the allocations at these places under the bandwidth of the caps, as they are now. Others
    /// than those concerned are not touched.
    pub(crate) fn measure_capped(&mut self, now: Instant, places: Places) -> Answer {
        let Places { from, count } = places;
        let end = from.saturating_add(count);
        let caps = self.shared.caps();
        let is_other = |it: &Allocation| {
            let realm = self.rules.realms.name(it.realm);
            caps.of(realm, &it.account).rate != it.capped_rate()
        };
        let ids = self.allocations.ids_at(from..end);
        let others = ids.filter(|id| self.allocations.get(*id).is_some_and(is_other));
        for id in others.collect::<Vec<AllocationId>>() {
            self.measure(now, id);
        }
        Answer::Measured((end < self.allocations.places()).then_some(end))
    }
}

/// The lower of two limits.
pub(crate) fn slower(one: Option<NonZeroU64>, other: Option<NonZeroU64>) -> Option<NonZeroU64> {
    one.into_iter().chain(other).min()
}
