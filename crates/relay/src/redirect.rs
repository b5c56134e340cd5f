//! Clients that are sent to another server: ALTERNATE-SERVER. RFC 8489 §10, RFC 8656 §7.2 step 11.
//!
//! Only an Allocate of who has authenticated is redirected, in a signed answer. Without a signature
//! whoever stands between could send clients to a server of their own; and the list of servers is
//! not for strangers. What a client has already stays where it is.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::Reject;
use crate::quotas::Load;

/// A rule that sends clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// To one of these, by chance. Those of the client's family count, since a client keeps the
    /// transport and may have no other family; without any it is not redirected.
    pub to: Vec<SocketAddr>,
    /// As long as this holds.
    pub when: When,
    /// Users of this realm only.
    pub realm: Option<Arc<str>>,
}

/// When a [`Redirect`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// For every new allocation.
    Always,
    /// While the server drains.
    Draining,
    /// While there are at least so many allocations, of the rule's realm or in all.
    Allocations(u32),
}

/// Where a client is to try instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Of the family that the client came with.
    pub same: SocketAddr,
    /// Of the other one.
    pub other: Option<SocketAddr>,
}

impl Redirect {
    /// Refuses a client whom this rule sends elsewhere.
    pub(crate) fn check(
        &self,
        client: SocketAddr,
        realm: &str,
        load: Load,
        chance: u32,
    ) -> Result<(), Reject> {
        let concerned = self.realm.as_deref().is_none_or(|own| own == realm);
        let holds = match self.when {
            When::Always => true,
            When::Draining => load.draining,
            When::Allocations(limit) if self.realm.is_some() => load.realm >= limit,
            When::Allocations(limit) => load.total >= limit,
        };
        if !concerned || !holds {
            return Ok(());
        }
        let is_same = |to: &SocketAddr| to.is_ipv4() == client.is_ipv4();
        let same = self.one_of(is_same, chance);
        let other = self.one_of(|to| !is_same(to), chance);
        match same {
            Some(same) => Err(Reject::TryAlternate(Alternate { same, other })),
            None => Ok(()),
        }
    }

    fn one_of(&self, wanted: impl Fn(&SocketAddr) -> bool, chance: u32) -> Option<SocketAddr> {
        let all = || self.to.iter().copied().filter(|to| wanted(to));
        let count = all().count();
        all().nth(chance as usize % count.max(1))
    }
}
