//! Connections that end, and members that leave.

use std::sync::Arc;
use std::time::Instant;

use super::member::{Place, State};
use super::{Cause, ConnectionId, MemberId, Report, Rooms, Timer};
use crate::Refusal;
use crate::told::{self, Told};

impl Rooms {
    /// A connection is no longer there. Its member, if it has one, is away from now on.
    pub fn handle_closed(&mut self, now: Instant, id: ConnectionId) {
        self.lose(now, id);
        if let Some(connection) = self.connections.remove(&id) {
            self.connections_by_prefix.leave(connection.prefix);
            self.timers
                .remove(&(connection.deadline, Timer::Connection(id)));
        }
    }

    /// Ends a connection by a word. Its member leaves.
    pub(super) fn refuse(&mut self, now: Instant, id: ConnectionId, refusal: Refusal) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let was = connection.state;
        match was {
            State::New | State::In(_) => connection.state = State::Ending(refusal),
            State::Ending(_) | State::Closing(_) | State::Closed => return,
        }
        self.wakes.push(id);
        self.count(refusal);
        if let State::In(member) = was {
            let cause = if refusal == Refusal::Left {
                Cause::Left
            } else {
                Cause::Ended
            };
            self.leave(now, member, cause);
        }
    }

    /// The connection is dead or broken: others hear that its member is away.
    pub(super) fn lose(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let State::In(member_id) = connection.state else {
            return;
        };
        // A client that can still hear learns that it is to resume.
        connection.state = State::Closing(Refusal::NotHeard);
        self.wakes.push(id);
        let Some(member) = self.members.get_mut(&member_id) else {
            return;
        };
        let until = now + self.limits.resume;
        member.place = Place::Away(until);
        let (room, number) = (Arc::clone(&member.room), told::id(member.number));
        self.timers.insert((until, Timer::Away(member_id)));
        let away = Told::Away { id: number.clone() };
        self.tell_room(now, &room, Some(member_id), &away.body());
        if let Some(room) = self.rooms.get(&room) {
            self.reports.push_back(Report::Away {
                room: room.number,
                member: number,
            });
        }
    }

    /// Ends a membership: what waits for it is forgotten, and with the last member the room.
    pub(super) fn leave(&mut self, now: Instant, id: MemberId, cause: Cause) {
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        self.members_by_prefix.leave(member.prefix);
        self.queued -= member.outbox.bytes();
        if let Place::Away(until) = member.place {
            self.timers.remove(&(until, Timer::Away(id)));
        }
        match cause {
            Cause::Left => self.counters.left += 1,
            Cause::Gone => self.counters.gone += 1,
            Cause::Ended => self.counters.ended += 1,
        }
        let Some(room) = self.rooms.get_mut(&member.room) else {
            return;
        };
        room.members.retain(|other| *other != id);
        self.reports.push_back(Report::Left {
            room: room.number,
            member: told::id(member.number),
            user: member.user,
            cause: cause.name(),
            seconds: now.saturating_duration_since(member.since).as_secs(),
            messages: member.received,
        });
        if room.members.is_empty() {
            self.rooms.remove(&member.room);
            return;
        }
        let left = Told::Left {
            id: told::id(member.number),
            cause: cause.name(),
        };
        self.tell_room(now, &member.room, None, &left.body());
    }

    fn count(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Forbidden(_) | Refusal::BadToken(_) | Refusal::UnknownSession => {
                &mut self.counters.forbidden
            }
            Refusal::RoomFull | Refusal::TooMany => &mut self.counters.full,
            Refusal::TooOften(_) => &mut self.counters.too_often,
            Refusal::BadMessage(_)
            | Refusal::NotJoined
            | Refusal::TooLarge
            | Refusal::TooSlow
            | Refusal::Binary
            | Refusal::NotUtf8
            | Refusal::Protocol => &mut self.counters.refused,
            Refusal::Resumed | Refusal::NotHeard | Refusal::Left | Refusal::Ending => return,
        };
        *count += 1;
        self.reports.push_back(Report::Refused {
            code: refusal.code().unwrap_or("protocol"),
            reason: refusal.reason(),
        });
    }
}
