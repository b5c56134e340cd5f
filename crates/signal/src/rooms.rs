//! The rooms and whoever is in them, as a value.
//!
//! One call, then drain: after each call that changes something, the connections of
//! [`Rooms::poll_wake`] have frames to send ([`Rooms::poll_frame`]), and [`Rooms::poll_report`] says
//! what happened. [`Rooms::poll_timeout`] is when to call [`Rooms::handle_timeout`].

mod entering;
mod leaving;
mod member;
mod outbox;
mod prefixes;
mod report;
mod speaking;
mod waiting;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};
use relay::{Now, SourcePrefix};

use crate::pace::{Networks, Paces};
use crate::told::{self, Told};
use crate::{Access, Counters, Decoded, Limits, Malformed, Mint, Refusal};
use member::{Connection, Member, State};
use prefixes::Prefixes;
pub use report::Report;
use waiting::Waiting;

/// All rooms of a server.
pub struct Rooms {
    access: Access,
    limits: Limits,
    mint: Mint,
    rng: ChaCha12Rng,
    next_connection: u64,
    next_room: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    members: BTreeMap<MemberId, Member>,
    rooms: BTreeMap<Arc<str>, Room>,
    connections_by_prefix: Prefixes,
    members_by_prefix: Prefixes,
    rooms_by_prefix: Prefixes,
    /// Those that enter; and those that fail to, by network and by host.
    entries: Networks,
    failures: Networks,
    failures_of_hosts: Networks,
    timers: BTreeSet<(Instant, Timer)>,
    wakes: Vec<ConnectionId>,
    reports: VecDeque<Report>,
    counters: Counters,
    waiting: Waiting,
    is_ending: bool,
}

/// A connection, while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// A member: unlike the number in its id, which is its own only within the room, in all rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MemberId(u64);

#[derive(Debug)]
struct Room {
    /// For the log.
    number: u64,
    /// The number of the member that came last.
    last: u32,
    /// The network of the member that came first: it is a room of its share.
    opened_by: SourcePrefix,
    /// In the order in which they came.
    members: Vec<MemberId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The first message must be there, or a ping is due.
    Connection(ConnectionId),
    /// A member that is away does not come back.
    Away(MemberId),
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A ping, which every WebSocket answers.
    Ping,
    /// The last frame: its code and reason.
    Close(u16, &'static str),
}

/// There are as many connections as are allowed, in all or of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are too many connections")]
pub struct Full;

impl Rooms {
    /// No rooms. The seed must be unpredictable: sessions are drawn from it.
    pub fn new(access: Access, limits: Limits, mint: Mint, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut seeds = || std::array::from_fn(|_| rng.next_u64());
        Self {
            entries: Networks::new(seeds()),
            failures: Networks::new(seeds()),
            failures_of_hosts: Networks::new(seeds()),
            connections_by_prefix: Prefixes::new(seeds()),
            members_by_prefix: Prefixes::new(seeds()),
            rooms_by_prefix: Prefixes::new(seeds()),
            waiting: Waiting::new(seeds(), seeds()),
            access,
            limits,
            mint,
            rng,
            next_connection: 0,
            next_room: 0,
            connections: BTreeMap::new(),
            members: BTreeMap::new(),
            rooms: BTreeMap::new(),
            timers: BTreeSet::new(),
            wakes: Vec::new(),
            reports: VecDeque::new(),
            counters: Counters::default(),
            is_ending: false,
        }
    }

    /// A connection is about to be there. The caller that gets a number calls [`Rooms::handle_closed`] with it.
    pub fn open(&mut self, now: Instant, visitor: IpAddr) -> Result<ConnectionId, Full> {
        let prefix = SourcePrefix::of(visitor);
        let is_room = self.connections.len() < self.limits.connections && !self.is_ending;
        let most = self.limits.per_prefix;
        if !is_room || !self.connections_by_prefix.enter(prefix, most) {
            self.counters.connections_refused += 1;
            return Err(Full);
        }
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        let deadline = now + FIRST_MESSAGE;
        let connection = Connection {
            visitor,
            prefix,
            state: State::New,
            heard: now,
            deadline,
            ping: false,
            pong: false,
            resumed: false,
            paces: Paces::new(now),
            writing: false,
            stuck: None,
        };
        self.connections.insert(id, connection);
        self.timers.insert((deadline, Timer::Connection(id)));
        Ok(id)
    }

    /// A text of so many bytes came, whether it is a message or not. The next one is not to be read
    /// before the time that is returned has passed.
    pub fn handle_message(
        &mut self,
        now: Now,
        from: ConnectionId,
        message: Result<Decoded, Malformed>,
        bytes: usize,
    ) -> Duration {
        let Some(connection) = self.connections.get_mut(&from) else {
            return Duration::ZERO;
        };
        connection.heard = now.mono;
        match (connection.state, message) {
            (State::New, Ok(decoded)) => self.enter(now, from, decoded),
            (State::In(member), Ok(decoded)) => {
                let wait = self.charge(now.mono, from, member, bytes);
                self.speak(now.mono, from, member, decoded);
                self.settle(now.mono);
                return wait;
            }
            (State::New | State::In(_), Err(Malformed(sentence))) => {
                self.refuse(now.mono, from, Refusal::BadMessage(sentence));
            }
            (State::Ending(_) | State::Closing(_) | State::Closed, _) => {}
        }
        self.settle(now.mono);
        Duration::ZERO
    }

