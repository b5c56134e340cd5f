//! The first message: a place in a room, or the one that was lost.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng;
use relay::{Now, SourcePrefix};
use subtle::ConstantTimeEq;

use super::member::{Member, Place, State};
use super::outbox::Outbox;
use super::{ConnectionId, MemberId, PING, Report, Room, Rooms, Timer};
use crate::message::{Join, Message};
use crate::pace::{Limit, Pace};
use crate::told::{self, Other, Told};
use crate::{Access, Decoded, Refusal};

impl Rooms {
    pub(super) fn enter(&mut self, now: Now, from: ConnectionId, first: Decoded) {
        let Some(visitor) = self.connections.get(&from).map(|from| from.visitor) else {
            return;
        };
        let entered = match first.message {
            Message::Join(join) => self.join(now, from, visitor, join),
            Message::Resume(session) => self.resume(now.mono, from, visitor, &session, first.ack),
            Message::Signal { .. }
            | Message::Text { .. }
            | Message::Ice
            | Message::Ping
            | Message::Ack
            | Message::Leave => Err(Refusal::NotJoined),
        };
        match entered {
            Ok(()) => self.ping_from_now_on(now.mono, from),
            Err(refusal) => self.refuse(now.mono, from, refusal),
        }
    }

    fn join(
        &mut self,
        now: Now,
        from: ConnectionId,
        visitor: IpAddr,
        join: Join,
    ) -> Result<(), Refusal> {
        self.admit(now.mono, visitor)?;
        self.check_right(now, visitor, &join)?;
        let in_room = self.rooms.get(&*join.room).map(|room| room.members.len());
        if in_room.is_some_and(|members| members >= self.limits.members) {
            return Err(Refusal::RoomFull);
        }
        // The welcome must have room, and news of the room after it.
        let has_memory = self.queued <= self.limits.queued / 8 * 7;
        let is_room = has_memory && (in_room.is_some() || self.rooms.len() < self.limits.rooms);
        let prefix = SourcePrefix::of(visitor);
        let most = self.limits.per_prefix;
        if !is_room || !self.members_by_prefix.enter(prefix, most) {
            return Err(Refusal::TooMany);
        }
        let limit = self.entries_of_one();
        self.entries.charge(now.mono, visitor, limit);
        self.seat(now.mono, from, prefix, join);
        Ok(())
    }

    /// A network that comes and goes without end waits.
    fn admit(&self, now: Instant, visitor: IpAddr) -> Result<(), Refusal> {
        not_before(self.entries.wait(now, visitor, self.entries_of_one()))
    }

    /// A network that guesses a secret waits, and not even a right one is told meanwhile. Tokens and
    /// sessions cannot be guessed: those that are none, as after a restart of the server, delay nobody.
    fn check_right(&mut self, now: Now, visitor: IpAddr, join: &Join) -> Result<(), Refusal> {
        let can_guess = matches!(self.access, Access::Secret(_));
        if can_guess {
            not_before(self.failures.wait(now.mono, visitor, FAILURES))?;
        }
        self.access.check(join, now.unix).inspect_err(|_| {
            if can_guess {
                self.failures.charge(now.mono, visitor, FAILURES);
            }
        })
    }

    /// How often members of one network may come or come back, of which their whole room hears: all of
    /// them twice at once, and once in half a minute.
    fn entries_of_one(&self) -> Limit {
        let members = u32::try_from(self.limits.per_prefix)
            .unwrap_or(u32::MAX)
            .max(1);
        Limit {
            burst: members.saturating_mul(2),
            each: Duration::from_secs(30) / members,
        }
    }

    fn seat(&mut self, now: Instant, from: ConnectionId, prefix: SourcePrefix, join: Join) {
        let (name, number) = self.place_in(&join.room);
        let id = self.fresh_id();
        let mut secret = [0; 16];
        self.rng.fill_bytes(&mut secret);
        let member = Member {
            room: Arc::clone(&name),
            number,
            name: join.name,
            user: format!("{}-{:016x}", told::id(number), id.0),
            secret,
            prefix,
            place: Place::Here(from),
            outbox: Outbox::new(),
            received: 0,
            told: 0,
            messages: Pace::new(now),
            bytes: Pace::new(now),
            since: now,
        };
        let welcome = self.welcome(id, &member);
        let arrival = Told::Member {
            member: Other {
                id: told::id(number),
                name: &member.name,
                polite: false,
                away: false,
            },
        };
        let arrival = arrival.body();
        if let Some(room) = self.rooms.get_mut(&name) {
            room.members.push(id);
            self.reports.push_back(Report::Joined {
                room: room.number,
                member: told::id(number),
                user: member.user.clone(),
                members: room.members.len(),
            });
        }
        self.members.insert(id, member);
        self.counters.joined += 1;
        if let Some(connection) = self.connections.get_mut(&from) {
            connection.state = State::In(id);
        }
        // A member that is told may be ended by that: the new one has its place, and its first message,
        // before.
        self.tell(now, id, welcome);
        self.tell_room(now, &name, Some(id), &arrival);
    }

