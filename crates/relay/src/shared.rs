//! The state that the shards of one process share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failures::Failures;
use crate::nat_discovery::Lines;
use crate::rate::Epoch;
use crate::{Bans, Budget, Caps, Config, Ports, Quotas, Register, Reservations, Whereabouts};

/// The state that the shards of one process share, on the slow path only.
#[derive(Debug)]
pub struct Shared {
    /// Free ports.
    pub ports: Ports,
    /// How many allocations there are.
    pub quotas: Quotas,
    /// Ports kept for a second allocation.
    pub reservations: Reservations,
    /// The rest of the bytes that strangers may be sent.
    pub budget: Budget,
    /// The prefixes that are banned, and those that may be soon.
    pub bans: Bans,
    /// The failed proofs of identity.
    pub(crate) failures: Failures,
    /// The time that limits of bandwidth count from.
    pub(crate) epoch: Epoch,
    /// Where the allocations are that may move.
    pub whereabouts: Whereabouts,
    /// Connections of TCP allocations that ConnectionBind may name.
    pub connections: Register,
    /// The state that every shard needs to write to partners.
    pub(crate) lines: Lines,
    /// The users and realms that are over a cap of data. It is read where an allocation begins or its limits change.
    pub(crate) caps: Mutex<Arc<Caps>>,
}

impl Shared {
    /// For the shards that follow this configuration.
    pub fn new(config: &Config) -> Self {
        config.rules.realms.prepare();
        Self {
            ports: Ports::new(config.rules.locals(), config.ports),
            quotas: Quotas::default(),
            reservations: Reservations::default(),
            budget: Budget::new(&config.secret),
            bans: Bans::new(&config.secret),
            failures: Failures::new(&config.secret),
            epoch: Epoch::default(),
            whereabouts: Whereabouts::default(),
            connections: Register::default(),
            lines: Lines::new(&config.nat_discovery),
            caps: Mutex::default(),
        }
    }

    /// From now on new allocations follow these caps. Those that there are do so once each shard has
    /// carried out [`crate::Command::Measure`].
    pub fn cap(&self, caps: Caps) {
        *self.lock_caps() = Arc::new(caps);
    }

    pub(crate) fn caps(&self) -> Arc<Caps> {
        Arc::clone(&self.lock_caps())
    }

    /// A panic cannot leave a pointer half changed.
    fn lock_caps(&self) -> MutexGuard<'_, Arc<Caps>> {
        self.caps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the shards grant no new allocation, and serve those they have to the end. No
    /// shard has to be asked: none grants one after this has returned.
    pub fn drain(&self) {
        self.quotas.set_draining(true);
    }

    /// From now on the shards grant allocations again. A caller that ends the process once
    /// [`Shared::is_drained`] says so must not ask for this in between.
    pub fn undrain(&self) {
        self.quotas.set_draining(false);
    }

    /// Whether the shards were told to drain.
    pub fn is_draining(&self) -> bool {
        self.quotas.is_draining()
    }

    /// Whether the shards were told to drain and the last allocation has ended.
    pub fn is_drained(&self) -> bool {
        self.quotas.is_drained()
    }
}
