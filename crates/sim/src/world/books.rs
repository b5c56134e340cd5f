//! Performs effects, and checks the books afterwards.

use std::net::SocketAddr;

use relay::{ConnectionId, Destination, Effect, Outgoing, RelayId, Route, Server};
use wire::attributes::XorPeerAddress;
use wire::{Class, Message, Method};

use super::way::OwnedVerdict;
use super::{RouteKey, World};
use crate::Answer;
use crate::machine::{Mood, Talk};

impl World {
    /// Performs all effects of a shard.
    pub(super) fn follow_up(&mut self, shard: usize) {
        self.perform(shard);
        self.deliver_mail();
        self.balance();
    }

    pub(super) fn perform(&mut self, shard: usize) {
        if self.slow.contains(&shard) {
            return;
        }
        self.performing += 1;
        while let Some(effect) = self.shards[shard].poll_effect() {
            match effect {
                effect @ (Effect::OpenRelay { relay, local }
                | Effect::OpenTcpRelay { relay, local }) => {
                    if matches!(effect, Effect::OpenTcpRelay { .. }) {
                        self.connections.listeners.insert((shard, relay));
                    }
                    if !self.machine.asked_before.remove(&(shard, relay)) {
                        self.machine.log.push(((shard, relay), Talk::Asked(local)));
                    }
                    self.open(shard, relay, local);
                }
                Effect::CloseRelay { relay } => {
                    let mut routes = self.routes.iter();
                    let is_of = |((at, ..), route): (&RouteKey, &Route)| {
                        (*at, route.relay) == (shard, relay)
                    };
                    assert!(!routes.any(is_of), "channels end before their socket");
                    self.machine.close((shard, relay));
                }
                Effect::Send(Outgoing {
                    to: Destination::Answer(to),
                    contents,
                }) => {
                    let client = self.by_tuple[&to];
                    let memory = self.memory_mut(client);
                    if let Some(attempt) = connection_attempt(&contents) {
                        memory.attempts.push(attempt);
                        continue;
                    }
                    let answer = Answer::new(contents, &memory.awaits);
                    memory.inbox.push(answer);
                }
                Effect::Send(Outgoing {
                    to: Destination::Partner(_),
                    contents,
                }) => self.to_partner.push(contents),
                Effect::Send(outgoing) => {
                    let outcome = self.carry(shard, OwnedVerdict::Leaves(outgoing), None);
                    self.late.push(outcome);
                }
                Effect::Report(report) => self.reports.push(report),
                Effect::Traced(traced) => self.traced.push(*traced),
                Effect::Bind(route) => {
                    let earlier = self
                        .routes
                        .insert((shard, route.client, route.channel), route);
                    assert_eq!(earlier, None, "a number is bound once");
                }
                Effect::Unbind(route) => {
                    let bound = self.routes.remove(&(shard, route.client, route.channel));
                    assert_eq!(bound, Some(route), "what was bound is unbound");
                }
                Effect::Mail { to, mail } => self.send_mail(shard, to, mail),
                Effect::AdoptRelay { was, relay } => self.adopt(shard, was, relay),
                Effect::Connect {
                    connection,
                    local,
                    peer,
                } => self.dial(shard, connection, local, peer),
                Effect::CloseConnection { connection } => self.close_connection(shard, connection),
                Effect::Splice {
                    client,
                    connection,
                    passage,
                } => self.splice(shard, client, connection, passage),
                Effect::AdoptConnection { connection } => self.adopt_connection(shard, connection),
                Effect::FetchKey { name, deadline } => self.fetch_key(shard, name, deadline),
            }
        }
        self.performing -= 1;
    }

    pub(super) fn open(&mut self, shard: usize, relay: RelayId, local: SocketAddr) {
        if self.machine.mood == Mood::Slow {
            self.machine.pending.push_back(((shard, relay), local));
            return;
        }
        let outcome = self.machine.open((shard, relay), local);
        let answer = Talk::Answered(outcome);
        self.machine.log.push(((shard, relay), answer));
        self.shards[shard].handle_opened(self.clock.now().mono, relay, outcome);
    }

    /// Checks that each allocation has one count, and each of its relay sockets one port.
    #[track_caller]
    fn balance(&self) {
        if self.performing > 0 || !self.slow.is_empty() || self.post.is_under_way() {
            return;
        }
        let allocations = self.allocations();
        assert_eq!(
            self.shared.quotas.total() as usize,
            allocations,
            "allocations counted"
        );
        self.balance_connections();
        let channels: usize = self.shards.iter().map(Server::channels).sum();
        assert_eq!(self.routes.len(), channels, "channels bound");
        let relays: usize = self.shards.iter().map(Server::relays).sum();
        let (taken, reserved) = (self.shared.ports.taken(), self.shared.reservations.count());
        if self.machine.pending.is_empty() {
            assert_eq!(taken, relays + reserved, "ports taken");
            assert_eq!(self.machine.open_sockets(), relays, "sockets open");
        } else {
            // An allocation with a reserved second port holds that port until its socket is open.
            let most = 2 * relays + reserved;
            assert!((relays..=most).contains(&taken), "ports taken");
        }
    }
}

/// The peer that has connected, as a client is told; `None` for any other message. RFC 6062 §5.3.
fn connection_attempt(message: &[u8]) -> Option<(ConnectionId, SocketAddr)> {
    let message = Message::parse(message).ok()?;
    if (message.class(), message.method()) != (Class::Indication, Method::ConnectionAttempt) {
        return None;
    }
    let XorPeerAddress(peer) = message.get().ok()??;
    Some((message.get().ok()??, peer))
}
