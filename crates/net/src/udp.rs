//! Datagrams in: from clients at listeners, from peers at relay sockets.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use relay::{ClientTuple, PeerAddr, RelayId, Transport, Verdict};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::counters::NetCounters;
use crate::egress::{Egress, UdpListener};
use crate::relays::poll_readable;
use crate::shard::{Handle, Shard, spawn_relays};
use crate::sys::{BATCH, Batch, Envelope};
use crate::{bind, clock};

/// Serves the clients of one UDP listener.
pub(crate) async fn listen(shard: Handle, index: usize) {
    let mut overflow = 0;
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        let done = shard
            .shard
            .borrow_mut()
            .poll_listener(index, &mut batch, &mut overflow, cx);
        spawn_relays(&shard);
        done
    })
    .await;
}

/// Serves the peers of one relay socket.
pub(crate) async fn relay(shard: Handle, relay: RelayId) {
    let mut overflow = 0;
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        shard
            .shard
            .borrow_mut()
            .poll_relay(relay, &mut batch, &mut overflow, cx)
    })
    .await;
}

impl Shard {
    fn poll_listener(
        &mut self,
        index: usize,
        batch: &mut Batch,
        seen: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Egress {
            listeners,
            counters,
            ..
        } = &mut self.egress;
        let UdpListener { listen, ref socket } = listeners[index];
        let Some(count) = ready!(poll_batch(socket, batch, counters, cx)) else {
            return Poll::Ready(());
        };
        let now = clock::now();
        for datagram in 0..count {
            let Some((envelope, packet)) = batch.datagram(datagram) else {
                self.egress.counters.receive_failed += 1;
                continue;
            };
            self.egress.counters.receive_overflow += overflow_since(seen, envelope);
            let client = client_tuple(listen, envelope);
            self.handle_client(now, client, packet);
        }
        // Others have their turn before the next batch.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_relay(
        &mut self,
        relay: RelayId,
        batch: &mut Batch,
        seen: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Self { server, egress, .. } = self;
        let Some(socket) = egress.relays.get(relay) else {
            return Poll::Ready(());
        };
        let Some(count) = ready!(poll_batch(socket, batch, &mut egress.counters, cx)) else {
            return Poll::Ready(());
        };
        let now = clock::now();
        for datagram in 0..count {
            let Some((envelope, payload)) = batch.datagram(datagram) else {
                egress.counters.receive_failed += 1;
                continue;
            };
            egress.counters.receive_overflow += overflow_since(seen, envelope);
            match server.handle_peer(now, relay, PeerAddr(envelope.from), payload) {
                Verdict::Forward { from, to, payload } => egress.forward(from, to, payload),
                Verdict::Deliver {
                    to,
                    header,
                    payload,
                } => egress.deliver(to, &header, payload),
                Verdict::Reply(_) | Verdict::Drop(_) | Verdict::Done => {}
            }
        }
        self.settle();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Receives a batch; `None` if the socket cannot be polled any more.
fn poll_batch(
    socket: &AsyncFd<Socket>,
    batch: &mut Batch,
    counters: &mut NetCounters,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    loop {
        let Some(mut readable) = ready!(poll_readable(socket, cx)) else {
            return Poll::Ready(None);
        };
        match batch.receive(socket.get_ref().as_fd()) {
            Ok(count) => {
                // Less than asked for means that nothing is left: no second call to hear so.
                if count < BATCH {
                    readable.clear_ready();
                }
                return Poll::Ready(Some(count));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
            // An error that waits at the socket is taken off it by being told. One that stays,
            // such as want of memory, must not hold the shard.
            Err(_) => {
                counters.receive_failed += 1;
                return Poll::Ready(Some(0));
            }
        }
    }
}

fn client_tuple(listen: SocketAddr, envelope: Envelope) -> ClientTuple {
    let server = match envelope.to {
        Some(ip) if bind::is_wildcard(listen.ip()) => SocketAddr::new(ip, listen.port()),
        _ => listen,
    };
    ClientTuple {
        transport: Transport::Udp,
        client: envelope.from,
        server,
    }
}

/// How many more datagrams the kernel dropped; its counter wraps.
fn overflow_since(seen: &mut u32, envelope: Envelope) -> u64 {
    let Some(overflow) = envelope.overflow else {
        return 0;
    };
    u64::from(overflow.wrapping_sub(std::mem::replace(seen, overflow)))
}
