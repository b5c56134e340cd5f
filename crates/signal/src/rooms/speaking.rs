//! Messages of members.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::member::Place;
use super::outbox::cost;
use super::{ConnectionId, MemberId, Rooms, UNTOLD};
use crate::message::Message;
use crate::told::{self, Told};
use crate::{Decoded, Refusal};

impl Rooms {
    pub(super) fn speak(&mut self, now: Instant, from: ConnectionId, id: MemberId, said: Decoded) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if let Some(ack) = said.ack {
            let queued = member.outbox.bytes();
            member.outbox.acknowledge(ack);
            let taken = queued - member.outbox.bytes();
            self.waiting.take(member.prefix, member.place, taken);
        }
        match said.message {
            Message::Join(_) | Message::Resume(_) => {
                self.fail(
                    now,
                    id,
                    "already-joined",
                    "this connection has a place in a room",
                    None,
                );
                return;
            }
            Message::Ping => {
                if let Some(connection) = self.connections.get_mut(&from) {
                    connection.pong = true;
                    self.wakes.push(from);
                }
                return;
            }
            Message::Ack => return,
            Message::Leave => return self.refuse(now, from, Refusal::Left),
            Message::Signal { .. } | Message::Text { .. } | Message::Ice => {}
        }
        member.received += 1;
        if member.received - member.told >= UNTOLD {
            self.wakes.push(from);
        }
        self.counters.messages += 1;
        match said.message {
            Message::Signal { to, data } => self.signal(now, id, &to, &data),
            Message::Text { to, text } => self.text(now, id, to.as_deref(), &text),
            Message::Ice => self.renew(now, id),
            Message::Join(_)
            | Message::Resume(_)
            | Message::Ping
            | Message::Ack
            | Message::Leave => {}
        }
    }

    fn signal(&mut self, now: Instant, id: MemberId, to: &str, data: &RawValue) {
        let Some(from) = self.members.get(&id) else {
            return;
        };
        let told = Told::Signal {
            from: told::id(from.number),
            data,
        };
        let body = told.body();
        self.deliver(now, id, to, body);
    }

    fn text(&mut self, now: Instant, id: MemberId, to: Option<&str>, text: &str) {
        let Some(from) = self.members.get(&id) else {
            return;
        };
        let told = Told::Text {
            from: told::id(from.number),
            text,
            all: to.is_none(),
        };
        let body = told.body();
        let Some(to) = to else {
            let others = self.others(&Arc::clone(&from.room), Some(id));
            for other in others {
                self.pass(now, id, other, Arc::clone(&body));
            }
            return;
        };
        self.deliver(now, id, to, body);
    }

    /// Passes a message to the member that another one of its room names.
    fn deliver(&mut self, now: Instant, from: MemberId, to: &str, body: Arc<str>) {
        match self.neighbour(from, to) {
            Some(to) => self.pass(now, from, to, body),
            None => {
                let to = to.chars().take(LONGEST_ID).collect::<String>();
                let message = "there is no such other member in this room";
                self.fail(now, from, "no-such-member", message, Some(&to));
            }
        }
    }

    /// Another member of the same room.
    fn neighbour(&self, from: MemberId, to: &str) -> Option<MemberId> {
        let number = told::number(to)?;
        let room = self.rooms.get(&self.members.get(&from)?.room)?;
        let mut others = room.members.iter().filter(|other| **other != from);
        let is_meant = |other: &&MemberId| {
            let member = self.members.get(other);
            member.is_some_and(|member| member.number == number)
        };
        others.find(is_meant).copied()
    }

    /// Keeps a message for a member, as far as there is room: a share of its own for each sender, so
    /// that none of them can crowd out the others, and for no member more than a quarter of what its
    /// network has free, so that members that take nothing leave room for the rest.
    fn pass(&mut self, now: Instant, from: MemberId, to: MemberId, body: Arc<str>) {
        let number = self.members.get(&from).map(|from| from.number);
        let (Some(number), Some(member)) = (number, self.members.get_mut(&to)) else {
            return;
        };
        let cost = cost(&body);
        let share = self.limits.queued_of_one();
        let free = self.waiting.free(share, member.prefix, member.place);
        let has_room = member.outbox.bytes_of(number) + cost <= self.limits.share()
            && member.outbox.bytes() + cost <= free / 4;
        if has_room {
            member.outbox.push(now, body, Some(number));
            self.waiting.add(member.prefix, member.place, cost);
            self.wake(to);
            return;
        }
        let to = told::id(member.number);
        self.counters.not_delivered += 1;
        let message = "the member has not taken your earlier messages: this one is not kept";
        self.fail(now, from, "not-delivered", message, Some(&to));
    }

    fn renew(&mut self, now: Instant, id: MemberId) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        let ice = (self.mint)(&member.user);
        let told = Told::Ice {
            ice_servers: &ice.servers,
            ice_lifetime: ice.lifetime.as_secs(),
        };
        self.tell(now, id, told.body());
    }

    fn fail(
        &mut self,
        now: Instant,
        id: MemberId,
        code: &'static str,
        message: &str,
        to: Option<&str>,
    ) {
        let told = Told::Error {
            code,
            message,
            to,
            retry: None,
        };
        self.tell(now, id, told.body());
    }

    /// Tells all members of a room but one.
    pub(super) fn tell_room(
        &mut self,
        now: Instant,
        room: &str,
        but: Option<MemberId>,
        body: &Arc<str>,
    ) {
        for other in self.others(room, but) {
            self.tell(now, other, Arc::clone(body));
        }
    }

    /// Tells a member something of its own or of its room. One that has as much waiting as all others
    /// could send it has neither read nor acknowledged for long; as it would miss something, it is ended.
    pub(super) fn tell(&mut self, now: Instant, id: MemberId, body: Arc<str>) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let cost = cost(&body);
        let own = member.outbox.bytes() + cost;
        if own > self.limits.share() * self.limits.members.max(2) {
            return self.end_slow(now, id);
        }
        member.outbox.push(now, body, None);
        self.waiting.add(member.prefix, member.place, cost);
        self.wake(id);
    }

    fn wake(&mut self, id: MemberId) {
        if let Some(Place::Here(connection)) = self.members.get(&id).map(|member| member.place) {
            self.wakes.push(connection);
        }
    }

    fn others(&self, room: &str, but: Option<MemberId>) -> Vec<MemberId> {
        let members = self.rooms.get(room).into_iter();
        let members = members.flat_map(|room| room.members.iter().copied());
        members.filter(|member| Some(*member) != but).collect()
    }
}

/// As much as is said back of an id that nobody has.
const LONGEST_ID: usize = 16;
