//! How peer data connections end. RFC 6062 §5.2, §5.3, §5.5.

use std::net::SocketAddr;
use std::time::Instant;

use wire::AddressFamily;

use super::{PeerConnection, State};
use crate::allocation::Allocation;
use crate::policy::{Permit, Policy};
use crate::timers::Timer;
use crate::{
    AllocationId, ClientTuple, ConnectError, ConnectionId, Effect, Mail, PeerAddr, Server, ShardId,
};

impl Server {
    /// A connection of an allocation of this shard, and the client of that.
    pub(super) fn connection_mut(
        &mut self,
        connection: ConnectionId,
    ) -> Option<(ClientTuple, &mut PeerConnection)> {
        let id = *self.connections.get(&connection)?;
        let allocation = self.allocations.get_mut(id)?;
        let tcp = allocation.tcp.as_mut()?;
        Some((allocation.client, tcp.connections.get_mut(&connection)?))
    }

    /// Forgets a connection; its socket is not touched.
    pub(super) fn remove_connection(
        &mut self,
        connection: ConnectionId,
    ) -> Option<(AllocationId, PeerConnection)> {
        let id = self.connections.remove(&connection)?;
        self.shared.connections.remove(connection);
        let tcp = self.allocations.get_mut(id)?.tcp.as_mut()?;
        let it = tcp.connections.remove(&connection)?;
        self.timers
            .disarm(it.deadline, Timer::Connection(connection));
        Some((id, it))
    }

    /// A connection got on too slowly: the peer does not answer, or the client does not bind.
    pub(crate) fn expire_connection(&mut self, now: Instant, connection: ConnectionId) {
        let Some((_, it)) = self.connection_mut(connection) else {
            return;
        };
        match it.state {
            State::Connecting(_) => {
                self.effects.push(Effect::CloseConnection { connection });
                self.not_connected(now, connection, ConnectError::TimedOut);
            }
            State::Pending => {
                self.counters.unbound += 1;
                self.end_connection(now, connection);
            }
            State::Bound(_) => {}
        }
    }

    /// A connection that was spliced in this shard has ended, or could not be spliced.
    pub fn handle_ended(&mut self, connection: ConnectionId) {
        match self.claimed.remove(&connection) {
            Some(to) => {
                let mail = Mail::Ended { connection };
                self.effects.push(Effect::Mail { to, mail });
            }
            None => self.forget_bound(connection, self.shard),
        }
    }

    /// A connection of ours that another shard had claimed has ended there.
    pub(crate) fn forget_bound(&mut self, connection: ConnectionId, by: ShardId) {
        let it = self.connection_mut(connection);
        if it.is_some_and(|(_, it)| matches!(it.state, State::Bound(shard) if shard == by)) {
            self.remove_connection(connection);
        }
    }

    /// Ends a connection, in whatever shard its socket is. A client that waits for it hears so.
    fn end_connection(&mut self, now: Instant, connection: ConnectionId) {
        let Some((_, it)) = self.connection_mut(connection) else {
            return;
        };
        if matches!(it.state, State::Connecting(_)) {
            self.effects.push(Effect::CloseConnection { connection });
            self.not_connected(now, connection, ConnectError::GivenUp);
        } else if let Some((_, it)) = self.remove_connection(connection) {
            self.close_connection(connection, &it);
        }
    }

    fn close_connection(&mut self, connection: ConnectionId, it: &PeerConnection) {
        let effect = match it.state {
            State::Bound(to) if to != self.shard => Effect::Mail {
                to,
                mail: Mail::Close { connection },
            },
            State::Connecting(_) | State::Pending | State::Bound(_) => {
                Effect::CloseConnection { connection }
            }
        };
        self.effects.push(effect);
    }

    /// Ends all connections of an allocation that was removed from the tables.
    pub(crate) fn end_connections(&mut self, allocation: &Allocation) {
        let Some(tcp) = &allocation.tcp else {
            return;
        };
        for (connection, it) in &tcp.connections {
            self.connections.remove(connection);
            self.shared.connections.remove(*connection);
            self.timers
                .disarm(it.deadline, Timer::Connection(*connection));
            self.close_connection(*connection, it);
        }
    }

    /// Ends the connections with peers of one family. RFC 8656 §8.1.
    pub(crate) fn end_connections_of(
        &mut self,
        now: Instant,
        id: AllocationId,
        family: AddressFamily,
    ) {
        self.end_connections_with(now, id, |peer| AddressFamily::of(peer.0.ip()) == family);
    }

    /// Ends the connections with peers that the policy denies by now.
    pub(crate) fn end_denied_connections(
        &mut self,
        now: Instant,
        id: AllocationId,
        policy: &Policy,
    ) {
        self.end_connections_with(now, id, |peer| policy.judge(peer.0).is_err());
    }

    fn end_connections_with(
        &mut self,
        now: Instant,
        id: AllocationId,
        is_meant: impl Fn(PeerAddr) -> bool,
    ) {
        let tcp = self.allocations.get(id).and_then(|it| it.tcp.as_ref());
        let Some(tcp) = tcp else {
            return;
        };
        let meant = tcp.connections.iter().filter(|(_, it)| is_meant(it.peer));
        let meant: Vec<ConnectionId> = meant.map(|(connection, _)| *connection).collect();
        for connection in meant {
            self.end_connection(now, connection);
        }
    }

    /// Whether a connection comes from a relay address of ours, but from no TCP allocation: then
    /// another program of this host made it, which only an allow entry makes a peer.
    pub(super) fn is_tcp_impostor(&self, peer: SocketAddr) -> bool {
        let Some(address) = self.rules.relay_at(peer.ip()) else {
            return false;
        };
        !self.shared.ports.is_listening(address.local, peer.port())
            && self.rules.policy.judge(peer) == Ok(Permit::OwnRelay)
    }
}
