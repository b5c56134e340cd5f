//! Rooms with clients in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use relay::Now;
use serde_json::{Value, json};
use signal::{Access, ConnectionId, Frame, Ice, Limits, Message, Refusal, Report, Rooms};

/// Rooms, the time, and what clients heard.
pub(crate) struct World {
    pub(crate) rooms: Rooms,
    now: Now,
    heard: BTreeMap<ConnectionId, Vec<Value>>,
    closed: BTreeMap<ConnectionId, u16>,
    /// Those that answer no ping.
    silent: BTreeSet<ConnectionId>,
    /// Those that read nothing, and whether a frame is being written to them.
    blocked: BTreeMap<ConnectionId, bool>,
    pub(crate) reports: Vec<Report>,
}

/// A client's connection.
pub(crate) type Peer = ConnectionId;

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Access::Open, |_| ())
    }

    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(Access::Open, change)
    }

    pub(crate) fn with(access: Access, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let minted = AtomicU64::new(0);
        let mint = move |user: &str| Ice {
            servers: json!([{"username": user, "credential": minted.fetch_add(1, Ordering::Relaxed)}]),
            lifetime: Duration::from_secs(3600),
        };
        let now = Now {
            mono: Instant::now(),
            unix: Duration::from_secs(1_800_000_000),
        };
        Self {
            rooms: Rooms::new(access, limits, Arc::new(mint), [7; 32]),
            now,
            heard: BTreeMap::new(),
            closed: BTreeMap::new(),
            silent: BTreeSet::new(),
            blocked: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self) -> Peer {
        self.connect_from("192.0.2.1").expect("there is room")
    }

    pub(crate) fn connect_from(&mut self, ip: &str) -> Option<Peer> {
        let ip: IpAddr = ip.parse().unwrap();
        let peer = self.rooms.open(self.now.mono, ip).ok();
        self.drain();
        peer
    }

    /// Connects and joins; what was heard is forgotten.
    pub(crate) fn join(&mut self, room: &str) -> Peer {
        self.join_from("192.0.2.1", room)
    }

    pub(crate) fn join_from(&mut self, ip: &str, room: &str) -> Peer {
        let peer = self.connect_from(ip).expect("there is room");
        self.say(peer, json!({"type": "join", "room": room, "name": "N"}));
        assert_eq!(self.hear(peer)[0]["type"], "joined");
        peer
    }

    /// Two members of one room, m1 and m2.
    pub(crate) fn pair(&mut self) -> (Peer, Peer) {
        let (one, other) = (self.join("room"), self.join("room"));
        self.hear(one);
        (one, other)
    }

    /// Sends a message; returns how long the client is not read after it.
    pub(crate) fn say(&mut self, peer: Peer, message: Value) -> Duration {
        self.say_text(peer, &message.to_string())
    }

    pub(crate) fn say_text(&mut self, peer: Peer, text: &str) -> Duration {
        let message = Message::decode(text);
        let wait = self
            .rooms
            .handle_message(self.now, peer, message, text.len());
        self.drain();
        wait
    }

    pub(crate) fn signal(&mut self, peer: Peer, to: &str, data: Value) -> Duration {
        self.say(peer, json!({"type": "signal", "to": to, "data": data}))
    }

    /// Something came that is no message.
    pub(crate) fn refused(&mut self, peer: Peer, refusal: Refusal) {
        self.rooms.handle_refused(self.now.mono, peer, refusal);
        self.drain();
    }

    /// The connection breaks.
    pub(crate) fn break_off(&mut self, peer: Peer) {
        self.rooms.handle_closed(self.now.mono, peer);
        self.drain();
    }

    /// From now on it answers no ping.
    pub(crate) fn silence(&mut self, peer: Peer) {
        self.silent.insert(peer);
    }

    /// From now on it reads nothing.
    pub(crate) fn block(&mut self, peer: Peer) {
        self.blocked.insert(peer, false);
    }

    /// It sends a ping; returns how long it is not read after it.
    pub(crate) fn ping(&mut self, peer: Peer) -> Duration {
        let wait = self.rooms.handle_control(self.now.mono, peer, 125);
        self.drain();
        wait
    }

    pub(crate) fn end(&mut self) {
        self.rooms.end(self.now.mono);
        self.drain();
    }

    /// A second connection with the session of a `joined`, and the last `seq` received.
    pub(crate) fn resume(&mut self, session: &Value, ack: u64) -> Peer {
        let peer = self.connect();
        self.say(
            peer,
            json!({"type": "resume", "session": session, "ack": ack}),
        );
        peer
    }

    /// The messages that a client has heard since the last call.
    pub(crate) fn hear(&mut self, peer: Peer) -> Vec<Value> {
        self.heard.remove(&peer).unwrap_or_default()
    }

    /// The types of what it has heard.
    pub(crate) fn types(&mut self, peer: Peer) -> Vec<String> {
        let heard = self.hear(peer);
        heard.iter().map(|told| text(&told["type"])).collect()
    }

    /// The only thing that it has heard.
    pub(crate) fn hear_one(&mut self, peer: Peer) -> Value {
        let mut heard = self.hear(peer);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    /// The code of the error that it has heard, and that of the close frame.
    pub(crate) fn fate(&mut self, peer: Peer) -> (Option<String>, Option<u16>) {
        let heard = self.hear(peer);
        let mut errors = heard.iter().filter(|told| told["type"] == "error");
        let code = errors.next_back().map(|error| text(&error["code"]));
        (code, self.closed.get(&peer).copied())
    }

    /// Time passes; pings are answered at once.
    pub(crate) fn advance(&mut self, seconds: u64) {
        let end = self.now.mono + Duration::from_secs(seconds);
        while let Some(due) = self.rooms.poll_timeout().filter(|due| *due <= end) {
            self.pass_until(due.max(self.now.mono));
            self.rooms.handle_timeout(self.now.mono);
            self.drain();
        }
        self.pass_until(end);
    }

    /// Whether nothing is left of anybody.
    pub(crate) fn is_empty(&self) -> bool {
        let now = self.rooms.counters();
        (now.connections, now.rooms, now.members, now.queued) == (0, 0, 0, 0)
            && self.rooms.poll_timeout().is_none()
    }

    fn pass_until(&mut self, then: Instant) {
        self.now.unix += then - self.now.mono;
        self.now.mono = then;
    }

    fn drain(&mut self) {
        while let Some(peer) = self.rooms.poll_wake() {
            if let Some(is_writing) = self.blocked.get_mut(&peer) {
                *is_writing = *is_writing || self.rooms.poll_frame(peer).is_some();
                continue;
            }
            while let Some(frame) = self.rooms.poll_frame(peer) {
                match frame {
                    Frame::Text(text) => {
                        let told = serde_json::from_str(&text).unwrap();
                        self.heard.entry(peer).or_default().push(told);
                    }
                    Frame::Ping if self.silent.contains(&peer) => {}
                    Frame::Ping => {
                        self.rooms.handle_control(self.now.mono, peer, 0);
                    }
                    Frame::Close(code, reason) => {
                        assert!(reason.len() <= 123, "longer than a close frame: {reason}");
                        self.closed.insert(peer, code);
                    }
                }
            }
        }
        self.reports
            .extend(std::iter::from_fn(|| self.rooms.poll_report()));
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
