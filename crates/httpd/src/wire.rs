//! A connection's bytes as they come: those that were read of it already, then those of its socket. After
//! an upgrade they are read no faster than a rate: whatever serves a WebSocket counts its messages, and
//! frames may come, and records of TLS, that never become one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::linger::Linger;
use crate::paced::Seat;
use crate::rates::Pace;

/// The bytes of a connection, below TLS.
pub(crate) struct Wire<S> {
    first: Bytes,
    stream: S,
    seat: Arc<Seat>,
    pace: Pace,
    /// All that was read is earned then.
    earned: Instant,
    /// Runs while nothing is read.
    pause: Option<Pin<Box<Sleep>>>,
    /// Set when this side has said its last.
    end: Option<Linger>,
}

impl<S> Wire<S> {
    pub(crate) fn new(first: Bytes, stream: S, seat: Arc<Seat>, pace: Pace) -> Self {
        Self {
            first,
            stream,
            seat,
            pace,
            earned: Instant::now(),
            pause: None,
            end: None,
        }
    }

    /// Bytes were read: the next ones may have to wait.
    fn charge(&mut self, bytes: usize) {
        let now = Instant::now();
        let cost = self.pace.one.saturating_mul(bytes as u64);
        self.earned = self.earned.max(now) + Duration::from_nanos(cost);
        let from = self.earned - Duration::from_nanos(self.pace.most);
        if from > now {
            self.pause = Some(Box::pin(sleep_until(from)));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let length = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first[..length]);
            this.first.advance(length);
            return Poll::Ready(Ok(()));
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.seat.is_upgraded() {
            this.charge(buf.filled().len() - before);
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let end = this.end.get_or_insert_with(Linger::new);
        end.poll(&mut this.stream, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::places::Places;

    /// The clock goes on by itself where all wait.
    #[tokio::test(start_paused = true)]
    async fn after_an_upgrade_bytes_are_read_at_their_rate_and_none_is_lost() {
        for (is_upgraded, seconds) in [(false, 0..=0), (true, 96..=97)] {
            let place = Arc::new(Places::new(1, 1)).take(None).unwrap();
            let seat = Seat::new(place);
            if is_upgraded {
                seat.upgrade();
            }
            let (mut client, server) = tokio::io::duplex(64);
            let pace = Pace::new(4000, Duration::from_secs(4));
            let mut server = Wire::new(Bytes::new(), server, seat, pace);
            let began = Instant::now();
            let sender = tokio::spawn(async move {
                client.write_all(&[7; 100_000]).await.unwrap();
            });
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.unwrap();
            sender.await.unwrap();
            assert_eq!(bytes, [7; 100_000]);
            let took = began.elapsed().as_secs();
            assert!(seconds.contains(&took), "{is_upgraded}: {took} s");
        }
    }
}
