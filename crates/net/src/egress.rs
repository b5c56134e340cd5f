//! Everything a shard sends.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use hashbrown::HashMap;
use relay::{
    AddressFamily, ClientTuple, Crossing, Destination, Hop, Outgoing, RelayHeader, RelayId,
    Transport,
};
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;

use crate::bind::{self, PartnerSocket};
use crate::bundle::{self, Bundle};
use crate::connection::Connection;
use crate::counters::NetCounters;
use crate::crossings::Entrances;
use crate::dtls::Dtls;
use crate::frames::Frames;
use crate::marking::Marking;
use crate::offload::say_apart;
use crate::proxied::ProxiedClients;
use crate::refusals::Refusals;
use crate::relays::Relays;
use crate::run::{Datagram, Run, Way};
use crate::send_queue::Urgency;
use crate::sys::{self, Apart, Label};
use crate::turn::Turn;
use crate::{Together, Transports};

/// The sockets of a shard, as seen by what leaves it.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    pub(crate) listeners: Vec<UdpListener>,
    pub(crate) partners: Vec<PartnerSocket>,
    pub(crate) relays: Relays,
    pub(crate) connections: HashMap<ClientTuple, Rc<Connection>, ahash::RandomState>,
    pub(crate) proxied: ProxiedClients,
    /// The clients over DTLS, if it is served.
    pub(crate) dtls: Option<Box<Dtls>>,
    pub(crate) counters: NetCounters,
    /// Where data for clients of other shards is written.
    pub(crate) entrances: Option<OwnedMutexGuard<Entrances>>,
    /// Whether neighbours of one flow leave in one call.
    pub(crate) together: Together,
    /// Where they do not.
    refusals: Refusals,
    /// Where a turn keeps its answers.
    answers: Vec<u8>,
}

/// A UDP socket that clients send to.
#[derive(Debug)]
pub(crate) struct UdpListener {
    /// Its name among the listeners of this process.
    pub(crate) number: u64,
    pub(crate) transports: Transports,
    pub(crate) listen: SocketAddr,
    pub(crate) socket: AsyncFd<Socket>,
    /// Reads it, if this shard does.
    pub(crate) task: Option<AbortHandle>,
}

impl Drop for UdpListener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl UdpListener {
    /// Whether a server address of a client tuple is this listener's.
    fn serves(&self, server: SocketAddr) -> bool {
        let wildcard = bind::is_wildcard(self.listen.ip());
        self.listen.port() == server.port()
            && self.listen.is_ipv4() == server.is_ipv4()
            && (wildcard || self.listen.ip() == server.ip())
    }
}

impl Egress {
    pub(crate) fn new(together: Together) -> Self {
        Self {
            together,
            ..Self::default()
        }
    }

    /// Begins a turn.
    pub(crate) fn begin<'p>(&mut self) -> Turn<'p> {
        Turn::new(std::mem::take(&mut self.answers))
    }

    /// Begins a turn where one has ended.
    pub(crate) fn begin_anew(&mut self, turn: &mut Turn<'_>) {
        turn.refill(std::mem::take(&mut self.answers));
    }

    /// Sends all that a turn has collected, and empties it. To each receiver it leaves in its order.
    pub(crate) fn flush(&mut self, turn: &mut Turn<'_>) {
        match turn.lone() {
            Some((outgoing, marking)) => self.send(outgoing, marking),
            None => self.send_all(turn),
        }
        self.answers = turn.empty();
        self.wake_others();
    }

    /// Sends what a turn has collected, neighbours together.
    fn send_all(&mut self, turn: &Turn<'_>) {
        let mut departures = turn.departures().peekable();
        let mut bundle = Bundle::default();
        while let Some((outgoing, marking)) = departures.next() {
            if let Some(mut frames) = Frames::begin(&outgoing) {
                while departures.next_if(|(next, _)| frames.take(next)).is_some() {}
                self.send_frames(&frames);
                continue;
            }
            let has_next = self.together.sent && departures.peek().is_some();
            let run = has_next.then(|| Run::begin(&outgoing, marking)).flatten();
            if let Some(mut run) = run {
                while departures
                    .next_if(|(next, its)| run.take(next, *its))
                    .is_some()
                {}
                if run.datagrams.len() > 1 {
                    self.send_bundle(&mut bundle);
                    self.send_run(&run);
                    continue;
                }
            }
            if (has_next || !bundle.is_empty())
                && let Some((client, datagram)) = bundle::client_of(&outgoing)
            {
                self.add_to(&mut bundle, client, marking, datagram);
                continue;
            }
            self.send(outgoing, marking);
        }
        self.send_bundle(&mut bundle);
    }

