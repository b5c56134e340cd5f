//! The end of a connection. A client may have sent more than was read, such as further requests: a socket that is
//! closed then resets the connection, and the last answer can be lost on its way. RFC 9112 §9.6.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Reads what still comes after this side has said its last, until the client has done the same, and no longer than
/// two seconds or 256 KiB.
pub(crate) struct Linger {
    until: Option<Pin<Box<Sleep>>>,
    left: usize,
}

impl Linger {
    pub(crate) const fn new() -> Self {
        Self {
            until: None,
            left: MOST,
        }
    }

    pub(crate) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        while self.left > 0 {
            let mut buffer = ReadBuf::uninit(&mut space);
            let outcome = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let came = buffer.filled().len();
            if outcome.is_err() || came == 0 {
                break;
            }
            self.left = self.left.saturating_sub(came);
        }
        Poll::Ready(())
    }
}

const LONGEST: Duration = Duration::from_secs(2);
const MOST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;

    /// The clock goes on by itself where all wait.
    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_or_after_two_seconds_or_when_too_much_has_come() {
        for (sent, ends, seconds) in [(1000, true, 0), (1000, false, 2), (MOST, false, 0)] {
            let (mut client, mut server) = tokio::io::duplex(64);
            let sender = tokio::spawn(async move {
                client.write_all(&vec![7; sent]).await.unwrap();
                if ends {
                    client.shutdown().await.unwrap();
                }
                client
            });
            let began = Instant::now();
            let mut linger = Linger::new();
            poll_fn(|cx| linger.poll(&mut server, cx)).await;
            assert_eq!(began.elapsed().as_secs(), seconds, "{sent} {ends}");
            sender.await.unwrap();
        }
    }
}
