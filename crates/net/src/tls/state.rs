//! The state of one client's TLS session: records in, bytes out, and the other way. It knows no socket.
//!
//! The engine is rustls without its buffers. Records are decrypted where the shard's thread has read
//! them, so that a session keeps only what is half there: a record that has come in part, and bytes
//! that the kernel has not taken yet.

use std::io::{self, ErrorKind};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{InvalidMessage, ServerConfig};

/// The state of one client's session.
pub(crate) struct State {
    engine: UnbufferedServerConnection,
    /// The beginning of records whose end has not come.
    pub(crate) partial: Vec<u8>,
    /// Plaintext that was not taken yet.
    pub(crate) plain: BytesMut,
    /// Records that the kernel has not taken yet.
    pub(crate) unsent: BytesMut,
    /// Whether the client has said that it sends no more.
    pub(crate) has_ended: bool,
    /// Whether bytes of the client were wrong. The engine counts on being shown these again, and they are
    /// gone: it is not to be called any more.
    has_failed: bool,
}

impl State {
    /// # Errors
    /// If the configuration is of no use, which it was seen not to be.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            engine: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            plain: BytesMut::new(),
            unsent: BytesMut::new(),
            has_ended: false,
            has_failed: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.engine.is_handshaking()
    }

    /// Fills the room with what was kept, and has some left for so many bytes that come. Returns how
    /// many there are.
    pub(crate) fn fill(&self, input: &mut Vec<u8>, most: usize) -> usize {
        let kept = self.partial.len();
        if input.len() < kept + most {
            input.resize(kept + most, 0);
        }
        input[..kept].copy_from_slice(&self.partial);
        kept
    }

    /// Takes records, and keeps those that are not whole. Returns how many bytes of the client came
    /// into the buffer; those for which it has no room are kept, too.
    ///
    /// # Errors
    /// The bytes are not TLS as it should be. The session is over.
    pub(crate) fn process(
        &mut self,
        input: &mut [u8],
        buffer: &mut [u8],
    ) -> Result<usize, rustls::Error> {
        let outcome = self.take_records(input, buffer);
        self.has_failed |= outcome.is_err();
        outcome
    }

    fn take_records(
        &mut self,
        input: &mut [u8],
        buffer: &mut [u8],
    ) -> Result<usize, rustls::Error> {
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
            let before = self.unsent.len();
            append(&mut self.unsent, |room| data.encode(room));
            if is_alert(&self.unsent[before..]) {
                // Called again, the engine would find the same bytes wrong again.
                break;
            }
        }
    }

    /// Encrypts bytes, and appends them to what leaves, after what the engine has to say first. The engine
    /// counts on being shown the bytes that it has seen and not taken.
    pub(crate) fn encrypt(&mut self, plain: &[u8], output: &mut BytesMut) -> io::Result<()> {
        if self.has_failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        loop {
            let (engine, partial) = (&mut self.engine, &mut self.partial);
            let status = guarded(move || engine.process_tls_records(partial));
            let UnbufferedStatus { discard, state } = status.map_err(io::Error::other)?;
            let outcome = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let room = plain.len() + (plain.len() / RECORD + 1) * OVERHEAD;
                    let before = output.len();
                    output.resize(before + room, 0);
                    let encrypted = traffic.encrypt(plain, &mut output[before..]);
                    output.truncate(before + encrypted.as_ref().unwrap_or(&0));
                    Some(encrypted.map(|_| ()).map_err(io::Error::other))
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(output, |room| data.encode(room));
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

    /// Encrypts that nothing more will be sent, unless that cannot be said any more. RFC 8446 §6.1.
    pub(crate) fn encrypt_end(&mut self, output: &mut BytesMut) {
        output.clear();
        if self.has_failed {
            return;
        }
        let (engine, partial) = (&mut self.engine, &mut self.partial);
        let status = guarded(move || engine.process_tls_records(partial));
        if let Ok(Ok(ConnectionState::WriteTraffic(mut traffic))) = status.map(|it| it.state) {
            output.resize(OVERHEAD, 0);
            let length = traffic.queue_close_notify(output).unwrap_or(0);
            output.truncate(length);
        }
    }
}

/// Calls the engine. It reads what strangers send, and slices by what it has noted of that: should it be
/// wrong, one session ends, not the shard.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, rustls::Error> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    outcome.map_err(|_| rustls::Error::General("the engine failed".to_owned()))
}

/// Whether a record that the engine has encoded is an alert. Under TLS 1.3 its type is hidden, but no other
/// record is as short. RFC 8446 §5.2, §6.
fn is_alert(record: &[u8]) -> bool {
    record.first() == Some(&ALERT) || record.len() == HIDDEN_ALERT
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

/// The most bytes in a record. RFC 8446 §5.1.
pub(crate) const RECORD: usize = 1 << 14;

/// More messages than a server has to send before an alert. RFC 8446 §2.
const MOST_MESSAGES: usize = 16;

/// The most that a record may be longer than its contents. RFC 5246 §6.2.3, and five bytes of header.
pub(crate) const OVERHEAD_OF_PEERS: usize = 5 + 2048;

/// More than the header, tag, nonce and type of a record. RFC 8446 §5.2, RFC 5288 §3.
const OVERHEAD: usize = 64;

const ALERT: u8 = 21;

/// The header, the alert, its type, and the tag of an AEAD.
const HIDDEN_ALERT: usize = 5 + 2 + 1 + 16;
