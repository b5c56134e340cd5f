//! The state that the shards of one process share.

use crate::failures::Failures;
use crate::nat_discovery::Lines;
use crate::rate::Epoch;
use crate::{Budget, Config, Ports, Quotas, Register, Reservations, Whereabouts};

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
            failures: Failures::new(&config.secret),
            epoch: Epoch::default(),
            whereabouts: Whereabouts::default(),
            connections: Register::default(),
            lines: Lines::new(&config.nat_discovery),
        }
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