    /// The number of the next member, in a room that exists from now on.
    fn place_in(&mut self, name: &str) -> (Arc<str>, u32) {
        if let Some((name, room)) = self.rooms.get_key_value(name) {
            let (name, number) = (Arc::clone(name), room.last + 1);
            if let Some(room) = self.rooms.get_mut(&name) {
                room.last = number;
            }
            return (name, number);
        }
        self.next_room += 1;
        let name: Arc<str> = name.into();
        self.reports.push_back(Report::Opened {
            room: self.next_room,
            name: Arc::clone(&name),
        });
        let room = Room {
            number: self.next_room,
            last: 1,
            members: Vec::new(),
        };
        self.rooms.insert(Arc::clone(&name), room);
        (name, 1)
    }

    fn welcome(&self, id: MemberId, member: &Member) -> Arc<str> {
        let ice = (self.mint)(&member.user);
        let others = self.rooms.get(&member.room).into_iter();
        let others = others.flat_map(|room| &room.members);
        let others = others.filter_map(|other| self.members.get(other));
        let told = Told::Joined {
            id: told::id(member.number),
            room: &member.room,
            session: session(id, &member.secret),
            resume_within: self.limits.resume.as_secs(),
            members: others
                .map(|other| Other {
                    id: told::id(other.number),
                    name: &other.name,
                    polite: true,
                    away: matches!(other.place, Place::Away(_)),
                })
                .collect(),
            ice_servers: &ice.servers,
            ice_lifetime: ice.lifetime.as_secs(),
        };
        told.body()
    }

    fn resume(
        &mut self,
        now: Instant,
        from: ConnectionId,
        visitor: IpAddr,
        session: &str,
        ack: Option<u64>,
    ) -> Result<(), Refusal> {
        self.admit(now, visitor)?;
        let limit = self.entries_of_one();
        self.entries.charge(now, visitor, limit);
        let id = self.resumed_by(session).ok_or(Refusal::UnknownSession)?;
        let member = self.members.get_mut(&id).ok_or(Refusal::UnknownSession)?;
        let was = std::mem::replace(&mut member.place, Place::Here(from));
        let queued = member.outbox.bytes();
        member.outbox.acknowledge(ack.unwrap_or_default());
        member.outbox.rewind();
        self.queued -= queued - member.outbox.bytes();
        let (number, room) = (member.number, Arc::clone(&member.room));
        if let Some(connection) = self.connections.get_mut(&from) {
            connection.state = State::In(id);
            connection.resumed = true;
            self.wakes.push(from);
        }
        match was {
            Place::Here(old) => {
                if let Some(connection) = self.connections.get_mut(&old) {
                    connection.state = State::Ending(Refusal::Resumed);
                    self.wakes.push(old);
                }
            }
            Place::Away(until) => {
                self.timers.remove(&(until, Timer::Away(id)));
                let back = Told::Back {
                    id: told::id(number),
                };
                self.tell_room(now, &room, Some(id), &back.body());
            }
        }
        self.counters.resumed += 1;
        if let Some(room) = self.rooms.get(&room) {
            self.reports.push_back(Report::Resumed {
                room: room.number,
                member: told::id(number),
            });
        }
        Ok(())
    }

    /// The member of a session: the first half of it finds the member, the second proves the right.
    fn resumed_by(&self, session: &str) -> Option<MemberId> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(session).ok()?;
        let (id, secret) = bytes.split_first_chunk()?;
        let id = MemberId(u64::from_be_bytes(*id));
        let member = self.members.get(&id)?;
        bool::from(member.secret[..].ct_eq(secret)).then_some(id)
    }

    fn fresh_id(&mut self) -> MemberId {
        loop {
            let id = MemberId(self.rng.next_u64());
            if !self.members.contains_key(&id) {
                return id;
            }
        }
    }

    fn ping_from_now_on(&mut self, now: Instant, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            self.timers
                .remove(&(connection.deadline, Timer::Connection(id)));
            connection.deadline = now + PING;
            self.timers
                .insert((connection.deadline, Timer::Connection(id)));
        }
    }
}

fn not_before(wait: Duration) -> Result<(), Refusal> {
    if wait.is_zero() {
        Ok(())
    } else {
        Err(Refusal::TooOften(wait))
    }
}

fn session(id: MemberId, secret: &[u8; 16]) -> String {
    let bytes = [&id.0.to_be_bytes()[..], secret].concat();
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Wrong secrets of one network.
const FAILURES: Limit = Limit {
    burst: 60,
    each: Duration::from_secs(1),
};
