//! Connections that are watched: whether their clients live, read, acknowledge, and how fast they send.

use std::time::{Duration, Instant};

use super::member::State;
use super::{ConnectionId, MemberId, Rooms, Timer};
use crate::Refusal;

impl Rooms {
    pub(super) fn connection_is_due(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        match connection.state {
            State::New => self.refuse(now, id, Refusal::NotJoined),
            State::In(_) if connection.heard + DEAD <= now => self.lose(now, id),
            State::In(member) if self.is_slow(now, id, member) => {
                self.refuse(now, id, Refusal::TooSlow);
            }
            State::In(_) => {
                let Some(connection) = self.connections.get_mut(&id) else {
                    return;
                };
                if connection.writing {
                    connection.stuck.get_or_insert(now);
                }
                connection.ping = true;
                connection.deadline = (now + PING).min(connection.heard + DEAD);
                self.timers
                    .insert((connection.deadline, Timer::Connection(id)));
                self.wakes.push(id);
            }
            State::Ending(_) | State::Closing(_) | State::Closed => {}
        }
    }

    /// Whether a member does not take what it is told, however often anything comes of it: it reads
    /// nothing, or acknowledges nothing. One that is read more slowly may have acknowledged.
    fn is_slow(&self, now: Instant, id: ConnectionId, member: MemberId) -> bool {
        let (connection, member) = (self.connections.get(&id), self.members.get(&member));
        let (Some(connection), Some(member)) = (connection, member) else {
            return false;
        };
        // After a resumption, what came while the member was away is as old as that.
        let acknowledged_within = UNACKNOWLEDGED.max(self.limits.resume * 2);
        let since = member.outbox.since();
        connection.stuck.is_some_and(|since| since + STUCK <= now)
            || connection.heard <= now
                && member.outbox.bytes() > self.limits.little()
                && since.is_some_and(|since| since + acknowledged_within <= now)
    }

    /// Charges a member for what it sent. Nothing is heard of it while it is not read.
    pub(super) fn charge(
        &mut self,
        now: Instant,
        from: ConnectionId,
        member: MemberId,
        bytes: usize,
    ) -> Duration {
        let Some(member) = self.members.get_mut(&member) else {
            return Duration::ZERO;
        };
        let wait = member.paces.charge(now, &self.limits, bytes);
        self.counters.paced += u64::from(!wait.is_zero());
        if let Some(connection) = self.connections.get_mut(&from) {
            connection.heard = now + wait;
        }
        wait
    }
}

/// Between two pings.
pub(super) const PING: Duration = Duration::from_secs(3);

/// A connection is dead of which nothing came for so long: a ping was not answered for 6 seconds. Others
/// hear of that at once, well within 10 seconds.
const DEAD: Duration = Duration::from_secs(9);

/// A member is ended that acknowledges nothing for so long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// A member is ended to which nothing could be written for so long.
const STUCK: Duration = Duration::from_secs(20);
