//! A TLS session: what a client says arrives whole and in order however it is cut; nothing that is
//! written into the stream makes the session panic or keep more than a bound.

use std::io::{Read, Write};
use std::sync::Arc;

use net::fuzzing::TlsSession;
use rustls::ClientConnection;

use crate::input::Input;
use crate::offered::{CLIENTS, NAME, OFFERED};

/// The bytes are the steps of both ends and of the network between them.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut trial = Trial::new(input.flag());
    while !input.is_empty() && !trial.is_over {
        trial.step(&mut input);
    }
    trial.conclude();
}

/// Both ends of one connection, and what is on the way.
struct Trial {
    client: ClientConnection,
    server: TlsSession,
    /// On the way to the server.
    upward: Vec<u8>,
    /// Whether somebody has written into the stream, and so everything may end.
    is_touched: bool,
    is_over: bool,
    /// The bytes that the client said, and those that were heard of it.
    said: Vec<u8>,
    heard: Vec<u8>,
    /// The bytes that the server said, and those that were heard of it.
    answered: Vec<u8>,
    learned: Vec<u8>,
}

impl Trial {
    fn new(is_old: bool) -> Self {
        let [old, new] = &*CLIENTS;
        let config = Arc::clone(if is_old { old } else { new });
        let name = NAME.try_into().expect("a name");
        Self {
            client: ClientConnection::new(config, name).expect("a configuration"),
            server: TlsSession::new(&OFFERED).expect("a configuration"),
            upward: Vec::new(),
            is_touched: false,
            is_over: false,
            said: Vec::new(),
            heard: Vec::new(),
            answered: Vec::new(),
            learned: Vec::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 | 1 => self.deliver(usize::from(input.byte())),
            2 => self.deliver(usize::from(input.number())),
            3 => self.answer_arrives(usize::from(input.number())),
            4 => self.arrive(),
            5 => {
                let length = usize::from(input.byte());
                self.say(input.bytes(length));
            }
            6 => {
                // More than one record.
                let length = usize::from(input.number()) / 2;
                self.say(&vec![0x5A; length]);
            }
            7 => {
                let length = usize::from(input.number()) / 2;
                self.answer(length);
            }
            8 => self.update_keys(),
            9 => {
                let (at, byte) = (usize::from(input.number()), input.byte());
                self.flip(at, byte);
            }
            10 => {
                let (at, length) = (usize::from(input.number()), usize::from(input.byte()));
                self.insert(at, input.bytes(length));
            }
            _ => self.drop_some(usize::from(input.number()), usize::from(input.byte())),
        }
    }

    /// The client says something: its records are on the way.
    fn say(&mut self, words: &[u8]) {
        if self.client.is_handshaking() {
            return;
        }
        if self.client.writer().write_all(words).is_ok() {
            self.said.extend_from_slice(words);
        }
        self.leave();
    }

    /// The client's bytes are on the way.
    fn leave(&mut self) {
        while self.client.wants_write() {
            (self.client.write_tls(&mut self.upward)).expect("there is room in memory");
        }
    }

    /// So many bytes of the client arrive in one piece.
    fn deliver(&mut self, most: usize) {
        self.leave();
        // A read takes no more than a record and a little.
        let length = most.min(self.upward.len()).min(MOST_READ);
        let piece: Vec<u8> = self.upward.drain(..length).collect();
        if piece.is_empty() {
            return;
        }
        let was_handshaking = self.server.is_handshaking();
        let outcome = self.server.take(&piece, &mut self.heard);
        assert!(outcome.is_ok() || self.is_touched, "{outcome:?}");
        self.is_over |= outcome.is_err() || self.server.has_ended();
        if !self.is_over && !was_handshaking {
            assert!(self.server.kept() <= MOST_KEPT, "{}", self.server.kept());
        }
        // Handshake, tickets, alerts and key updates: none of it grows with what the client sends.
        let own = self.server.unsent().saturating_sub(MOST_FLIGHT);
        assert!(own <= self.answered.len() * 2, "{own} bytes wait");
        if !self.is_touched {
            assert!(self.said.starts_with(&self.heard));
        }
    }

    /// Everything arrives, until nobody has more to say.
    fn arrive(&mut self) {
        while !self.is_over && (self.client.wants_write() || !self.upward.is_empty()) {
            self.deliver(MOST_READ);
            self.answer_arrives(usize::MAX);
        }
    }

    /// The server says something. An error is the end of a session of which something is wrong.
    fn answer(&mut self, length: usize) {
        if self.server.is_handshaking() || self.is_over {
            return;
        }
        let words = vec![0xA5; length];
        match self.server.write(&words) {
            Ok(()) => self.answered.extend_from_slice(&words),
            Err(error) => {
                assert!(self.is_touched, "{error}");
                self.is_over = true;
            }
        }
    }

    /// So many bytes of the server arrive. A client that has been lied to may say so and go.
    fn answer_arrives(&mut self, most: usize) {
        let mut piece = &self.server.sent(most)[..];
        while !piece.is_empty() {
            let taken = self.client.read_tls(&mut piece);
            let state = self.client.process_new_packets();
            let (Ok(1..), Ok(state)) = (taken, state) else {
                assert!(self.is_touched, "the client finds nothing wrong");
                break;
            };
            let mut words = vec![0; state.plaintext_bytes_to_read()];
            (self.client.reader().read_exact(&mut words)).expect("so much is there");
            self.learned.extend_from_slice(&words);
        }
        self.leave();
    }

    fn update_keys(&mut self) {
        let is_new = self.client.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        if is_new && !self.client.is_handshaking() {
            // The client may have as many updates as it likes on the way.
            let _ = self.client.refresh_traffic_keys();
        }
        self.leave();
    }

    fn flip(&mut self, at: usize, byte: u8) {
        self.leave();
        let length = self.upward.len().max(1);
        if let Some(own) = self.upward.get_mut(at % length) {
            *own ^= byte;
            self.is_touched |= byte != 0;
        }
    }

    fn insert(&mut self, at: usize, bytes: &[u8]) {
        self.leave();
        let at = at % (self.upward.len() + 1);
        self.upward.splice(at..at, bytes.iter().copied());
        self.is_touched |= !bytes.is_empty();
    }

    fn drop_some(&mut self, at: usize, length: usize) {
        self.leave();
        let at = at % (self.upward.len() + 1);
        let end = (at + length).min(self.upward.len());
        self.upward.drain(at..end);
        self.is_touched |= at < end;
    }

    /// Bytes that nobody has touched arrive whole.
    fn conclude(mut self) {
        self.arrive();
        if self.is_touched {
            // The shard ends a session whatever has become of it.
            self.server.close();
            return;
        }
        self.answer_arrives(usize::MAX);
        assert!(self.said == self.heard);
        assert!(self.answered == self.learned);
        assert_eq!(self.server.kept(), 0);
        self.client.send_close_notify();
        self.arrive();
        assert!(self.server.has_ended());
        self.server.close();
    }
}

/// The most that a stream is read at once: a record and a little.
const MOST_READ: usize = (1 << 14) + 1024;

/// The longest record of TLS 1.2 that is not whole, with its header. RFC 5246 §6.2.3.
const MOST_KEPT: usize = (1 << 14) + 2048 + 5;

/// More than a handshake with its tickets has, and alerts.
const MOST_FLIGHT: usize = 8 * 1024;
