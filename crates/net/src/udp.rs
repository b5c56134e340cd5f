//! Datagrams in: from clients at listeners, from peers at relay sockets.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use relay::{ClientTuple, PeerAddr, RelayId, Transport};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::counters::NetCounters;
use crate::egress::{Egress, UdpListener};
use crate::shard::{Alarm, Handle, Shard, spawn_relays};
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
    let _alarm = Alarm::of(&shard);
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
        loop {
            let Egress {
                listeners,
                counters,
                ..
            } = &mut self.egress;
            let UdpListener { listen, ref socket } = listeners[index];
            let Some(Received { count, is_last }) = ready!(poll_batch(socket, batch, counters, cx))
            else {
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
            ready!(others_turn(is_last, cx));
        }
    }

    fn poll_relay(
        &mut self,
        relay: RelayId,
        batch: &mut Batch,
        seen: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let Self { server, egress, .. } = self;
            let Some(socket) = egress.relays.get(relay) else {
                return Poll::Ready(());
            };
            let Some(Received { count, is_last }) =
                ready!(poll_batch(socket, batch, &mut egress.counters, cx))
            else {
                return Poll::Ready(());
            };
            let now = clock::now();
            for datagram in 0..count {
                let Some((envelope, payload)) = batch.datagram(datagram) else {
                    egress.counters.receive_failed += 1;
                    continue;
                };
                egress.counters.receive_overflow += overflow_since(seen, envelope);
                egress.carry(server.handle_peer(now, relay, PeerAddr(envelope.from), payload));
            }
            self.settle();
            ready!(others_turn(is_last, cx));
        }
    }
}

/// Others have their turn before the next batch, if there is one.
fn others_turn(is_last: bool, cx: &mut Context<'_>) -> Poll<()> {
    if is_last {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// What a socket had.
struct Received {
    /// Datagrams in the batch.
    count: usize,
    /// Whether nothing is left, so that waiting is all there is to do.
    is_last: bool,
}

/// Receives a batch; `None` if the socket cannot be polled any more.
fn poll_batch(
    socket: &AsyncFd<Socket>,
    batch: &mut Batch,
    counters: &mut NetCounters,
    cx: &mut Context<'_>,
) -> Poll<Option<Received>> {
    loop {
        let Ok(mut readable) = ready!(socket.poll_read_ready(cx)) else {
            return Poll::Ready(None);
        };
        match batch.receive(socket.get_ref().as_fd()) {
            Ok(count) => {
                // Less than asked for means that nothing is left: no second call to hear so.
                let is_last = count < BATCH;
                if is_last {
                    readable.clear_ready();
                }
                return Poll::Ready(Some(Received { count, is_last }));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
            // An error that waits at the socket is taken off it by being told. One that stays,
            // such as want of memory, must not hold the shard.
            Err(_) => {
                counters.receive_failed += 1;
                return Poll::Ready(Some(Received {
                    count: 0,
                    is_last: false,
                }));
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
