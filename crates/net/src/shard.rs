//! One shard: a relay core and the sockets around it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use relay::{
    ClientTuple, DropReason, Effect, Mail, NoKey, Now, OpenError, RelayId, Report, Rules, Server,
    ShardId, Shared, UserName, Verdict,
};
use socket2::Socket;
use tokio::sync::{Notify, watch};

use crate::admission::Admission;
use crate::bind::{self, Bound, PartnerSocket};
use crate::dtls::Dtls;
use crate::egress::{Egress, UdpListener};
use crate::gate::Gates;
use crate::inbox::{Inbox, Letter, Parcel, Post, Unsent};
use crate::marking::Marking;
use crate::peers::Peers;
use crate::published::{Published, Totals};
use crate::quic::Flows;
use crate::tls::Tls;
use crate::turn::Turn;
use crate::web::HttpsBackend;
use crate::{Browsers, KeyRequest, KeyStore, ProxyOptions, StreamLimits, WebOptions, clock};

/// The parts that every life of a shard is made from.
pub(crate) struct Blueprint {
    pub(crate) number: ShardId,
    pub(crate) post: Arc<Post>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) bound: Vec<Bound>,
    pub(crate) partners: Arc<Vec<PartnerSocket>>,
    pub(crate) config: Arc<relay::Config>,
    /// The rules that hold: those of a new life.
    pub(crate) rules: watch::Receiver<Arc<Rules>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) streams: StreamLimits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) proxies: Arc<ProxyOptions>,
    pub(crate) web: WebOptions,
    pub(crate) browsers: Option<Browsers>,
    /// Counts the flows of QUIC, of all shards.
    pub(crate) flows: Arc<Admission>,
    pub(crate) report: Arc<dyn Fn(Report) + Send + Sync>,
    pub(crate) keys: Option<KeyStore>,
    pub(crate) stop: watch::Receiver<bool>,
    /// The counters of all lives of the shard.
    pub(crate) published: Arc<Published>,
    /// Counts the turns of the shard's clock.
    pub(crate) heartbeat: Arc<AtomicU64>,
    /// Is told once clients are served.
    pub(crate) ready: mpsc::Sender<()>,
}

impl Blueprint {
    /// Its clients over DTLS, if a listener takes them.
    fn dtls(&self) -> Option<Dtls> {
        let offer = &self.tls.as_ref()?.dtls;
        let mut bound = self.bound.iter();
        let is_served = bound.any(|bound| offer.serves(bound.transports));
        is_served.then(|| Dtls::new(Arc::clone(offer), clock::now().mono))
    }
}

/// The state of a shard. Its tasks borrow it for one batch at a time, never across an await.
pub(crate) struct Shard {
    pub(crate) server: Server,
    pub(crate) egress: Egress,
    pub(crate) peers: Peers,
    pub(crate) gates: Gates,
    pub(crate) limits: StreamLimits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) proxies: Arc<ProxyOptions>,
    pub(crate) https: Option<HttpsBackend>,
    pub(crate) browsers: Option<Browsers>,
    /// None without an HTTP/3 server.
    pub(crate) flows: Option<Flows>,
    report: Arc<dyn Fn(Report) + Send + Sync>,
    keys: Option<KeyStore>,
    /// Relay sockets that no task reads yet.
    pub(crate) unread: Vec<RelayId>,
    /// There are some again.
    pub(crate) opened: Rc<Notify>,
    number: ShardId,
    post: Arc<Post>,
    published: Arc<Published>,
    /// The counters of its earlier lives.
    earlier: Totals,
    /// Sockets that came with the letter that is being read.
    arrived: Vec<(RelayId, Socket)>,
    /// The socket of a peer that came with it.
    pub(crate) arrived_peer: Option<Socket>,
}

impl Shard {
    pub(crate) fn new(blueprint: &Blueprint, listeners: Vec<UdpListener>) -> Self {
        let config = Arc::clone(&blueprint.config);
        let rules = Arc::clone(&blueprint.rules.borrow());
        let shared = Arc::clone(&blueprint.shared);
        let mut egress = Egress::of(listeners);
        egress.dtls = blueprint.dtls().map(Box::new);
        Self {
            server: Server::with_rules(config, rules, shared, blueprint.number, rand::random()),
            egress,
            gates: Gates::new(),
            limits: blueprint.streams,
            admission: Arc::clone(&blueprint.admission),
            tls: blueprint.tls.clone(),
            proxies: Arc::clone(&blueprint.proxies),
            https: HttpsBackend::of(blueprint.web),
            browsers: blueprint.browsers.clone(),
            flows: (blueprint.web.quic)
                .map(|backend| Flows::to(backend, Arc::clone(&blueprint.flows))),
            report: Arc::clone(&blueprint.report),
            keys: blueprint.keys.clone(),
            unread: Vec::new(),
            opened: Rc::default(),
            number: blueprint.number,
            earlier: blueprint.published.load(),
            published: Arc::clone(&blueprint.published),
            post: Arc::clone(&blueprint.post),
            arrived: Vec::new(),
            arrived_peer: None,
            peers: Peers::default(),
        }
    }

