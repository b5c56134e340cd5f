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

use crate::crossings::Exits;
use crate::egress::{Egress, UdpListener};
use crate::first_bytes::Datagram;
use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::marking::Marking;
use crate::relays::Relay;
use crate::shard::Shard;
use crate::sys::{self, BATCH, Batch, Envelope, Loss};
use crate::{Transports, bind, clock};

/// Serves the clients of one UDP listener. It ends when the listener is taken away.
pub(crate) async fn listen(shard: Handle, number: u64) {
    let _alarm = Alarm::of(&shard);
    let mut state = Reading::at(Place::of(number));
    poll_fn(|cx| {
        let mut batch = shard.batch.borrow_mut();
        let mut shard = shard.shard.borrow_mut();
        shard.poll_listener(number, &mut batch, &mut state, cx)
    })
    .await;
    // The socket cannot be polled any more: the next life of the shard serves its clients.
    shard.panicked.notify_one();
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

/// Serves the data that other shards bring.
pub(crate) async fn crossings(shard: Handle) {
    let _alarm = Alarm::of(&shard);
    let written = shard.exits.borrow().written();
    // One line is enough: the lanes are called by turns.
    let mut place = Place::of(0);
    loop {
        // Before the first waiting, too: the last life of the shard may have been told of what is there.
        poll_fn(|cx| {
            let mut exits = shard.exits.borrow_mut();
            let mut shard = shard.shard.borrow_mut();
            shard.poll_crossings(&mut exits, &mut place, cx)
        })
        .await;
        written.notified().await;
    }
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
    /// How many datagrams the kernel had dropped at the last one that came, by its own count. That began with the
    /// socket, which another life of the shard or another shard may have read before.
    overflow: Option<u32>,
}

impl Reading {
    const fn at(place: Place) -> Self {
        Self {
            place,
            overflow: None,
        }
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
            let received = ready!(poll_batch(socket, batch, |_| Poll::Ready(()), cx));
            let is_last = match received {
                Received::Datagrams { is_last } => is_last,
                Received::Error => {
                    self.egress.counters.receive_failed += 1;
                    return others_turn(false, cx);
                }
                Received::Nothing => return Poll::Ready(()),
            };
            self.egress.counters.count_runs_received(batch.runs());
            let (now, mut turn) = (clock::now(), self.egress.begin());
            for datagram in batch.datagrams() {
                let Some((envelope, packet)) = datagram else {
                    self.egress.counters.receive_failed += 1;
                    continue;
                };
                self.make_room(&mut turn);
                let verdict = self.server.handle_partner(now, envelope.from, packet);
                turn.push(verdict, Marking::PLAIN);
            }
            self.end(&mut turn);
            ready!(others_turn(is_last, cx));
        }
    }

    fn poll_listener(
        &mut self,
        number: u64,
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
            let own = listeners.iter().find(|own| own.number == number);
            let Some(&UdpListener {
                transports,
                listen,
                ref socket,
                ..
            }) = own
            else {
                return Poll::Ready(());
            };
            let gate = |cx: &mut Context<'_>| self.gates.listeners.poll(place, cx);
            let is_last = match ready!(poll_batch(socket, batch, gate, cx)) {
                Received::Datagrams { is_last } => is_last,
                Received::Error => {
                    counters.receive_failed += 1;
                    self.gates.listeners.spend(1);
                    return others_turn(false, cx);
                }
                Received::Nothing => return Poll::Ready(()),
            };
            self.egress.counters.count_runs_received(batch.runs());
            let (now, mut turn) = (clock::now(), self.egress.begin());
            let mut count = 0;
            for datagram in batch.datagrams() {
                count += 1;
                let Some((envelope, packet)) = datagram else {
                    self.egress.counters.receive_failed += 1;
                    continue;
                };
                self.make_room(&mut turn);
                self.egress.counters.receive_overflow +=
                    overflow_since(overflow, envelope.overflow);
                let client = client_tuple(listen, envelope);
                let Some((client, packet)) = self.introduce(client, packet, now.mono) else {
                    continue;
                };
                let is_record = Datagram::of(packet) == Datagram::Dtls;
                if is_record && self.egress.serves_dtls(transports) {
                    // Earlier packets leave before the answers to this one.
                    self.end(&mut turn);
                    self.handle_record(now, client, envelope.marking, packet);
                    self.egress.begin_anew(&mut turn);
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
            self.end(&mut turn);
            self.gates.listeners.spend(count);
            ready!(others_turn(is_last, cx));
        }
    }

    fn poll_crossings(
        &mut self,
        exits: &mut Exits,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(self.gates.crossings.poll(place, cx));
        let Some(arrived) = exits.read() else {
            self.gates.crossings.spend(1);
            return Poll::Ready(());
        };
        let datagrams = arrived.datagrams(self.number);
        let (now, mut turn) = (clock::now(), self.egress.begin());
        for (crossing, marking, payload) in &datagrams {
            self.make_room(&mut turn);
            let verdict = self.server.handle_crossing(now, *crossing, payload);
            turn.push(verdict, *marking);
        }
        self.end(&mut turn);
        self.gates.crossings.spend(datagrams.len());
        drop(turn);
        drop(datagrams);
        drop(arrived);
        others_turn(exits.is_empty(), cx)
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
            let Self { egress, gates, .. } = self;
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
            let is_last = match received {
                Received::Datagrams { is_last } => is_last,
                Received::Error => {
                    self.tell_losses(relay);
                    self.gates.relays.spend(BATCH);
                    return others_turn(false, cx);
                }
                Received::Nothing => return Poll::Ready(()),
            };
            self.egress.counters.count_runs_received(batch.runs());
            let (now, mut turn) = (clock::now(), self.egress.begin());
            let mut count = 0;
            for datagram in batch.datagrams() {
                count += 1;
                let Some((envelope, payload)) = datagram else {
                    self.egress.counters.receive_failed += 1;
                    continue;
                };
                self.make_room(&mut turn);
                self.egress.counters.receive_overflow +=
                    overflow_since(overflow, envelope.overflow);
                let peer = PeerAddr(envelope.from);
                let verdict = self.server.handle_peer(now, relay, peer, payload);
                turn.push(verdict, envelope.marking);
            }
            self.end(&mut turn);
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
        self.end(&mut turn);
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
    gate: impl FnOnce(&mut Context<'_>) -> Poll<()>,
    cx: &mut Context<'_>,
) -> Poll<Received> {
    let Ok(mut readable) = ready!(socket.poll_read_ready(cx)) else {
        return Poll::Ready(Received::Nothing);
    };
    ready!(gate(cx));
    let count = match batch.receive(socket.get_ref().as_fd()) {
        Ok(count) => count,
        // A turn that was had for nothing is a turn all the same.
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => return Poll::Ready(Received::Error),
    };
    // Less than asked for means that nothing is left, or that an error came in between: one that came since
    // the socket was found ready makes it ready anew. No second call to hear so.
    let is_last = count < BATCH;
    if is_last {
        readable.clear_ready();
    }
    Poll::Ready(Received::Datagrams { is_last })
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

/// How many more datagrams the kernel dropped before this one; its counter wraps. The first that a socket takes has none
/// before it.
fn overflow_since(seen: &mut Option<u32>, overflow: Option<u32>) -> u64 {
    // The kernel does not tell of none.
    let overflow = overflow.unwrap_or(0);
    let before = seen.replace(overflow).unwrap_or(overflow);
    u64::from(overflow.wrapping_sub(before))
}

#[cfg(test)]
mod tests;
