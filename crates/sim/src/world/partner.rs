//! The partner: a server on another host, with which this one offers NAT discovery.

use std::net::SocketAddr;

use super::World;
use super::way::OwnedVerdict;
use crate::Outcome;

impl World {
    /// The notes of the servers to their partner since this was last asked.
    pub fn notes(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.to_partner)
    }

    /// A datagram comes to the port for partners.
    pub fn partner_writes(&mut self, from: SocketAddr, packet: &[u8]) -> Outcome {
        let now = self.clock.now();
        let verdict = OwnedVerdict::from(self.shards[0].handle_partner(now, from, packet));
        let outcome = self.carry(0, verdict, None);
        self.follow_up(0);
        outcome
    }
}
