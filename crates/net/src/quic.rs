//! QUIC of clients without an allocation, passed to an HTTP/3 server and back. RFC 9000, RFC 9443.
//!
//! A *flow* is a client and the socket by which the HTTP/3 server knows it. The source address of a
//! datagram is whatever its sender wrote there, and to the HTTP/3 server all clients have the address
//! of this host: its own proofs of their addresses, such as tokens, prove nothing. So a client is
//! *unproven* until it has named a connection ID that only its server could have told it. Until then
//! it is sent at most three times what it sent (RFC 9000 §8.1), within the budget for strangers, and
//! its flow has a short life and one of few places.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use relay::ClientTuple;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time;

use crate::admission::{Admission, Admitted};
use crate::first_bytes::Datagram;
use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::proxied::has_allocation;
use crate::seldom::Seldom;
use crate::shard::Shard;
use crate::sys::BATCH;
use crate::{StreamLimits, clock};

mod packet;

use packet::{ConnectionId, Long, names};

/// The flows of a shard.
pub(crate) struct Flows {
    backend: SocketAddr,
    /// Counts those of all shards.
    admission: Arc<Admission>,
    flows: HashMap<ClientTuple, Rc<Flow>, ahash::RandomState>,
    unproven: usize,
    /// Those that no task serves yet.
    unserved: Vec<ClientTuple>,
}

/// A client of the HTTP/3 server.
pub(crate) struct Flow {
    socket: UdpSocket,
    /// Its place among all flows.
    admitted: Admitted,
    trust: Cell<Trust>,
    /// When the last datagram came, of either side.
    last: Cell<Instant>,
    began: Instant,
    /// Notified when an allocation takes the place of the flow.
    ended: Notify,
}

/// Whether the client of a flow has the address that it claims.
#[derive(Clone, Copy, Debug)]
enum Trust {
    Unproven(Claim),
    Proven,
}

/// The claim of a client whose address is not proven.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// The connection ID that the client invented for its first packet.
    invented: ConnectionId,
    /// The one that the HTTP/3 server chose.
    chosen: Option<ConnectionId>,
    /// Bytes that came from the client, and that went to it.
    received: usize,
    sent: usize,
}

/// The bound on flows, for [`Admission`].
pub(crate) const fn limits() -> StreamLimits {
    StreamLimits {
        connections: FLOWS,
        per_prefix: OF_PREFIX,
        first_frame: UNPROVEN,
        idle: SILENT,
        stranger_lifetime: SILENT,
        send_queue: 0,
    }
}

impl Flows {
    /// Of a shard that has none yet.
    pub(crate) fn to(backend: SocketAddr, admission: Arc<Admission>) -> Self {
        Self {
            backend,
            admission,
            flows: HashMap::default(),
            unproven: 0,
            unserved: Vec::new(),
        }
    }

    /// Those that came since the last call and that no task serves.
    fn take_unserved(&mut self) -> Vec<(ClientTuple, Rc<Flow>)> {
        let new = std::mem::take(&mut self.unserved).into_iter();
        new.filter_map(|client| Some((client, Rc::clone(self.flows.get(&client)?))))
            .collect()
    }

    /// Opens a flow for a datagram that may begin a connection, if there is room.
    fn open(&mut self, client: ClientTuple, datagram: &[u8], now: Instant) -> Option<Rc<Flow>> {
        let invented = packet::begins_connection(datagram)?;
        if self.unproven >= UNPROVEN_FLOWS {
            return None;
        }
        let admitted = self.admission.admit(client.client.ip())?;
        let flow = Rc::new(Flow {
            socket: connect(self.backend).ok()?,
            admitted,
            trust: Cell::new(Trust::Unproven(Claim {
                invented,
                chosen: None,
                received: 0,
                sent: 0,
            })),
            last: Cell::new(now),
            began: now,
            ended: Notify::new(),
        });
        self.unproven += 1;
        self.flows.insert(client, Rc::clone(&flow));
        self.unserved.push(client);
        Some(flow)
    }

    fn close(&mut self, client: ClientTuple) {
        if let Some(flow) = self.flows.remove(&client)
            && matches!(flow.trust.get(), Trust::Unproven(_))
        {
            self.unproven -= 1;
        }
    }
}

impl Flow {
    /// Notes a datagram of the client. Returns whether it proves the client's address.
    fn note_received(&self, datagram: &[u8], now: Instant) -> bool {
        self.last.set(now);
        let Trust::Unproven(mut claim) = self.trust.get() else {
            return false;
        };
        let is_proof = (claim.chosen).is_some_and(|chosen| names(datagram, &chosen));
        claim.received += datagram.len();
        self.trust.set(if is_proof {
            Trust::Proven
        } else {
            Trust::Unproven(claim)
        });
        is_proof
    }

    /// Notes a datagram of the HTTP/3 server. Returns by how many bytes it makes up for more than
    /// the client sent, `None` if it may not be sent at all.
    fn note_sent(&self, datagram: &[u8], now: Instant) -> Option<usize> {
        self.last.set(now);
        let Trust::Unproven(mut claim) = self.trust.get() else {
            return Some(0);
        };
        let total = claim.sent + datagram.len();
        if total > AMPLIFICATION * claim.received {
            return None;
        }
        let excess = total.saturating_sub(claim.received.max(claim.sent));
        // A server that does not know the version sends the client's own ID back.
        let told = || Long::read(datagram).filter(Long::is_of_a_version);
        let new = || told().and_then(|packet| ConnectionId::of_server(packet.source));
        let chosen = claim.chosen;
        claim.chosen = chosen.or_else(|| new().filter(|new| *new != claim.invented));
        claim.sent = total;
        self.trust.set(Trust::Unproven(claim));
        Some(excess)
    }

