//! One DTLS session, and the one place where the engine is called. The rule: after every call on the
//! engine it is drained.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use dimpl::{Config, Dtls as Engine, DtlsCertificate, Output};

use super::cookie::{self, with_cookie};
use super::{chain, hello};
use crate::StreamLimits;
use crate::admission::{Admitted, Pace};

/// A DTLS session, or one that is to become it.
pub(crate) struct Session {
    engine: Engine,
    /// The random of the hello that it began with: a hello with the same one is that hello, again.
    pub(super) random: [u8; 32],
    /// The place that it takes among all sessions.
    pub(super) admitted: Admitted,
    /// When it is looked at next.
    pub(super) reminder: Option<Instant>,
    pub(super) idle: Idle,
    pub(super) pace: Pace,
    /// Whether the engine has failed: it is not to be called again.
    pub(super) is_broken: bool,
}

/// The engine cannot go on.
#[derive(Debug)]
pub(super) struct Broken;

/// All that came out of the engine but records, which were sent.
pub(super) struct Drained {
    /// The datagrams of the client, by where they stand.
    pub(super) data: ArrayVec<Range<usize>, MOST_DATA>,
    pub(super) is_connected: bool,
    pub(super) is_closed: bool,
    /// When the engine is to be called again.
    pub(super) deadline: Instant,
}

impl Session {
    /// Makes an engine that is about to take the hello with this cookie, which is the client's
    /// `message`th. The engine believes that it has asked for that cookie itself.
    pub(super) fn accept(
        config: &Arc<Config>,
        certificate: DtlsCertificate,
        hello: &hello::ClientHello<'_>,
        cookie: [u8; 32],
        admitted: Admitted,
        now: Instant,
    ) -> Result<Self, Broken> {
        let mut engine = guarded(|| Ok(Engine::new_12(Arc::clone(config), certificate, now)))?;
        let mut room = [0; 256];
        for message in 0..hello.message {
            guarded(|| {
                engine.handle_timeout(now)?;
                let bare = hello::bare(hello.random, message);
                with_cookie(cookie, || engine.handle_packet(&bare))?;
                // Its request for the cookie, which the client has answered already.
                while !matches!(engine.poll_output(&mut room), Output::Timeout(_)) {}
                Ok(())
            })?;
        }
        Ok(Self {
            engine,
            random: *hello.random,
            pace: Pace::of(&admitted, now),
            admitted,
            reminder: None,
            idle: Idle::new(now),
            is_broken: false,
        })
    }

    /// Takes a datagram of a handshake whose hello has this cookie.
    pub(super) fn handle_handshake(
        &mut self,
        now: Instant,
        cookie: [u8; 32],
        datagram: &[u8],
    ) -> Result<(), Broken> {
        with_cookie(cookie, || self.handle(now, datagram))
    }

