//! A connection's bytes under a clock: a head that comes drop by drop, and answers that nobody reads,
//! end it. As a WebSocket it may be silent for hours, as a page may be, and has to read what is sent to it.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::counters::Counters;
use crate::places::{NoPlace, Place};

/// The state that the connection and its requests share.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Is given back with the last of both, for a WebSocket has it, too.
    place: Mutex<Place>,
    phase: AtomicU8,
    /// Counts requests, modulo.
    requests: AtomicU32,
}

impl Seat {
    pub(crate) fn new(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place: Mutex::new(place),
            phase: AtomicU8::new(BETWEEN),
            requests: AtomicU32::new(0),
        })
    }

    /// The visitor of this request is another than that of the last one.
    pub(crate) fn belongs_to(&self, visitor: IpAddr) -> Result<(), NoPlace> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.belongs_to(visitor)
    }

    /// The head of a request was read.
    pub(crate) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(REQUEST, Ordering::Relaxed);
    }

    /// The answer was made.
    pub(crate) fn end_request(&self) {
        self.phase.store(BETWEEN, Ordering::Relaxed);
    }

    /// It becomes a WebSocket.
    pub(crate) fn upgrade(&self) {
        self.phase.store(UPGRADED, Ordering::Relaxed);
    }

    /// Its answer has no end.
    pub(crate) fn stream(&self) {
        self.phase.store(ENDLESS, Ordering::Relaxed);
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.is(ENDLESS)
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.is(UPGRADED)
    }

    fn is(&self, phase: u8) -> bool {
        self.phase.load(Ordering::Relaxed) == phase
    }
}

const BETWEEN: u8 = 0;
const REQUEST: u8 = 1;
const UPGRADED: u8 = 2;
const ENDLESS: u8 = 3;

/// The bytes of a connection.
pub(crate) struct Paced<S> {
    inner: S,
    seat: Arc<Seat>,
    counters: Arc<Counters>,
    /// Runs while a head has begun and is not whole: that of the request behind so many.
    head: Option<(u32, Pin<Box<Sleep>>)>,
    /// Runs while bytes wait for the client.
    write: Option<Pin<Box<Sleep>>>,
    /// The client took nothing for too long.
    is_stuck: bool,
}

impl<S> Paced<S> {
    pub(crate) fn new(inner: S, seat: Arc<Seat>, counters: Arc<Counters>) -> Self {
        Self {
            inner,
            seat,
            counters,
            head: None,
            write: None,
            is_stuck: false,
        }
    }

    /// Whether a write that is pending has been so for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let wait = self.write.get_or_insert_with(|| Box::pin(sleep(WRITE)));
        if wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Each further request is told again.
        if !self.is_stuck {
            self.is_stuck = true;
            self.counters.slow_reader.add();
        }
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, SlowReader)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        let requests = this.seat.requests.load(Ordering::Relaxed);
        if !this.seat.is(BETWEEN) {
            this.head = None;
            return outcome;
        }
        this.head.take_if(|(of, _)| *of != requests);
        if buf.filled().len() > before && this.head.is_none() {
            this.head = Some((requests, Box::pin(sleep(HEAD))));
        }
        if let Some((_, head)) = &mut this.head
            && outcome.is_pending()
            && head.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, LateHead)));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watch(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, outcome)
    }
}

/// The client does not read.
#[derive(Debug, thiserror::Error)]
#[error("the client does not read what is sent to it")]
struct SlowReader;

/// The head of a request takes too long.
#[derive(Debug, thiserror::Error)]
#[error("the head of the request took too long")]
pub(crate) struct LateHead;

/// How long the head of a request may take from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
const WRITE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::places::Places;

    /// The clock goes on by itself where all wait.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_left_before_an_upgrade_and_after_it() {
        for is_upgraded in [false, true] {
            let place = Arc::new(Places::new(1, 1)).take(None).unwrap();
            let seat = Seat::new(place);
            if is_upgraded {
                seat.upgrade();
            }
            let counters = Arc::<Counters>::default();
            let (_client, server) = tokio::io::duplex(64);
            let mut server = Paced::new(server, seat, Arc::clone(&counters));
            let began = Instant::now();
            for _ in 0..2 {
                let written = timeout(WRITE * 2, server.write_all(&[0; 1000])).await;
                let error = written.expect("an end").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
            let waited = began.elapsed();
            assert!(waited >= WRITE && waited < WRITE * 2, "{waited:?}");
            assert_eq!(counters.snapshot().slow_reader, 1);
        }
    }
}
