//! Everything a shard sends.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use hashbrown::HashMap;
use relay::{ClientTuple, PeerAddr, RelayHeader, RelayId, Transport, Verdict};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::bind;
use crate::counters::NetCounters;
use crate::relays::Relays;
use crate::send_queue::Urgency;
use crate::stream::Connection;
use crate::sys;

/// The sockets of a shard, as seen by what leaves it.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    pub(crate) listeners: Vec<UdpListener>,
    pub(crate) relays: Relays,
    pub(crate) connections: HashMap<ClientTuple, Rc<Connection>, ahash::RandomState>,
    pub(crate) counters: NetCounters,
}

/// A UDP socket that clients send to.
#[derive(Debug)]
pub(crate) struct UdpListener {
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
    /// Application data to where the verdict says.
    pub(crate) fn carry(&mut self, verdict: Verdict<'_>) {
        match verdict {
            Verdict::Forward { from, to, payload } => self.forward(from, to, payload),
            Verdict::Deliver {
                to,
                header,
                payload,
            } => self.deliver(to, &header, payload),
            Verdict::Reply(_) | Verdict::ReplyAs { .. } | Verdict::Drop(_) | Verdict::Done => {}
        }
    }

    /// Application data to a peer. A send that fails is the peer's loss, never the allocation's.
    fn forward(&mut self, from: RelayId, to: PeerAddr, payload: &[u8]) {
        let Some(socket) = self.relays.get(from) else {
            self.counters.send_gone += 1;
            return;
        };
        if sys::send(
            socket.get_ref().as_fd(),
            to.0,
            None,
            &[IoSlice::new(payload)],
        )
        .is_err()
        {
            self.counters.send_failed += 1;
        }
    }

    /// Application data to a client, under its header.
    fn deliver(&mut self, to: ClientTuple, header: &RelayHeader, payload: &[u8]) {
        // On a stream every frame ends at a multiple of four. RFC 8656 §12.5.
        let padding = match to.transport {
            Transport::Udp => header.padding(),
            Transport::Tcp => wire::padding(header.len() + payload.len()),
        };
        let parts = [
            IoSlice::new(header),
            IoSlice::new(payload),
            IoSlice::new(&[0; 3][..padding]),
        ];
        self.send(to, &parts, Urgency::Media);
    }

    /// A message to a client.
    pub(crate) fn answer(&mut self, to: ClientTuple, message: &[u8]) {
        self.send(to, &[IoSlice::new(message)], Urgency::Answer);
    }

    fn send(&mut self, to: ClientTuple, parts: &[IoSlice<'_>], urgency: Urgency) {
        match to.transport {
            Transport::Udp => self.send_datagram(to, parts),
            Transport::Tcp => match self.connections.get(&to) {
                Some(connection) => {
                    self.counters.queue_dropped += connection.send(parts, urgency);
                }
                None => self.counters.send_gone += 1,
            },
        }
    }

    fn send_datagram(&mut self, to: ClientTuple, parts: &[IoSlice<'_>]) {
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
        if sys::send(listener.socket.get_ref().as_fd(), to.client, from, parts).is_err() {
            self.counters.send_failed += 1;
        }
    }
}
