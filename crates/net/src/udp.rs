//! Datagrams in: from clients at listeners, from peers at relay sockets.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use relay::{ClientTuple, PeerAddr, RelayId, Transport};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::egress::{Egress, UdpListener};
use crate::first_bytes::Datagram;
use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::marking::Marking;
use crate::relays::Relay;
use crate::shard::Shard;
use crate::sys::{self, BATCH, Batch, Envelope, Loss};
use crate::{Transports, bind, clock};

/// Serves the clients of one UDP listener.
pub(crate) async fn listen(shard: Handle, index: usize) {
    let mut state = Reading::at(Place::of(index as u64));
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        let mut shard = shard.shard.borrow_mut();
        shard.poll_listener(index, &mut batch, &mut state, cx)
    })
    .await;
}

/// Serves the peers of one relay socket.
pub(crate) async fn relay(shard: Handle, relay: RelayId, place: Place) {
    let _alarm = Alarm::of(&shard);
    let mut state = Reading::at(place);
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        let mut shard = shard.shard.borrow_mut();
        shard.poll_relay(relay, &mut batch, &mut state, cx)
    })
    .await;
}

/// Serves one partner.
pub(crate) async fn partner(shard: Handle, socket: AsyncFd<Socket>) {
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        let mut shard = shard.shard.borrow_mut();
        shard.poll_partner(&socket, &mut batch, cx)
    })
    .await;
}

/// The state of a task that reads a socket.
struct Reading {
    place: Place,
    /// How many datagrams the kernel has dropped, by its own count.
    overflow: u32,
}

impl Reading {
    const fn at(place: Place) -> Self {
        Self { place, overflow: 0 }
    }
}

