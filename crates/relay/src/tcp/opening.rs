//! How peer data connections begin: by Connect, or by a peer. RFC 6062 §5.2, §5.3.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::Rng;
use wire::attributes::XorPeerAddress;
use wire::{Class, Method, Writer};

use super::register::{Entry, Owner};
use super::{Awaiting, PATIENCE, PeerConnection, State, Tcp};
use crate::allocation::Allocation;
use crate::request::{Outcome, Whose, report_refused};
use crate::timers::Timer;
use crate::{
    AllocationId, ConnectError, ConnectionId, DropReason, Effect, Event, Now, PeerAddr, Reject,
    RelayId, Server, ShardId,
};

impl Server {
    /// Notes a connection under a new id, and when it ends unless it gets on. `None` if the
    /// allocation is gone.
    pub(crate) fn add_connection(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: PeerAddr,
        state: State,
    ) -> Option<ConnectionId> {
        let allocation = self.allocations.get(id)?;
        let tcp = allocation.tcp.as_ref()?;
        let entry = entry(self.shard, allocation, tcp, &state);
        // 32 bits by chance: others' ids cannot be guessed, and seldom meet.
        let connection = loop {
            let connection = ConnectionId(self.rng.next_u32());
            if self.shared.connections.enter(connection, entry.clone()) {
                break connection;
            }
        };
        let deadline = now + PATIENCE;
        self.timers.arm(deadline, Timer::Connection(connection));
        self.connections.insert(connection, id);
        let added = PeerConnection {
            peer,
            state,
            deadline,
        };
        let tcp = self.allocations.get_mut(id)?.tcp.as_mut()?;
        tcp.connections.insert(connection, added);
        Some(connection)
    }

    /// The outcome of [`Effect::Connect`]. The caller keeps the socket, unread, until the next
    /// effect about it.
    pub fn handle_connected(
        &mut self,
        now: Now,
        connection: ConnectionId,
        outcome: Result<(), ConnectError>,
    ) {
        self.handle_timeout(now);
        match outcome {
            Ok(()) => self.connected(now.mono, connection),
            Err(why) => self.not_connected(now.mono, connection, why),
        }
    }

    fn connected(&mut self, now: Instant, connection: ConnectionId) {
        let deadline = now + PATIENCE;
        let Some((client, it)) = self.connection_mut(connection) else {
            // It was given up meanwhile.
            return self.effects.push(Effect::CloseConnection { connection });
        };
        let peer = it.peer.0;
        let State::Connecting(awaiting) = std::mem::replace(&mut it.state, State::Pending) else {
            return;
        };
        let earlier = std::mem::replace(&mut it.deadline, deadline);
        self.timers.disarm(earlier, Timer::Connection(connection));
        self.timers.arm(deadline, Timer::Connection(connection));
        self.shared.connections.wait(connection);
        self.counters.connected += 1;
        let Awaiting { head, key, .. } = *awaiting;
        let mut message = Vec::new();
        head.succeed(&mut message, &Outcome::Connected(connection), &key);
        self.trace_answer(client, &message);
        self.effects.answer(client, message);
        if let Some(id) = self.connections.get(&connection).copied() {
            let event = Event::granted(Method::Connect, None, Some(peer));
            self.note(now, id, &event);
        }
    }

    /// Answers a Connect with 447, and forgets it.
    pub(super) fn not_connected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        why: ConnectError,
    ) {
        let Some((id, it)) = self.remove_connection(connection) else {
            return;
        };
        let State::Connecting(awaiting) = it.state else {
            return;
        };
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let Awaiting { head, key, .. } = *awaiting;
        let reject = Reject::NotConnected(why);
        let mut message = Vec::new();
        head.fail(&mut message, &reject, None, &key);
        let (client, realm) = (allocation.client, allocation.realm);
        let user = Arc::clone(&allocation.user);
        self.trace_answer(client, &message);
        self.effects.answer(client, message);
        let whose = Whose {
            client,
            realm,
            user: Some(&user),
            proven: false,
            signed: true,
        };
        report_refused(self, now, whose, &head, &reject);
    }

    /// A peer has connected to a relayed transport address. The caller keeps the socket, unread,
    /// until the next effect about it. RFC 6062 §5.3.
    ///
    /// # Errors
    /// Why the caller is to close the connection at once.
    pub fn handle_accepted(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
    ) -> Result<ConnectionId, DropReason> {
        self.handle_timeout(now);
        let peer = self.as_clients_know(peer);
        let accepted = self.accept(now, relay, peer);
        match accepted {
            Ok(connection) => {
                self.counters.accepted += 1;
                self.announce(relay, connection, peer.0);
                let peer = peer.0;
                let connected = Event::PeerConnected { peer };
                self.note(now.mono, relay.allocation, &connected);
            }
            Err(why) => self.counters.count_drop(why),
        }
        accepted
    }

    fn accept(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
    ) -> Result<ConnectionId, DropReason> {
        let allocation = self.allocations.get(relay.allocation);
        let allocation = allocation.filter(|it| it.is_open() && it.relays.has(relay.family));
        let allocation = allocation.ok_or(DropReason::RelayGone)?;
        let tcp = allocation.tcp.as_ref().ok_or(DropReason::RelayGone)?;
        let scope = allocation.permissions.scope(peer.0.ip(), now.mono);
        let scope = scope.ok_or(DropReason::NoPeerPermission)?;
        if !self.in_scope(scope, peer.0) || self.rules.policy.judge(peer.0).is_err() {
            return Err(DropReason::PeerDenied);
        }
        if self.is_tcp_impostor(peer.0) {
            return Err(DropReason::NoRelay);
        }
        if tcp.connections.len() >= self.rules.limits.connections {
            return Err(DropReason::TooManyConnections);
        }
        let added = self.add_connection(now.mono, relay.allocation, peer, State::Pending);
        added.ok_or(DropReason::RelayGone)
    }

    /// Tells the client of a peer that has connected. RFC 6062 §5.3.
    fn announce(&mut self, relay: RelayId, connection: ConnectionId, peer: SocketAddr) {
        let transaction = self.next_transaction();
        let Some(allocation) = self.allocations.get(relay.allocation) else {
            return;
        };
        let mut message = Vec::new();
        let method = Method::ConnectionAttempt;
        Writer::new(&mut message, method, Class::Indication, transaction)
            .put(&connection)
            .put(&XorPeerAddress(peer));
        let client = allocation.client;
        self.trace_answer(client, &message);
        self.effects.answer(client, message);
    }
}

/// The facts about a connection that all shards are to know.
pub(crate) fn entry(shard: ShardId, allocation: &Allocation, tcp: &Tcp, state: &State) -> Entry {
    Entry {
        shard,
        owner: Owner::of(allocation),
        passage: tcp.passage.clone(),
        waits: matches!(state, State::Pending),
    }
}
