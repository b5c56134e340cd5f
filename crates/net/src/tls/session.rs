//! One client's TLS session on its connection: the handshake, and bytes in and out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use tokio::net::TcpStream;

use super::state::{RECORD, State};
use crate::connection::{self, length_of};

/// The room in which the sessions of a thread encrypt and decrypt, one after the other.
#[derive(Debug)]
pub(crate) struct Room {
    /// Records as they came.
    input: RefCell<Vec<u8>>,
    /// Frames as they are encrypted.
    plain: RefCell<Vec<u8>>,
    /// Records as they leave.
    output: RefCell<BytesMut>,
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

impl Handshake {
    /// # Errors
    /// If the configuration is of no use, which it was seen not to be.
    pub(crate) fn new(
        stream: TcpStream,
        config: Arc<ServerConfig>,
        room: Rc<Room>,
    ) -> Result<Self, rustls::Error> {
        let state = State::new(config)?;
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
    /// The bytes are not TLS as it should be. The client is told by an alert. RFC 8446 §6.2.
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
        state.is_handshaking()
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

    /// Whether bytes of the client, or their end, can be read without waiting for the network.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        state.has_ended || !state.plain.is_empty()
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
    pub(crate) fn try_read(
        &self,
        buffer: &mut [u8],
        may_have_more: &Cell<bool>,
    ) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.plain.is_empty() && !state.has_ended {
            let mut input = self.room.input.borrow_mut();
            let most = buffer.len().min(PIECE);
            let kept = state.fill(&mut input, most);
            let room = &mut input[kept..kept + most];
            let read = connection::read(&self.stream, room, may_have_more)?;
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

    /// Sends frames, each gathered from its parts, each as a record of its own: there are clients that look
    /// for one whole frame in every record. Returns how many bytes of whole frames were taken, which are
    /// the session's to send from then on.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] while an earlier record waits, or the network's.
    pub(crate) fn try_write<const PARTS: usize>(
        &self,
        frames: &[[IoSlice<'_>; PARTS]],
    ) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let mut output = self.room.output.borrow_mut();
        let mut plain = self.room.plain.borrow_mut();
        let mut frames = frames.iter().peekable();
        let mut taken = 0;
        state.flush(&self.stream)?;
        while state.unsent.is_empty() && frames.peek().is_some() {
            output.clear();
            // The session may have to keep all that leaves in one call.
            while let Some(parts) = frames
                .next_if(|parts| output.is_empty() || output.len() + length_of(*parts) <= RECORD)
            {
                plain.clear();
                for part in parts {
                    plain.extend_from_slice(part);
                }
                state.encrypt(&plain, &mut output)?;
                taken += plain.len();
            }
            let sent = match self.stream.try_write(&output) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            state.unsent.extend_from_slice(&output[sent..]);
        }
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.state.borrow_mut().flush(&self.stream)
    }

    /// Says that nothing more will be sent, if it can be said at once. RFC 8446 §6.1.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        if !state.unsent.is_empty() {
            return;
        }
        let mut output = self.room.output.borrow_mut();
        state.encrypt_end(&mut output);
        // The connection ends either way.
        let _ = self.stream.try_write(&output);
    }
}

impl State {
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

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

const HEADER: usize = 5;

/// The most bytes in one read: a whole record, which is all that a turn may decrypt at least.
const PIECE: usize = RECORD + 1024;
