//! The TLS session of one client, between bytes and bytes.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::Offered;
use crate::Fault;
use crate::tls::State;

/// A session without a connection.
pub struct TlsSession {
    state: State,
    input: Vec<u8>,
    output: BytesMut,
}

impl TlsSession {
    /// Of a client that has not said hello.
    ///
    /// # Errors
    /// [`Fault::Tls`].
    pub fn new(offered: &Offered) -> Result<Self, Fault> {
        Ok(Self {
            state: State::new(Arc::clone(&offered.0.config)).map_err(Fault::Tls)?,
            input: Vec::new(),
            output: BytesMut::new(),
        })
    }

    /// Whether more must come from the client before it can say anything.
    pub fn is_handshaking(&self) -> bool {
        self.state.is_handshaking()
    }

    /// Takes bytes of the client; what they say comes into `plain`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`]: the session is over.
    pub fn take(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        let Self { state, input, .. } = self;
        let kept = state.fill(input, bytes.len());
        let input = &mut input[..kept + bytes.len()];
        input[kept..].copy_from_slice(bytes);
        // While it shakes hands nobody is there to read.
        let mut buffer = [0; 512];
        let room = if state.is_handshaking() {
            &mut []
        } else {
            &mut buffer[..]
        };
        let outcome = state.process(input, room);
        let length = outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        plain.extend_from_slice(&buffer[..length]);
        plain.extend_from_slice(&state.plain.split());
        Ok(())
    }

    /// Encrypts bytes for the client.
    ///
    /// # Errors
    /// The session is over.
    pub fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        self.output.clear();
        self.state.encrypt(plain, &mut self.output)?;
        self.state.unsent.extend_from_slice(&self.output);
        Ok(())
    }

    /// Takes out at most so many bytes that go to the client.
    pub fn sent(&mut self, most: usize) -> Vec<u8> {
        let unsent = &mut self.state.unsent;
        unsent.copy_to_bytes(most.min(unsent.len())).into()
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        self.state.encrypt_end(&mut self.output);
        self.state.unsent.extend_from_slice(&self.output);
    }

    /// Whether the client has said that it sends no more.
    pub const fn has_ended(&self) -> bool {
        self.state.has_ended
    }

    /// How many bytes of the client are kept until their end comes.
    pub const fn kept(&self) -> usize {
        self.state.partial.len()
    }

    /// How many bytes wait to be sent.
    pub fn unsent(&self) -> usize {
        self.state.unsent.len()
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
    }
}