    /// Lets a datagram leave with the others of a bundle.
    fn add_to<'d>(
        &mut self,
        bundle: &mut Bundle<'d>,
        client: ClientTuple,
        marking: Marking,
        datagram: Datagram<'d>,
    ) {
        let Some((listener, label)) = self.way_to(client, marking, false) else {
            self.counters.send_gone += 1;
            return;
        };
        if !bundle.take(listener, label, datagram) {
            self.send_bundle(bundle);
            bundle.take(listener, label, datagram);
        }
    }

    /// Sends a bundle in one call, and empties it.
    fn send_bundle(&mut self, bundle: &mut Bundle<'_>) {
        if bundle.is_empty() {
            return;
        }
        let socket = self.listeners[bundle.listener].socket.get_ref().as_fd();
        self.counters.send_failed += match &bundle.parts()[..] {
            [(label, parts)] => u64::from(sys::send(socket, label, parts).is_err()),
            several => sys::send_each(socket, several) as u64,
        };
        bundle.clear();
    }

    /// Sends neighbours in one call; where that cannot be, one by one.
    fn send_run(&mut self, run: &Run<'_>) {
        let receiver = run.way.receiver();
        if self.refusals.admit(receiver, run.segment) {
            let outcome = match run.way {
                Way::Peer(hop) => self.forward_run(hop, run),
                Way::Client(client) => self.deliver_run(client, run),
            };
            match outcome {
                Ok(()) => return self.refusals.note_taken(),
                Err(Apart::Failed) => {
                    self.counters.send_failed += run.datagrams.len() as u64;
                    return;
                }
                Err(apart) => {
                    say_apart(apart);
                    self.refusals.note_refused(receiver, run.segment, apart);
                }
            }
        }
        for datagram in &run.datagrams {
            match run.way {
                Way::Peer(hop) => {
                    self.forward(hop.from, &label_of(hop, run.marking), datagram.payload);
                }
                Way::Client(client) => {
                    self.send_datagram(client, run.marking, false, &datagram.parts());
                }
            }
        }
    }

    /// Sends neighbours to a peer in one call.
    fn forward_run(&mut self, hop: Hop, run: &Run<'_>) -> Result<(), Apart> {
        let Some(relay) = self.relays.get_mut(hop.from) else {
            self.counters.send_gone += run.datagrams.len() as u64;
            return Ok(());
        };
        let socket = relay.socket.get_ref().as_fd();
        let (label, parts) = (label_of(hop, run.marking), run.parts());
        let mut outcome = sys::send_together(socket, &label, &parts, run.segment as u16);
        if matches!(outcome, Err(Apart::Failed | Apart::Length)) {
            // As with one datagram: it was told of an earlier loss, which may be that of a long datagram, too.
            relay.has_losses = true;
            outcome = sys::send_together(socket, &label, &parts, run.segment as u16);
        }
        outcome.map(|()| self.counters.count_run_sent(run.datagrams.len()))
    }

    /// Sends neighbours to a client in one call.
    fn deliver_run(&mut self, to: ClientTuple, run: &Run<'_>) -> Result<(), Apart> {
        let Some((listener, label)) = self.way_to(to, run.marking, false) else {
            self.counters.send_gone += run.datagrams.len() as u64;
            return Ok(());
        };
        let socket = self.listeners[listener].socket.get_ref().as_fd();
        let outcome = sys::send_together(socket, &label, &run.parts(), run.segment as u16);
        outcome.map(|()| self.counters.count_run_sent(run.datagrams.len()))
    }

    /// Sends frames with application data. A stream has one marking, whatever it carries. RFC 8656 §16.
    fn send_frames(&mut self, frames: &Frames<'_>) {
        let parts = frames.parts();
        match self.connections.get(&frames.client) {
            Some(connection) => {
                self.counters.queue_dropped += connection.send(&parts, Urgency::Media);
            }
            None => self.counters.send_gone += parts.len() as u64,
        }
    }

    /// Sends one datagram or frame. RFC 8656 §14.
    pub(crate) fn send(&mut self, outgoing: Outgoing<&[u8]>, marking: Marking) {
        if let Some(frames) = Frames::begin(&outgoing) {
            return self.send_frames(&frames);
        }
        let Outgoing { to, contents } = outgoing;
        match to {
            Destination::Peer(hop) => self.forward(hop.from, &label_of(hop, marking), contents),
            Destination::Relayed(crossing) => self.cross(&crossing, marking, contents),
            Destination::Client { client, header } => {
                self.deliver(client, marking, &header, contents);
            }
            Destination::Answer(to) => {
                self.answer(to, marking, contents);
            }
            Destination::Partner(family) => self.tell_partner(family, contents),
        }
    }

    /// Application data to a peer. A send that fails is the peer's loss, never the allocation's.
    fn forward(&mut self, from: RelayId, label: &Label, payload: &[u8]) {
        let Some(relay) = self.relays.get_mut(from) else {
            self.counters.send_gone += 1;
            return;
        };
        let socket = relay.socket.get_ref().as_fd();
        let parts = [IoSlice::new(payload)];
        let mut outcome = sys::send(socket, label, &parts);
        if let Err(error) = &outcome
            && error.kind() != ErrorKind::WouldBlock
        {
            // The kernel tells ICMP's word on an earlier datagram in place of sending this one, once.
            // Being told takes the error off the socket, but not the loss out of its queue.
            relay.has_losses = true;
            outcome = sys::send(socket, label, &parts);
        }
        if outcome.is_err() {
            self.counters.send_failed += 1;
        }
    }

    /// Application data to a client of another shard, which is told of it at [`Egress::wake_others`].
    fn cross(&mut self, crossing: &Crossing, marking: Marking, payload: &[u8]) {
        let entrances = self.entrances.as_mut();
        let written = entrances.map(|it| it.write(crossing, marking, payload));
        if written != Some(Ok(())) {
            self.counters.crossing_full += 1;
        }
    }

    /// Wakes the shards that there is data for.
    pub(crate) fn wake_others(&mut self) {
        if let Some(entrances) = &mut self.entrances {
            entrances.wake();
        }
    }

    /// Application data to a client over datagrams, under its header.
    fn deliver(&mut self, to: ClientTuple, marking: Marking, header: &RelayHeader, payload: &[u8]) {
        let padding = &[0; 3][..header.padding()];
        let parts = [header, payload, padding].map(IoSlice::new);
        self.send_by_datagram(to, marking, &parts);
    }

    /// A message to a client.
    fn answer(&mut self, to: ClientTuple, marking: Marking, message: &[u8]) {
        let parts = [IoSlice::new(message)];
        if !to.transport.is_stream() {
            return self.send_by_datagram(to, marking, &parts);
        }
        match self.connections.get(&to) {
            // An answer may take the place of media.
            Some(connection) => {
                self.counters.queue_dropped += connection.send(&[parts], Urgency::Answer);
            }
            None => self.counters.send_gone += 1,
        }
    }

    /// A note to the partner of a family.
    fn tell_partner(&mut self, family: AddressFamily, note: &[u8]) {
        let mut partners = self.partners.iter();
        let Some(partner) = partners.find(|partner| partner.family == family) else {
            self.counters.send_gone += 1;
            return;
        };
        let label = Label {
            to: partner.partner,
            from: None,
            marking: Marking::PLAIN,
            dont_fragment: false,
        };
        let parts = [IoSlice::new(note)];
        if sys::send(partner.socket.as_fd(), &label, &parts).is_err() {
            self.counters.send_failed += 1;
        }
    }

    /// Sends a datagram to a client, as it is or in a record.
    fn send_by_datagram(&mut self, to: ClientTuple, marking: Marking, parts: &[IoSlice<'_>]) {
        if to.transport == Transport::Dtls {
            self.seal(to, marking, parts);
        } else {
            self.send_datagram(to, marking, false, parts);
        }
    }

    /// Whether a listener for these transports takes DTLS.
    pub(crate) fn serves_dtls(&self, transports: Transports) -> bool {
        let dtls = self.dtls.as_ref();
        dtls.is_some_and(|dtls| dtls.offer.serves(transports))
    }

    fn seal(&mut self, to: ClientTuple, marking: Marking, parts: &[IoSlice<'_>]) {
        let Some(mut dtls) = self.dtls.take() else {
            self.counters.send_gone += 1;
            return;
        };
        dtls.seal(self, to, marking, parts);
        self.dtls = Some(dtls);
    }

    /// Sends a record of DTLS.
    pub(crate) fn send_record(&mut self, to: ClientTuple, marking: Marking, record: &[u8]) {
        self.send_datagram(to, marking, false, &[IoSlice::new(record)]);
    }

    /// A datagram that this server did not make. QUIC finds out itself how long one may be.
    pub(crate) fn pass(&mut self, to: ClientTuple, datagram: &[u8]) {
        self.send_datagram(to, Marking::PLAIN, true, &[IoSlice::new(datagram)]);
    }

    fn send_datagram(
        &mut self,
        to: ClientTuple,
        marking: Marking,
        dont_fragment: bool,
        parts: &[IoSlice<'_>],
    ) {
        let Some((listener, label)) = self.way_to(to, marking, dont_fragment) else {
            self.counters.send_gone += 1;
            return;
        };
        let socket = self.listeners[listener].socket.get_ref().as_fd();
        if sys::send(socket, &label, parts).is_err() {
            self.counters.send_failed += 1;
        }
    }

    /// The place of the listener that datagrams to a client leave from, and their label.
    fn way_to(
        &self,
        to: ClientTuple,
        marking: Marking,
        dont_fragment: bool,
    ) -> Option<(usize, Label)> {
        let mut listeners = self.listeners.iter();
        let place = listeners.position(|listener| listener.serves(to.server))?;
        // A host with several addresses answers from the one that was asked.
        let from = bind::is_wildcard(self.listeners[place].listen.ip()).then_some(to.server.ip());
        let label = Label {
            to: self.proxied.proxy(to).unwrap_or(to.client),
            from,
            marking,
            dont_fragment,
        };
        Some((place, label))
    }
}

fn label_of(hop: Hop, marking: Marking) -> Label {
    Label {
        to: hop.to.0,
        from: None,
        marking,
        dont_fragment: hop.dont_fragment,
    }
}

#[cfg(test)]
mod tests;
