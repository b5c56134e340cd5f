//! How a peer data connection gets its other end, in this shard or in another. RFC 6062 §5.4.

use super::State;
use crate::timers::Timer;
use crate::{ConnectionId, Effect, Mail, Server, ShardId};

impl Server {
    /// Marks a connection of ours as bound in a shard; whether there is such a one that waits.
    fn note_bound(&mut self, connection: ConnectionId, by: ShardId) -> bool {
        let Some((_, it)) = self.connection_mut(connection) else {
            return false;
        };
        if !matches!(it.state, State::Pending) {
            return false;
        }
        it.state = State::Bound(by);
        let deadline = it.deadline;
        self.timers.disarm(deadline, Timer::Connection(connection));
        true
    }

    /// Claims a connection for a client of this shard, from the shard that has its allocation.
    pub(crate) fn claim(&mut self, connection: ConnectionId, from: ShardId) {
        if from == self.shard {
            self.note_bound(connection, from);
            return;
        }
        self.claimed.insert(connection, from);
        let mail = Mail::Claim { connection };
        self.effects.push(Effect::Mail { to: from, mail });
    }

    /// Another shard claims a connection of ours.
    pub(crate) fn handle_claim(&mut self, by: ShardId, connection: ConnectionId) {
        let mail = if self.note_bound(connection, by) {
            Mail::Yield { connection }
        } else {
            // It has ended meanwhile.
            Mail::Close { connection }
        };
        self.effects.push(Effect::Mail { to: by, mail });
    }

    /// The socket of a connection that this shard has claimed is here.
    pub(crate) fn handle_yield(&mut self, connection: ConnectionId) {
        // Otherwise its client is gone, and the caller drops what came with the mail.
        if self.claimed.contains_key(&connection) {
            self.effects.push(Effect::AdoptConnection { connection });
        }
    }

    /// The shard that has the allocation ends a connection that this shard has claimed.
    pub(crate) fn handle_close(&mut self, connection: ConnectionId) {
        if self.claimed.remove(&connection).is_some() {
            self.effects.push(Effect::CloseConnection { connection });
        }
    }
}