impl Shard {
    fn poll_partner(
        &mut self,
        socket: &AsyncFd<Socket>,
        batch: &mut Batch,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let Self { server, egress, .. } = self;
            let received = ready!(poll_batch(socket, batch, |_| Poll::Ready(()), cx));
            let (count, is_last) = match received {
                Received::Datagrams { count, is_last } => (count, is_last),
                Received::Error => {
                    egress.counters.receive_failed += 1;
                    (0, false)
                }
                Received::Nothing => return Poll::Ready(()),
            };
            let (now, mut turn) = (clock::now(), egress.begin());
            for datagram in 0..count {
                let Some((envelope, packet)) = batch.datagram(datagram) else {
                    egress.counters.receive_failed += 1;
                    continue;
                };
                let verdict = server.handle_partner(now, envelope.from, packet);
                turn.push(verdict, Marking::PLAIN);
            }
            self.end(turn);
            ready!(others_turn(is_last, cx));
        }
    }

    fn poll_listener(
        &mut self,
        index: usize,
        batch: &mut Batch,
        Reading { place, overflow }: &mut Reading,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let Egress {
                listeners,
                counters,
                ..
            } = &mut self.egress;
            let UdpListener {
                transports,
                listen,
                ref socket,
            } = listeners[index];
            let gate = |cx: &mut Context<'_>| self.gates.listeners.poll(place, cx);
            let (count, is_last) = match ready!(poll_batch(socket, batch, gate, cx)) {
                Received::Datagrams { count, is_last } => (count, is_last),
                Received::Error => {
                    counters.receive_failed += 1;
                    (0, false)
                }
                Received::Nothing => return Poll::Ready(()),
            };
            let (now, mut turn) = (clock::now(), self.egress.begin());
            for datagram in 0..count {
                let Some((envelope, packet)) = batch.datagram(datagram) else {
                    self.egress.counters.receive_failed += 1;
                    continue;
                };
                self.egress.counters.receive_overflow += overflow_since(overflow, envelope);
                let client = client_tuple(listen, envelope);
                let Some((client, packet)) = self.introduce(client, packet, now.mono) else {
                    continue;
                };
                let is_record = Datagram::of(packet) == Datagram::Dtls;
                if is_record && self.egress.serves_dtls(transports) {
                    // What came before it leaves before what follows from it.
                    self.end(turn);
                    self.handle_record(now, client, envelope.marking, packet);
                    turn = self.egress.begin();
                    continue;
                }
                if is_record || transports == Transports::Only(Transport::Dtls) {
                    self.drop_record(transports, client, packet, now.mono);
                    continue;
                }
                let may_be_webs = transports == Transports::Datagrams;
                if may_be_webs && self.pass_to_web(client, packet, now.mono) {
                    continue;
                }
                self.handle_client(&mut turn, now, client, envelope.marking, packet);
            }
            self.end(turn);
            self.gates.listeners.spend(count);
            ready!(others_turn(is_last, cx));
        }
    }

    /// Drops what no listener for these transports takes.
    fn drop_record(
        &mut self,
        transports: Transports,
        client: ClientTuple,
        packet: &[u8],
        now: Instant,
    ) {
        self.egress.counters.dtls_dropped += 1;
        if let (Transports::Datagrams, Some(tls)) = (transports, &self.tls) {
            tls.tell_dtls_off(client, packet, now);
        }
    }

    fn poll_relay(
        &mut self,
        relay: RelayId,
        batch: &mut Batch,
        Reading { place, overflow }: &mut Reading,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let Self {
                server,
                egress,
                gates,
                ..
            } = self;
            let Some(Relay {
                socket, has_losses, ..
            }) = egress.relays.get_mut(relay)
            else {
                return Poll::Ready(());
            };
            let mut gate = |cx: &mut Context<'_>| gates.relays.poll(place, cx);
            let received = if *has_losses {
                ready!(gate(cx));
                Received::Error
            } else {
                ready!(poll_batch(socket, batch, gate, cx))
            };
            let (count, is_last) = match received {
                Received::Datagrams { count, is_last } => (count, is_last),
                Received::Error => {
                    self.tell_losses(relay);
                    self.gates.relays.spend(BATCH);
                    return others_turn(false, cx);
                }
                Received::Nothing => return Poll::Ready(()),
            };
            let (now, mut turn) = (clock::now(), egress.begin());
            for datagram in 0..count {
                let Some((envelope, payload)) = batch.datagram(datagram) else {
                    egress.counters.receive_failed += 1;
                    continue;
                };
                egress.counters.receive_overflow += overflow_since(overflow, envelope);
                let peer = PeerAddr(envelope.from);
                let verdict = server.handle_peer(now, relay, peer, payload);
                turn.push(verdict, envelope.marking);
            }
            self.end(turn);
            self.gates.relays.spend(count);
            ready!(others_turn(is_last, cx));
        }
    }

    /// Tells the client of a relay socket what became of its datagrams. RFC 8656 §11.5.
    fn tell_losses(&mut self, relay: RelayId) {
        let (now, mut turn) = (clock::now(), self.egress.begin());
        let (mut taken, mut last) = (0, None);
        while taken < BATCH {
            let Some(Relay { socket, .. }) = self.egress.relays.get_mut(relay) else {
                break;
            };
            let Ok(loss) = sys::take_loss(socket.get_ref().as_fd()) else {
                break;
            };
            taken += 1;
            // A datagram too big for our own link is noted as often as its sending was tried.
            let is_repeated = loss.is_some_and(|loss: Loss| loss.is_local) && loss == last;
            last = loss;
            if let Some(Loss { to, icmp, .. }) = loss.filter(|_| !is_repeated) {
                let verdict = self.server.handle_icmp(now, relay, PeerAddr(to), icmp);
                turn.push(verdict, Marking::PLAIN);
            }
        }
        if let Some(open) = self.egress.relays.get_mut(relay) {
            // So many at a time, as with datagrams.
            let is_told = taken < BATCH;
            if taken == 0 && !open.has_losses {
                self.egress.counters.receive_failed += 1;
            }
            open.has_losses = !is_told;
        }
        self.end(turn);
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

/// The outcome of reading a socket.
enum Received {
    /// Datagrams in the batch.
    Datagrams {
        /// How many.
        count: usize,
        /// Whether nothing is left, so that waiting is all there is to do.
        is_last: bool,
    },
    /// An error in their place. One that waits at the socket is taken off it by being told. One
    /// that stays, such as want of memory, must not hold the shard.
    Error,
    /// It cannot be polled any more.
    Nothing,
}

/// Receives a batch, when there is one and `gate` lets it pass.
fn poll_batch(
    socket: &AsyncFd<Socket>,
    batch: &mut Batch,
    mut gate: impl FnMut(&mut Context<'_>) -> Poll<()>,
    cx: &mut Context<'_>,
) -> Poll<Received> {
    let mut has_passed = false;
    loop {
        let Ok(mut readable) = ready!(socket.poll_read_ready(cx)) else {
            return Poll::Ready(Received::Nothing);
        };
        if !has_passed {
            ready!(gate(cx));
            has_passed = true;
        }
        match batch.receive(socket.get_ref().as_fd()) {
            Ok(count) => {
                // Less than asked for means that nothing is left, or that an error came in between:
                // one that came since the socket was found ready makes it ready anew. No second
                // call to hear so.
                let is_last = count < BATCH;
                if is_last {
                    readable.clear_ready();
                }
                return Poll::Ready(Received::Datagrams { count, is_last });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
            Err(_) => return Poll::Ready(Received::Error),
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
