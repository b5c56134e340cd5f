//! The partner: a server on another host, with which this one offers NAT discovery.

use std::net::SocketAddr;
use std::sync::Arc;

use relay::{Server, ShardId};

use super::World;
use super::way::Fate;
use crate::Outcome;

impl World {
    /// The first shard begins a new life with a seed of its own, in which it keeps the links to the
    /// partners. Its old state is given up.
    pub fn keep_partners(&mut self, life: u8) {
        let (config, shared) = (Arc::clone(&self.config), Arc::clone(&self.shared));
        self.routes.retain(|(shard, ..), _| *shard != 0);
        self.shards[0] = Server::new(config, shared, ShardId(0), [life; 32]);
        self.shards[0].keep_partners(self.clock.now());
        self.wake();
    }

    /// The notes of the servers to their partner since this was last asked.
    pub fn notes(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.to_partner)
    }

    /// A datagram comes to the port for partners.
    pub fn partner_writes(&mut self, from: SocketAddr, packet: &[u8]) -> Outcome {
        let now = self.clock.now();
        let verdict = Fate::from(self.shards[0].handle_partner(now, from, packet));
        let outcome = self.carry(0, verdict, None);
        self.settle(0);
        outcome
    }
}
