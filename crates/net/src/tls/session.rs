//! One client's TLS session: the handshake, and bytes in and out.
//!
//! The engine is rustls without its buffers. Records are decrypted where the shard's thread has read
//! them, so that a session keeps only what is half there: a record that has come in part, and bytes
//! that the kernel has not taken yet.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{InvalidMessage, ServerConfig};
use tokio::net::TcpStream;

/// The room in which the sessions of a thread encrypt and decrypt, one after the other.
#[derive(Debug)]
pub(crate) struct Room {
    /// Records as they came.
    input: RefCell<Vec<u8>>,
    /// Frames as they are encrypted.
    plain: RefCell<Vec<u8>>,
    /// Records as they leave.
    output: RefCell<Vec<u8>>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            input: RefCell::default(),
            plain: RefCell::default(),
            output: RefCell::default(),
        }
    }
}

/// A session whose handshake is done.
pub(crate) struct TlsSession {
    stream: TcpStream,
    room: Rc<Room>,
    /// Records that came and were not counted yet.
    records: Cell<usize>,
    state: RefCell<State>,
}

/// A session whose handshake goes on.
pub(crate) struct Handshake(TlsSession);

struct State {
    engine: UnbufferedServerConnection,
    /// The beginning of records whose end has not come.
    partial: Vec<u8>,
    /// What was decrypted and not taken yet.
    plain: BytesMut,
    /// Records that the kernel has not taken yet.
    unsent: BytesMut,
    /// Whether the client has said that it sends no more.
    has_ended: bool,
}

impl Handshake {
    /// # Errors
    /// If the configuration is of no use, which it was seen not to be.
    pub(crate) fn new(
        stream: TcpStream,
        config: Arc<ServerConfig>,
        room: Rc<Room>,
    ) -> Result<Self, rustls::Error> {
        let state = State {
            engine: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            plain: BytesMut::new(),
            unsent: BytesMut::new(),
            has_ended: false,
        };
        Ok(Self(TlsSession {
            stream,
            room,
            records: Cell::new(0),
            state: RefCell::new(state),
        }))
    }

    /// Takes bytes of the client, and sends what answers them as far as the kernel takes it.
    ///
    /// # Errors
    /// What is wrong with them. The client is told by an alert. RFC 8446 §6.2.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), rustls::Error> {
        let Self(TlsSession {
            stream,
            room,
            state,
            ..
        }) = self;
        let state = state.get_mut();
        let mut input = room.input.borrow_mut();
        let kept = state.fill(&mut input, bytes.len());
        let input = &mut input[..kept + bytes.len()];
        input[kept..].copy_from_slice(bytes);
        let outcome = state.process(input, &mut []);
        // A client that is gone is seen to be when it is read.
        let _ = state.flush(stream);
        outcome.map(|_| ())
    }

    /// Whether more must come from the client.
    pub(crate) fn is_going_on(&self) -> bool {
        let state = self.0.state.borrow();
        state.engine.is_handshaking()
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.0.stream
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.state.get_mut().flush(&self.0.stream)
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.0.has_unsent()
    }

    /// The session, once the handshake is done.
    pub(crate) fn done(self) -> TlsSession {
        self.0
    }
}

impl TlsSession {
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether bytes of the client can be read without waiting for the network.
    pub(crate) fn has_plain(&self) -> bool {
        !self.state.borrow().plain.is_empty()
    }

    /// Whether records wait for the kernel to take them.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.state.borrow().unsent.is_empty()
    }

    /// How many records came since the last time, whole or in part.
    pub(crate) fn take_records(&self) -> usize {
        self.records.take()
    }

    /// Reads bytes that are there, without waiting; 0 is the end of the stream.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`], the network's, or [`ErrorKind::InvalidData`] for what is no TLS.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.plain.is_empty() && !state.has_ended {
            let mut input = self.room.input.borrow_mut();
            let most = buffer.len().min(PIECE);
            let kept = state.fill(&mut input, most);
            let read = self.stream.try_read(&mut input[kept..kept + most])?;
            if read == 0 {
                return Ok(0);
            }
            let input = &mut input[..kept + read];
            self.records.set(self.records.get() + count(input));
            let outcome = state.process(input, buffer);
            // Alerts and key updates; a client that is gone is seen to be when it is read.
            let _ = state.flush(&self.stream);
            let length = outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if length > 0 {
                return Ok(length);
            }
        }
        match state.plain.len().min(buffer.len()) {
            0 if state.has_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            length => {
                state.plain.copy_to_slice(&mut buffer[..length]);
                if state.plain.is_empty() {
                    // Most clients need it only while they allocate.
                    state.plain = BytesMut::new();
                }
                Ok(length)
            }
        }
    }

    /// Sends parts as one record, as many of them as fit; a longer one is alone. Returns how many
    /// bytes were taken, which are the session's to send from then on.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] while an earlier record waits, or the network's.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        state.flush(&self.stream)?;
        if !state.unsent.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut plain = self.room.plain.borrow_mut();
        plain.clear();
        for part in parts {
            if !plain.is_empty() && plain.len() + part.len() > RECORD {
                break;
            }
            plain.extend_from_slice(part);
        }
        let mut output = self.room.output.borrow_mut();
        let room = plain.len() + (plain.len() / RECORD + 1) * OVERHEAD;
        if output.len() < room {
            output.resize(room, 0);
        }
        let length = state.encrypt(&plain, &mut output)?;
        let sent = if state.unsent.is_empty() {
            match self.stream.try_write(&output[..length]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            }
        } else {
            // A key update goes first.
            0
        };
        state.unsent.extend_from_slice(&output[sent..length]);
        Ok(plain.len())
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.state.borrow_mut().flush(&self.stream)
    }

    /// Says that nothing more will be sent, if it can be said at once. RFC 8446 §6.1.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        let mut output = self.room.output.borrow_mut();
        if output.len() < OVERHEAD {
            output.resize(OVERHEAD, 0);
        }
        if !state.unsent.is_empty() {
            return;
        }
        let State {
            engine, partial, ..
        } = &mut *state;
        let status = guarded(move || engine.process_tls_records(partial));
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.and_then(|it| it.state)
            && let Ok(length) = traffic.queue_close_notify(&mut output)
        {
            // The connection ends either way.
            let _ = self.stream.try_write(&output[..length]);
        }
    }
}

