//! Everything a shard sends.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use hashbrown::HashMap;
use relay::{AddressFamily, ClientTuple, Destination, Outgoing, RelayHeader, RelayId, Transport};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::Transports;
use crate::bind::{self, PartnerSocket};
use crate::connection::Connection;
use crate::counters::NetCounters;
use crate::dtls::Dtls;
use crate::marking::Marking;
use crate::relays::Relays;
use crate::send_queue::Urgency;
use crate::sys::{self, Label};
use crate::turn::Turn;

/// The sockets of a shard, as seen by what leaves it.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    pub(crate) listeners: Vec<UdpListener>,
    pub(crate) partners: Vec<PartnerSocket>,
    pub(crate) relays: Relays,
    pub(crate) connections: HashMap<ClientTuple, Rc<Connection>, ahash::RandomState>,
    /// The clients over DTLS, if it is served.
    pub(crate) dtls: Option<Box<Dtls>>,
    pub(crate) counters: NetCounters,
    /// Where a turn keeps its answers.
    answers: Vec<u8>,
}

/// A UDP socket that clients send to.
#[derive(Debug)]
pub(crate) struct UdpListener {
    pub(crate) transports: Transports,
    pub(crate) listen: SocketAddr,
    pub(crate) socket: AsyncFd<Socket>,
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
    /// Of a shard that has no more than listeners yet.
    pub(crate) fn of(listeners: Vec<UdpListener>) -> Self {
        Self {
            listeners,
            ..Self::default()
        }
    }

    /// Begins a turn.
    pub(crate) fn begin<'p>(&mut self) -> Turn<'p> {
        Turn::new(std::mem::take(&mut self.answers))
    }

    /// Sends all that a turn has collected.
    pub(crate) fn flush(&mut self, turn: Turn<'_>) {
        for (outgoing, marking) in turn.departures() {
            self.send(outgoing, marking);
        }
        self.answers = turn.into_answers();
    }

    /// Sends one datagram or frame. RFC 8656 §14.
    pub(crate) fn send(&mut self, outgoing: Outgoing<&[u8]>, marking: Marking) {
        let Outgoing { to, contents } = outgoing;
        match to {
            Destination::Peer(hop) => {
                let label = Label {
                    to: hop.to.0,
                    from: None,
                    marking,
                    dont_fragment: hop.dont_fragment,
                };
                self.forward(hop.from, &label, contents);
            }
            Destination::Client { client, header } => {
                self.deliver(client, marking, &header, contents);
            }
            Destination::Answer(to) => {
                let parts = [IoSlice::new(contents)];
                self.send_to_client(to, marking, &parts, Urgency::Answer);
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
            // What ICMP said of an earlier datagram is told in place of sending this one, once.
            // Being told takes the error off the socket, but not the loss out of its queue.
            relay.has_losses = true;
            outcome = sys::send(socket, label, &parts);
        }
        if outcome.is_err() {
            self.counters.send_failed += 1;
        }
    }

    /// Application data to a client, under its header.
    fn deliver(&mut self, to: ClientTuple, marking: Marking, header: &RelayHeader, payload: &[u8]) {
        // On a stream every frame ends at a multiple of four. RFC 8656 §12.5.
        let padding = if to.transport.is_stream() {
            wire::padding(header.len() + payload.len())
        } else {
            header.padding()
        };
        let parts = [
            IoSlice::new(header),
            IoSlice::new(payload),
            IoSlice::new(&[0; 3][..padding]),
        ];
        self.send_to_client(to, marking, &parts, Urgency::Media);
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

    fn send_to_client(
        &mut self,
        to: ClientTuple,
        marking: Marking,
        parts: &[IoSlice<'_>],
        urgency: Urgency,
    ) {
        match to.transport {
            Transport::Udp => return self.send_datagram(to, marking, parts),
            Transport::Dtls => return self.seal(to, marking, parts),
            Transport::Tcp | Transport::Tls => {}
        }
        // A stream has one marking, whatever it carries. RFC 8656 §16.
        match self.connections.get(&to) {
            Some(connection) => {
                self.counters.queue_dropped += connection.send(parts, urgency);
            }
            None => self.counters.send_gone += 1,
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
        self.send_datagram(to, marking, &[IoSlice::new(record)]);
    }

    fn send_datagram(&mut self, to: ClientTuple, marking: Marking, parts: &[IoSlice<'_>]) {
        let Some(listener) = self
            .listeners
            .iter()
            .find(|listener| listener.serves(to.server))
        else {
            self.counters.send_gone += 1;
            return;
        };
        // A host with several addresses answers from the one that was asked.
        let from = bind::is_wildcard(listener.listen.ip()).then_some(to.server.ip());
        let label = Label {
            to: to.client,
            from,
            marking,
            dont_fragment: false,
        };
        if sys::send(listener.socket.get_ref().as_fd(), &label, parts).is_err() {
            self.counters.send_failed += 1;
        }
    }
}
