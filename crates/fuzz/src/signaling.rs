//! Rooms and all their members. Bytes are read as a program: connections come, join, resume, speak
//! rightly and wrongly, do not read, break; time passes.
//!
//! It holds that nothing panics; limits are kept; every text is a message; a session's numbers have no
//! gap and no repetition, whatever its connections do; nothing reaches another room; in the end no
//! trace is left.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::Now;
use serde_json::{Value, json};
use signal::{Access, ConnectionId, Frame, Ice, Limits, Message, Refusal, Rooms, Secrets};

use crate::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut play = Play::new();
    let mut input = Input::new(bytes);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        play.step(&mut input);
        play.check();
    }
    play.end();
}

struct Play {
    rooms: Rooms,
    now: Now,
    connections: Vec<Connection>,
    sessions: BTreeMap<String, Session>,
    limits: Limits,
}

struct Connection {
    id: ConnectionId,
    /// The session that it has joined or resumed.
    session: Option<String>,
    /// The session that it has asked to resume.
    asked: Option<String>,
    reads: bool,
}

#[derive(Default)]
struct Session {
    room: String,
    /// The last number that was read.
    seen: u64,
}

impl Play {
    /// Small limits, so that each is reached.
    fn new() -> Self {
        let limits = Limits {
            rooms: 2,
            members: 3,
            connections: 6,
            per_prefix: 4,
            message: 256,
            queued: 8 * 1024,
            ..Limits::default()
        };
        let mint = |user: &str| Ice {
            servers: json!([user]),
            lifetime: Duration::from_secs(60),
        };
        let rooms = Rooms::new(Access::Open, limits.clone(), Arc::new(mint), [1; 32]);
        Self {
            rooms,
            now: Now {
                mono: start(),
                unix: Duration::from_secs(1_800_000_000),
            },
            connections: Vec::new(),
            sessions: BTreeMap::new(),
            limits,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (verb, at) = (input.byte() % 16, usize::from(input.byte()));
        if verb == 0 || self.connections.is_empty() {
            return self.connect(at);
        }
        let at = at % self.connections.len();
        match verb {
            1 => {
                let length = usize::from(input.byte());
                let text = String::from_utf8_lossy(input.bytes(length)).into_owned();
                self.say(at, &text);
            }
            2 | 3 => {
                let room = input.pick(&ROOMS);
                let secret = input.pick(&["sesame", "guess"]);
                let join = json!({"type": "join", "room": room, "name": "N", "secret": secret});
                self.say(at, &join.to_string());
            }
            4..=6 => {
                let data = self.room_of(at);
                let to = input.pick(&["m1", "m2", "m3", "m4", "m9", "x"]);
                let padding = "x".repeat(usize::from(input.byte()) / 2);
                let data = json!([data, padding]);
                let said = json!({"type": "signal", "to": to, "data": data, "ack": self.seen(at)});
                self.say(at, &said.to_string());
            }
            7 => {
                let said = json!({"type": "text", "text": self.room_of(at), "ack": self.seen(at)});
                self.say(at, &said.to_string());
            }
            8 | 9 => self.resume(at, input),
            10 => {
                let connection = self.connections.remove(at);
                self.rooms.handle_closed(self.now.mono, connection.id);
            }
            11 => self.time_passes(input),
            12 => self.connections[at].reads ^= true,
            13 => {
                let refusals = [Refusal::TooLarge, Refusal::NotUtf8, Refusal::Binary];
                let refusal = input.pick(&refusals);
                self.rooms
                    .handle_refused(self.now.mono, self.connections[at].id, refusal);
            }
            14 => {
                let secrets = Access::Secret(Secrets::new([&b"sesame"[..]]));
                let access = input
                    .pick(&[Some(()), None])
                    .map_or(Access::Open, |()| secrets);
                self.rooms.follow(access, self.limits.clone());
            }
            _ => {
                let kind = input.pick(&["leave", "ice", "ping", "ack"]);
                let said = json!({"type": kind, "ack": self.seen(at)});
                self.say(at, &said.to_string());
            }
        }
        self.drain();
    }

    fn connect(&mut self, at: usize) {
        let visitor = IpAddr::V4(Ipv4Addr::new(192, 0, at as u8 % 3, 1));
        if let Ok(id) = self.rooms.open(self.now.mono, visitor) {
            self.connections.push(Connection {
                id,
                session: None,
                asked: None,
                reads: true,
            });
        }
    }

    fn say(&mut self, at: usize, text: &str) {
        let message = Message::decode(text);
        let from = self.connections[at].id;
        self.rooms
            .handle_message(self.now, from, message, text.len());
    }

    fn resume(&mut self, at: usize, input: &mut Input<'_>) {
        let which = usize::from(input.byte()) % self.sessions.len().max(1);
        let Some((session, seen)) = self.sessions.iter().nth(which) else {
            return;
        };
        let resume = json!({"type": "resume", "session": session, "ack": seen.seen});
        self.connections[at].asked = Some(session.clone());
        self.say(at, &resume.to_string());
    }

    fn time_passes(&mut self, input: &mut Input<'_>) {
        let passed = Duration::from_secs(input.pick(&[0, 1, 3, 9, 10, 29, 30, 60]));
        let end = self.now.mono + passed;
        while let Some(due) = self.rooms.poll_timeout().filter(|due| *due <= end) {
            self.now.mono = self.now.mono.max(due);
            self.rooms.handle_timeout(self.now.mono);
            self.drain();
        }
        self.now.mono = end;
    }

    fn drain(&mut self) {
        while self.rooms.poll_wake().is_some() {}
        while self.rooms.poll_report().is_some() {}
        for at in 0..self.connections.len() {
            while self.connections[at].reads
                && let Some(frame) = self.rooms.poll_frame(self.connections[at].id)
            {
                match frame {
                    Frame::Text(text) => self.read(at, &text),
                    Frame::Ping => {
                        let id = self.connections[at].id;
                        self.rooms.handle_control(self.now.mono, id, 0);
                    }
                    Frame::Close(code, _) => assert!(code >= 1000, "{code}"),
                }
            }
        }
    }

    fn read(&mut self, at: usize, text: &str) {
        let told: Value = serde_json::from_str(text).expect("a message is JSON");
        let connection = &mut self.connections[at];
        match told["type"].as_str().expect("a message has a type") {
            "joined" => {
                let field = |key: &str| told[key].as_str().map(str::to_owned);
                let session = field("session").expect("a session");
                let room = field("room").expect("a room");
                connection.session = Some(session.clone());
                self.sessions.insert(session, Session { room, seen: 0 });
            }
            "resumed" => connection.session = connection.asked.take(),
            _ => {}
        }
        let Some(session) = &connection.session else {
            assert_eq!(told["type"], "error", "a stranger hears {text}");
            return;
        };
        let session = self
            .sessions
            .get_mut(session)
            .expect("a session that was told");
        if let Some(number) = told["seq"].as_u64() {
            assert_eq!(number, session.seen + 1, "a gap or a repetition at {text}");
            session.seen = number;
        }
        for room in [&told["data"][0], &told["text"]] {
            let is_foreign = room.as_str().is_some_and(|room| room != session.room);
            let is_ours = room.as_str().is_some_and(|room| ROOMS.contains(&room));
            assert!(!(is_foreign && is_ours), "another room is heard: {text}");
        }
    }

    fn check(&self) {
        let now = self.rooms.counters();
        let limits = &self.limits;
        assert!(now.connections <= limits.connections as u64);
        assert!(now.rooms <= limits.rooms as u64);
        assert!(now.members <= (limits.rooms * limits.members) as u64);
        assert!(
            now.queued <= limits.queued as u64,
            "{} bytes wait",
            now.queued
        );
        assert_eq!(now.connections, self.connections.len() as u64);
    }

    fn end(mut self) {
        for connection in std::mem::take(&mut self.connections) {
            self.rooms.handle_closed(self.now.mono, connection.id);
        }
        self.rooms
            .handle_timeout(self.now.mono + self.limits.resume);
        let now = self.rooms.counters();
        assert_eq!(
            (now.connections, now.rooms, now.members, now.queued),
            (0, 0, 0, 0)
        );
        assert_eq!(self.rooms.poll_timeout(), None);
    }

    fn room_of(&self, at: usize) -> &str {
        let session = self.connections[at].session.as_ref();
        let session = session.and_then(|session| self.sessions.get(session));
        session.map_or("", |session| &session.room)
    }

    fn seen(&self, at: usize) -> u64 {
        let session = self.connections[at].session.as_ref();
        let session = session.and_then(|session| self.sessions.get(session));
        session.map_or(0, |session| session.seen)
    }
}

/// Any instant: only what passes from there on counts.
fn start() -> Instant {
    Instant::now()
}

const ROOMS: [&str; 3] = ["red", "green", "blue"];

/// More than a program needs, fewer than a fuzzer would waste.
const STEPS: usize = 200;
