//! `[clients]`: who is served.

use std::num::NonZeroU32;
use std::time::Duration;

use relay::{BanRule, Networks};

/// The networks of clients, and when one is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    /// These only, unless there are none.
    pub(crate) allow: Networks,
    /// None of these.
    pub(crate) deny: Networks,
    /// After so many failures a network is banned.
    pub(crate) ban_after: Option<NonZeroU32>,
    /// The time in which they have to come.
    pub(crate) ban_within: Duration,
    /// How long a ban lasts.
    pub(crate) ban_for: Duration,
}

impl Clients {
    /// The same as the relay takes it.
    pub(crate) fn rules(&self) -> relay::Clients {
        relay::Clients {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            ban: self.ban_after.map(|after| BanRule {
                after,
                within: self.ban_within,
                lasts: self.ban_for,
            }),
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            allow: Networks::default(),
            deny: Networks::default(),
            ban_after: None,
            ban_within: Duration::from_secs(600),
            ban_for: Duration::from_secs(3600),
        }
    }
}