    /// A ping or a pong came. The next frame is not to be read before the time that is returned has
    /// passed.
    pub fn handle_control(&mut self, now: Instant, from: ConnectionId, bytes: usize) -> Duration {
        let Some(connection) = self.connections.get_mut(&from) else {
            return Duration::ZERO;
        };
        connection.heard = now;
        match connection.state {
            State::In(member) => self.charge(now, from, member, bytes),
            State::New | State::Ending(_) | State::Closing(_) | State::Closed => {
                let wait = connection.paces.charge(now, &self.limits, bytes);
                self.counters.paced += u64::from(!wait.is_zero());
                wait
            }
        }
    }

    /// Something came that ends the connection.
    pub fn handle_refused(&mut self, now: Instant, from: ConnectionId, refusal: Refusal) {
        self.refuse(now, from, refusal);
        self.settle(now);
    }

    /// Pings, and ends what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, timer)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Connection(id) => self.connection_is_due(now, id),
                Timer::Away(id) => self.leave(now, id, Cause::Gone),
            }
        }
        self.settle(now);
    }

    /// Takes other rules. Members stay, also those that could not enter by the new ones.
    pub fn follow(&mut self, access: Access, limits: Limits) {
        self.access = access;
        self.limits = limits;
    }

    /// Ends all connections, and takes no new one.
    pub fn end(&mut self, now: Instant) {
        self.is_ending = true;
        let all: Vec<_> = self.connections.keys().copied().collect();
        for connection in all {
            self.refuse(now, connection, Refusal::Ending);
        }
    }

    /// A connection that has frames to send.
    pub fn poll_wake(&mut self) -> Option<ConnectionId> {
        self.wakes.pop()
    }

    /// The next frame of a connection; called again only after the last one was written.
    pub fn poll_frame(&mut self, id: ConnectionId) -> Option<Frame> {
        let frame = self.next_frame(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.writing = frame.is_some();
            connection.stuck = None;
        }
        frame
    }

    fn next_frame(&mut self, id: ConnectionId) -> Option<Frame> {
        let connection = self.connections.get_mut(&id)?;
        match connection.state {
            State::New | State::Closed => None,
            State::In(member) => self.frame_of(id, member),
            State::Ending(refusal) => {
                connection.state = State::Closing(refusal);
                match Told::refusal(refusal) {
                    Some(text) => Some(Frame::Text(text)),
                    None => self.next_frame(id),
                }
            }
            State::Closing(refusal) => {
                connection.state = State::Closed;
                Some(Frame::Close(refusal.close(), refusal.sentence()))
            }
        }
    }

    /// Whether nothing more is taken from a connection: only what it is told at the end is left.
    pub fn is_over(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_none_or(|connection| match connection.state {
            State::New | State::In(_) => false,
            State::Ending(_) | State::Closing(_) | State::Closed => true,
        })
    }

    /// The events since the last call.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// When to call [`Rooms::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How often each thing happened, and how much there is now.
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.len() as u64,
            rooms: self.rooms.len() as u64,
            members: self.members.len() as u64,
            queued: self.waiting.all() as u64,
            ..self.counters
        }
    }

    /// Counts a page that was not let in.
    pub const fn count_origin_refused(&mut self) {
        self.counters.origins_refused += 1;
    }

    fn frame_of(&mut self, id: ConnectionId, member: MemberId) -> Option<Frame> {
        let connection = self.connections.get_mut(&id)?;
        let member = self.members.get_mut(&member)?;
        if std::mem::take(&mut connection.ping) {
            return Some(Frame::Ping);
        }
        let received = member.received;
        let passing = if std::mem::take(&mut connection.resumed) {
            told::passing(&Told::Resumed, received)
        } else if let Some((seq, body)) = member.outbox.pop_unsent() {
            told::numbered(&body, seq, received)
        } else if std::mem::take(&mut connection.pong) {
            told::passing(&Told::Pong, received)
        } else if received - member.told >= UNTOLD {
            told::passing(&Told::Ack, received)
        } else {
            return None;
        };
        member.told = received;
        Some(Frame::Text(passing))
    }
}

/// Why a member leaves its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It said so.
    Left,
    /// It did not come back.
    Gone,
    /// The server ended its connection.
    Ended,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Gone => "gone",
            Self::Ended => "ended",
        }
    }
}

/// How long a connection may say nothing at first.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// Messages of a client after which it is told how many were received, if nothing else is sent.
const UNTOLD: u64 = 32;