impl State {
    /// Fills the room with what was kept, and has some left for so many bytes that come. Returns how
    /// many there are.
    fn fill(&self, input: &mut Vec<u8>, most: usize) -> usize {
        let kept = self.partial.len();
        if input.len() < kept + most {
            input.resize(kept + most, 0);
        }
        input[..kept].copy_from_slice(&self.partial);
        kept
    }

    /// Takes records, and keeps those that are not whole. Returns how many bytes of the client came
    /// into the buffer; those for which it has no room are kept, too.
    fn process(&mut self, input: &mut [u8], buffer: &mut [u8]) -> Result<usize, rustls::Error> {
        // A record that comes in part leaves room for its rest only while it is awaited.
        self.partial = Vec::new();
        let (mut at, mut filled) = (0, 0);
        loop {
            let (engine, rest) = (&mut self.engine, &mut input[at..]);
            let UnbufferedStatus { discard, state } =
                guarded(move || engine.process_tls_records(rest))?;
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record?.payload;
                        let fitting = payload.len().min(buffer.len() - filled);
                        let (now, later) = payload.split_at(fitting);
                        buffer[filled..filled + fitting].copy_from_slice(now);
                        filled += fitting;
                        self.plain.extend_from_slice(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.unsent, |room| data.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.has_ended = true;
                    is_done = true;
                }
                // No early data is offered, so none is read. RFC 8446 §4.2.10.
                Ok(_) => is_done = true,
                Err(error) => {
                    self.encode_alert(&mut input[at + discard..]);
                    return Err(error);
                }
            }
            at += discard;
            if is_done {
                break;
            }
        }
        let rest = &input[at..];
        if !self.engine.is_handshaking() && rest.len() > RECORD + OVERHEAD_OF_PEERS {
            // Messages in pieces are kept whole. Behind the handshake clients have none to send that
            // would be longer than a record.
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        self.partial.extend_from_slice(rest);
        Ok(filled)
    }

    /// The alert that goes before the end. RFC 8446 §6.2. `rest` is what the engine has left of the
    /// bytes that were wrong.
    fn encode_alert(&mut self, rest: &mut [u8]) {
        // Messages of the handshake may go before it.
        for _ in 0..MOST_MESSAGES {
            let (engine, rest) = (&mut self.engine, &mut *rest);
            let status = guarded(move || engine.process_tls_records(rest));
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.and_then(|it| it.state)
            else {
                break;
            };
            append(&mut self.unsent, |room| data.encode(room));
        }
    }

    /// Encrypts bytes; returns how many they became. What the engine has to say first goes to those
    /// that are unsent. The engine counts on being shown the bytes that it has seen and not taken.
    fn encrypt(&mut self, plain: &[u8], output: &mut [u8]) -> io::Result<usize> {
        loop {
            let (engine, partial) = (&mut self.engine, &mut self.partial);
            let status = guarded(move || engine.process_tls_records(partial));
            let UnbufferedStatus { discard, state } = status.map_err(io::Error::other)?;
            let outcome = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let encrypted = traffic.encrypt(plain, output);
                    Some(encrypted.map_err(io::Error::other))
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.unsent, |room| data.encode(room));
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    None
                }
                Ok(_) | Err(_) => Some(Err(ErrorKind::BrokenPipe.into())),
            };
            self.partial.drain(..discard);
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match stream.try_write(&self.unsent) {
                Ok(sent) => self.unsent.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.unsent.capacity() > 0 {
            self.unsent = BytesMut::new();
        }
        Ok(())
    }
}

/// Calls the engine. It reads what strangers send, and slices by what it has noted of that: should it be
/// wrong, one session ends, not the shard.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, rustls::Error> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    outcome.map_err(|_| rustls::Error::General("the engine failed".to_owned()))
}

/// The number of records, by their headers: the engine does not tell of those that are empty. RFC 8446
/// §5.1.
fn count(mut bytes: &[u8]) -> usize {
    let mut records = 0;
    while !bytes.is_empty() {
        records += 1;
        let length = match bytes {
            [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
            _ => break,
        };
        bytes = bytes.get(length..).unwrap_or_default();
    }
    records
}

/// Appends what the engine encodes.
fn append(unsent: &mut BytesMut, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let before = unsent.len();
    let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) else {
        return;
    };
    unsent.resize(before + needed.required_size, 0);
    // It fits: the engine said so.
    let length = encode(&mut unsent[before..]).unwrap_or(0);
    unsent.truncate(before + length);
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

/// The most bytes in a record. RFC 8446 §5.1.
const RECORD: usize = 1 << 14;

const HEADER: usize = 5;

/// The most bytes in one read: a whole record, which is all that a turn may decrypt at least.
const PIECE: usize = RECORD + 1024;

/// More messages than a server has to send before an alert. RFC 8446 §2.
const MOST_MESSAGES: usize = 16;

/// The most that a record may be longer than its contents. RFC 5246 §6.2.3, and five bytes of header.
const OVERHEAD_OF_PEERS: usize = 5 + 2048;

/// More than the header, tag, nonce and type of a record. RFC 8446 §5.2, RFC 5288 §3.
const OVERHEAD: usize = 64;