    /// A packet from a client; why it was dropped, if it was of no use. Keepalives are: a Binding
    /// indication, a blank Send indication.
    pub(crate) fn handle_client<'p>(
        &mut self,
        turn: &mut Turn<'p>,
        now: Now,
        client: ClientTuple,
        marking: Marking,
        packet: &'p [u8],
    ) -> Option<DropReason> {
        let verdict = self.server.handle_client(now, client, packet);
        let dropped = if let Verdict::Drop(why) = verdict {
            Some(why)
        } else {
            None
        };
        turn.push(verdict, marking);
        dropped
    }

    /// When the shard has something to do although no packet comes.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self
            .egress
            .dtls
            .as_ref()
            .and_then(|dtls| dtls.poll_timeout());
        self.server.poll_timeout().into_iter().chain(dtls).min()
    }

    /// Ends a turn: sends what it collected, and performs what follows from it. Effects wait for no
    /// packet: a client may send on the strength of what it asked for, and a packet that is dropped
    /// may still have found an allocation to be over.
    pub(crate) fn end(&mut self, turn: Turn<'_>) {
        self.egress.flush(turn);
        self.perform_effects();
        self.publish();
    }

    /// Lets everybody see what was done so far.
    pub(crate) fn publish(&self) {
        let (relay, net) = (self.server.counters(), &self.egress.counters);
        self.published.store(&self.earlier, relay, net);
    }

    /// Performs the effects of what was handled.
    pub(crate) fn perform_effects(&mut self) {
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                // A shard's mail brings packets without their marking. Few come that way, and best
                // effort is what RFC 8656 §14 has for who cannot tell.
                Effect::Send(outgoing) => self.egress.send(outgoing.borrowed(), Marking::PLAIN),
                Effect::OpenRelay { relay, local } => {
                    let outcome = self.open_relay(relay, local);
                    self.server.handle_opened(clock::now().mono, relay, outcome);
                }
                Effect::OpenTcpRelay { relay, local } => {
                    let outcome = self.open_tcp_relay(relay, local);
                    self.server.handle_opened(clock::now().mono, relay, outcome);
                }
                Effect::CloseRelay { relay } => {
                    self.egress.relays.close(relay);
                    self.peers.close_listener(relay);
                }
                Effect::Connect {
                    connection,
                    local,
                    peer,
                } => self.connect_peer(connection, local, peer),
                Effect::CloseConnection { connection } => self.peers.close(connection),
                Effect::Splice {
                    client,
                    connection,
                    passage,
                } => self.splice(client, connection, passage),
                Effect::AdoptConnection { connection } => self.adopt_connection(connection),
                Effect::Report(report) => (self.report)(report),
                // No kernel carries packets for this server yet.
                Effect::Bind(_) | Effect::Unbind(_) => {}
                Effect::Mail { to, mail } => self.write(to, mail),
                Effect::AdoptRelay { was, relay } => self.adopt(was, relay),
                Effect::FetchKey { name, deadline } => self.ask_for_key(name, deadline),
            }
        }
    }

    /// Reads a letter of another shard or of the control side.
    pub(crate) fn handle_letter(&mut self, letter: Letter) {
        let now = clock::now();
        match letter {
            Letter::Mail(parcel) => {
                self.arrived = parcel.sockets;
                self.arrived_peer = parcel.peer;
                self.server.handle_mail(now, parcel.from, parcel.mail);
                self.perform_effects();
                self.arrived.clear();
                self.arrived_peer = None;
            }
            Letter::Command(command, answer) => {
                let answered = self.server.handle_command(now, command);
                self.perform_effects();
                // Nobody may wait for it any more.
                let _ = answer.send(answered);
            }
            Letter::Key(name, outcome) => {
                self.server.handle_key(now, &name, outcome);
                self.perform_effects();
            }
        }
    }

    fn ask_for_key(&mut self, name: UserName, deadline: Instant) {
        let Some(keys) = &self.keys else {
            let unavailable = Err(NoKey::Unavailable);
            return self.server.handle_key(clock::now(), &name, unavailable);
        };
        keys(KeyRequest {
            name,
            deadline,
            shard: self.number,
            post: Arc::clone(&self.post),
        });
    }

    fn write(&mut self, to: ShardId, mail: Mail) {
        let mut sockets = Vec::new();
        if let Mail::Arrive(arrival) = &mail {
            for relay in arrival.relays() {
                sockets.extend(self.egress.relays.take(relay).map(|socket| (relay, socket)));
            }
        }
        let peer = if let Mail::Yield { connection } = mail {
            self.peers.take(connection)
        } else {
            None
        };
        let from = self.number;
        let parcel = Parcel {
            from,
            mail,
            sockets,
            peer,
        };
        let unsent = match self.post.send(to, parcel) {
            Ok(()) => return,
            Err(Unsent::Full(parcel)) => {
                self.egress.counters.inbox_full += 1;
                parcel
            }
            Err(Unsent::Gone(parcel)) => parcel,
        };
        let Parcel {
            mail,
            sockets,
            peer,
            ..
        } = *unsent;
        // Closed before their ports are free.
        drop((sockets, peer));
        self.server.handle_undelivered(clock::now().mono, to, mail);
    }

    /// Serves a socket that came from another shard.
    fn adopt(&mut self, was: RelayId, relay: RelayId) {
        let found = self.arrived.iter().position(|(name, _)| *name == was);
        let socket = found.map(|at| self.arrived.swap_remove(at).1);
        let adopted = socket.is_some_and(|socket| self.egress.relays.insert(relay, socket).is_ok());
        if adopted {
            self.egress.relays.note_losses(relay);
            self.note_opened(relay);
        } else {
            self.server.handle_stranded(clock::now().mono, relay);
        }
    }

    fn open_relay(&mut self, relay: RelayId, local: SocketAddr) -> Result<(), OpenError> {
        let socket = bind::relay(local)?;
        self.egress
            .relays
            .insert(relay, socket)
            .map_err(|_| OpenError::Exhausted)?;
        self.note_opened(relay);
        Ok(())
    }

    /// A task is to read this socket.
    fn note_opened(&mut self, relay: RelayId) {
        self.unread.push(relay);
        self.opened.notify_one();
    }
}