    /// When the flow ends if nothing comes.
    fn deadline(&self) -> Instant {
        match self.trust.get() {
            Trust::Unproven(_) => self.began + UNPROVEN,
            Trust::Proven => self.last.get() + SILENT,
        }
    }
}

impl Shard {
    /// The flows that came since the last call, which no task serves yet.
    pub(crate) fn take_unserved(&mut self) -> Vec<(ClientTuple, Rc<Flow>)> {
        self.flows
            .as_mut()
            .map(Flows::take_unserved)
            .unwrap_or_default()
    }

    /// Passes a client's datagram to the HTTP/3 server. Returns whether it was QUIC's. Nothing of a
    /// client with an allocation is: all but one of the first bytes of QUIC could be ChannelData
    /// where clients use the channels of RFC 5766, or a part of it (RFC 9443 §3).
    pub(crate) fn pass_to_web(
        &mut self,
        client: ClientTuple,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let Some(flows) = &mut self.flows else {
            return false;
        };
        let flow = match Datagram::of(datagram) {
            Datagram::Quic => flows.flows.get(&client),
            // A quarter of the packets with a short header look like it.
            Datagram::ChannelData => match flows.flows.get(&client) {
                None => return false,
                flow => flow,
            },
            Datagram::Stun | Datagram::Dtls | Datagram::Other => return false,
        };
        if has_allocation(&self.server, client) {
            if let Some(flow) = flow {
                flow.ended.notify_one();
            }
            return false;
        }
        let counters = &mut self.egress.counters;
        let flow = match flow.map(Rc::clone) {
            Some(flow) => flow,
            None if self.server.turns_away(now, client.client.ip()) => {
                self.perform_effects();
                return true;
            }
            None => match flows.open(client, datagram, now) {
                Some(flow) => {
                    counters.quic_flows += 1;
                    self.opened.notify_one();
                    flow
                }
                None => {
                    counters.quic_refused += 1;
                    return true;
                }
            },
        };
        if flow.note_received(datagram, now) {
            flows.unproven -= 1;
        }
        // The runtime does not know yet that a new socket can send.
        if let Err(error) = SockRef::from(&flow.socket).send(datagram) {
            counters.quic_lost += 1;
            say_why(flows.backend, &error, now);
        }
        true
    }

    /// Passes datagrams of the HTTP/3 server to their client, as many as one turn may take. Returns
    /// whether the flow goes on.
    fn pass_to_client(&mut self, client: ClientTuple, flow: &Flow, scratch: &mut [u8]) -> bool {
        if has_allocation(&self.server, client) {
            return false;
        }
        let now = clock::now().mono;
        let mut count = 0;
        while count < BATCH {
            let datagram = match flow.socket.try_recv(scratch) {
                Ok(length) => &scratch[..length],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    if let Some(flows) = &self.flows {
                        say_why(flows.backend, &error, now);
                    }
                    break;
                }
            };
            count += 1;
            let excess = flow.note_sent(datagram, now);
            let is_within_budget = excess.is_some_and(|excess| {
                excess == 0 || self.server.may_amplify(now, client.client.ip(), excess)
            });
            if is_within_budget {
                self.egress.pass(client, datagram);
            } else {
                self.egress.counters.quic_held_back += 1;
            }
        }
        self.gates.streams.spend(count);
        true
    }
}

/// Serves one flow to its end.
pub(crate) async fn serve(shard: Handle, client: ClientTuple, flow: Rc<Flow>) {
    let _alarm = Alarm::of(&shard);
    let place = RefCell::new(Place::of(flow.admitted.party()));
    loop {
        tokio::select! {
            ready = flow.socket.readable() => {
                if ready.is_err() {
                    break;
                }
                crate::stream::turn(&shard, &place).await;
                let mut scratch = shard.scratch.borrow_mut();
                let mut shard = shard.shard.borrow_mut();
                if !shard.pass_to_client(client, &flow, &mut scratch) {
                    break;
                }
            }
            () = time::sleep_until(flow.deadline().into()) => {
                if flow.deadline() <= clock::now().mono {
                    break;
                }
            }
            () = flow.ended.notified() => break,
        }
        // Others have their turn before the next one.
        tokio::task::yield_now().await;
    }
    if let Some(flows) = &mut shard.shard.borrow_mut().flows {
        flows.close(client);
    }
}

/// A socket of its own for one client.
fn connect(backend: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match backend {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(backend)?;
    UdpSocket::from_std(socket)
}

fn say_why(backend: SocketAddr, error: &io::Error, now: Instant) {
    static UNREACHABLE: Seldom = Seldom::new();
    if error.kind() != ErrorKind::WouldBlock && UNREACHABLE.may_log(now) {
        tracing::warn!(
            %backend,
            %error,
            "web.unreachable: the HTTP/3 server cannot be reached (key `quic-backend` in [web])"
        );
    }
}

/// Flows of QUIC that all shards together pass on, each with a file descriptor of its own.
pub const FLOWS: usize = 4096;
/// Those of one source prefix.
const OF_PREFIX: usize = 256;
/// Unproven flows of one shard, and how long one may be so. A client proves itself by the second of
/// its flights, unless it is lost over and over.
const UNPROVEN_FLOWS: usize = 1024;
const UNPROVEN: Duration = Duration::from_secs(10);
/// As long as a NAT keeps a mapping. RFC 4787, REQ-5.
const SILENT: Duration = Duration::from_secs(120);
/// How many times the bytes that came from it an unproven client may be sent. RFC 9000 §8.1.
const AMPLIFICATION: usize = 3;