    /// Takes a datagram.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Broken> {
        self.call(|engine| {
            engine.handle_timeout(now)?;
            engine.handle_packet(datagram)
        })
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        self.call(|engine| engine.handle_timeout(now))
    }

    /// Encrypts one datagram for the client; `send` is given the record.
    pub(super) fn seal(
        &mut self,
        datagram: &[u8],
        room: &mut Vec<u8>,
        send: impl FnMut(&[u8]),
    ) -> Result<(), Broken> {
        self.call(|engine| engine.send_application_data(datagram))?;
        self.drain(room, send).map(drop)
    }

    /// Tells the client that the session is over.
    pub(super) fn close(&mut self, room: &mut Vec<u8>, send: impl FnMut(&[u8])) {
        if self.call(Engine::close).is_ok() {
            let _ = self.drain(room, send);
        }
    }

    /// Takes everything out of the engine: data into `room`, records to `send`.
    pub(super) fn drain(
        &mut self,
        room: &mut Vec<u8>,
        mut send: impl FnMut(&[u8]),
    ) -> Result<Drained, Broken> {
        let mut drained = Drained {
            data: ArrayVec::new(),
            is_connected: false,
            is_closed: false,
            deadline: Instant::now(),
        };
        let mut used = 0;
        self.call(|engine| {
            loop {
                #[expect(
                    clippy::wildcard_enum_match_arm,
                    reason = "the enum is the library's, and open; keys for SRTP are nothing to TURN"
                )]
                match engine.poll_output(&mut room[used..]) {
                    Output::Packet(record) => {
                        let length = record.len();
                        let datagram = &mut room[used..used + length];
                        chain::mend(datagram);
                        send(datagram);
                    }
                    Output::ApplicationData(data) => {
                        let end = used + data.len();
                        // A datagram has no more records than there is room for.
                        if drained.data.try_push(used..end).is_ok() {
                            used = end;
                        }
                    }
                    Output::Connected => drained.is_connected = true,
                    Output::CloseNotify => drained.is_closed = true,
                    Output::BufferTooSmall { needed } => room.resize(used + needed, 0),
                    Output::Timeout(at) => {
                        drained.deadline = at;
                        return Ok(());
                    }
                    _ => {}
                }
            }
        })?;
        Ok(drained)
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Engine) -> Result<T, dimpl::Error>,
    ) -> Result<T, Broken> {
        if self.is_broken {
            return Err(Broken);
        }
        let outcome = guarded(|| call(&mut self.engine));
        self.is_broken = outcome.is_err();
        outcome
    }
}

/// Calls the engine. It reads what strangers send, and has assertions: one that fails must end one
/// session, not the shard. Every error of it is final.
fn guarded<T>(call: impl FnOnce() -> Result<T, dimpl::Error>) -> Result<T, Broken> {
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) | Err(_) => Err(Broken),
    }
}

/// The configuration of every engine; `None` if the library fails its own test.
pub(super) fn config(handshake: Duration) -> Option<Config> {
    Config::builder()
        .with_crypto_provider(cookie::provider())
        // TURN knows its clients by their credentials.
        .require_client_certificate(false)
        .use_server_cookie(true)
        .mtu(HANDSHAKE_MTU)
        .handshake_timeout(handshake)
        .build()
        .ok()
}

/// Whether an engine can be made with this private key, in DER: it panics otherwise.
pub(crate) fn takes_key(key: &[u8]) -> bool {
    cookie::provider()
        .key_provider
        .load_private_key(key)
        .is_ok()
}

/// When a session ends, unless its client has an allocation then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    /// When the client last sent something of use.
    heard: Instant,
    /// Since when it has had no allocation, as far as is known.
    stranger_since: Instant,
    is_used: bool,
}

/// Why a session ends without its client's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The client was silent for too long.
    Idle,
    /// The client was without an allocation for too long.
    Overdue,
}

impl Idle {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            stranger_since: now,
            is_used: false,
        }
    }

    /// The client sent something of use, or has an allocation.
    pub(super) const fn put_off(&mut self, now: Instant, has_allocation: bool) {
        self.heard = now;
        self.is_used = true;
        if has_allocation {
            self.stranger_since = now;
        }
    }

    /// When to look next.
    pub(super) fn deadline(&self, limits: &StreamLimits) -> Instant {
        self.silent(limits).min(self.overdue(limits))
    }

    /// Whether a session of a client without allocation is over.
    pub(super) fn over(&self, now: Instant, limits: &StreamLimits) -> Option<Over> {
        if self.overdue(limits) <= now {
            Some(Over::Overdue)
        } else {
            (self.silent(limits) <= now).then_some(Over::Idle)
        }
    }

    fn silent(&self, limits: &StreamLimits) -> Instant {
        let span = if self.is_used {
            limits.idle
        } else {
            limits.first_frame
        };
        self.heard + span
    }

    fn overdue(&self, limits: &StreamLimits) -> Instant {
        self.stranger_since + limits.stranger_lifetime
    }
}

/// Bytes of a datagram of a handshake: these pass everywhere.
const HANDSHAKE_MTU: usize = 1_200;

/// The engine takes no more records than these out of one datagram.
pub(super) const MOST_DATA: usize = 8;
