//! One shard: a relay core and the sockets around it.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use relay::{
    ClientTuple, Command, DropReason, Effect, Mail, NoKey, Now, OpenError, RelayId, Report, Rules,
    Server, ShardId, Shared, UserName, Verdict,
};
use socket2::Socket;
use tokio::sync::{Notify, watch};

use crate::admission::Admission;
use crate::bind::{self, PartnerSocket};
use crate::dtls::Dtls;
use crate::egress::Egress;
use crate::gate::Gates;
use crate::inbox::{Inbox, Letter, Parcel, Post, Unsent};
use crate::listeners::{Acceptor, Listeners};
use crate::marking::Marking;
use crate::peers::Peers;
use crate::published::{Published, Publisher};
use crate::quic::Flows;
use crate::tls::Tls;
use crate::traces::Outlets;
use crate::turn::Turn;
use crate::web::HttpsBackend;
use crate::{
    Browsers, KeyRequest, KeyStore, ProxyOptions, StreamLimits, Together, WebOptions, clock,
};

/// The parts that every life of a shard is made from.
pub(crate) struct Blueprint {
    pub(crate) number: ShardId,
    pub(crate) post: Arc<Post>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) partners: Arc<Vec<PartnerSocket>>,
    pub(crate) together: Together,
    pub(crate) relay_buffer: Arc<AtomicUsize>,
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

/// The outcome of a client's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It brought data, which leaves with the turn.
    Relayed,
    /// It was of use otherwise. Keepalives are: a Binding indication, a blank Send indication.
    Done,
    /// It was of no use.
    Dropped(DropReason),
}

/// The state of a shard. Its tasks borrow it for one batch at a time, never across an await.
pub(crate) struct Shard {
    pub(crate) server: Server,
    pub(crate) egress: Egress,
    /// The listeners for streams.
    pub(crate) acceptors: Vec<Acceptor>,
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
    /// Bytes of receive buffer that each relay socket asks for.
    relay_buffer: Arc<AtomicUsize>,
    /// Relay sockets that no task reads yet.
    pub(crate) unread: Vec<RelayId>,
    /// There are some again.
    pub(crate) opened: Rc<Notify>,
    pub(crate) number: ShardId,
    post: Arc<Post>,
    publisher: Publisher,
    /// Sockets that came with the letter that is being read.
    arrived: Vec<(RelayId, Socket)>,
    outlets: Outlets,
    /// The socket of a peer that came with it.
    pub(crate) arrived_peer: Option<Socket>,
}

impl Shard {
    /// Without listeners yet.
    pub(crate) fn new(blueprint: &Blueprint) -> Self {
        let config = Arc::clone(&blueprint.config);
        let rules = Arc::clone(&blueprint.rules.borrow());
        let shared = Arc::clone(&blueprint.shared);
        Self {
            server: Server::with_rules(config, rules, shared, blueprint.number, rand::random()),
            egress: Egress::new(blueprint.together),
            acceptors: Vec::new(),
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
            relay_buffer: Arc::clone(&blueprint.relay_buffer),
            unread: Vec::new(),
            opened: Rc::default(),
            number: blueprint.number,
            publisher: Publisher::new(Arc::clone(&blueprint.published)),
            post: Arc::clone(&blueprint.post),
            arrived: Vec::new(),
            arrived_peer: None,
            outlets: Outlets::default(),
            peers: Peers::default(),
        }
    }

    /// Serves clients over DTLS, if a listener takes them by now.
    pub(crate) fn begin_dtls(&mut self) {
        let Some(offer) = self.tls.as_ref().map(|tls| &tls.dtls) else {
            return;
        };
        let mut listeners = self.egress.listeners.iter();
        if self.egress.dtls.is_none() && listeners.any(|own| offer.serves(own.transports)) {
            let dtls = Dtls::new(Arc::clone(offer), clock::now().mono);
            self.egress.dtls = Some(Box::new(dtls));
        }
    }

    /// A packet from a client.
    pub(crate) fn handle_client<'p>(
        &mut self,
        turn: &mut Turn<'p>,
        now: Now,
        client: ClientTuple,
        marking: Marking,
        packet: &'p [u8],
    ) -> Handled {
        let verdict = self.server.handle_client(now, client, packet);
        let handled = match verdict {
            Verdict::Relay(_) => Handled::Relayed,
            Verdict::Answer(_) | Verdict::Done => Handled::Done,
            Verdict::Drop(why) => Handled::Dropped(why),
        };
        turn.push(verdict, marking);
        handled
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

    /// Ends a turn that is full, and begins another.
    pub(crate) fn make_room<'p>(&mut self, turn: &mut Turn<'p>) {
        if turn.is_full() {
            self.next_turn(turn);
        }
    }

    /// Ends a turn, and begins another.
    pub(crate) fn next_turn<'p>(&mut self, turn: &mut Turn<'p>) {
        self.end(turn);
        self.egress.begin_anew(turn);
    }

    /// Ends a turn: sends what it collected, and performs what follows from it. Effects wait for no
    /// packet: a client may send on the strength of what it asked for, and a packet that is dropped
    /// may still have found an allocation to be over.
    pub(crate) fn end(&mut self, turn: &mut Turn<'_>) {
        self.egress.flush(turn);
        self.perform_effects();
        self.publish();
    }

    /// Lets everybody see what was done so far.
    pub(crate) fn publish(&mut self) {
        let (relay, net) = (self.server.counters(), &self.egress.counters);
        self.publisher.publish(relay, net);
    }

    /// Whether a host is turned away, of which the operator hears.
    pub(crate) fn refuses(&mut self, now: Instant, host: IpAddr) -> bool {
        let is_refused = self.server.turns_away(now, host);
        if is_refused {
            self.perform_effects();
        }
        is_refused
    }

    /// Performs the effects of what was handled.
    pub(crate) fn perform_effects(&mut self) {
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                // A shard's mail brings packets without their marking. Few come that way, and best
                // effort is what RFC 8656 §14 has for who cannot tell.
                Effect::Send(outgoing) => {
                    self.egress.send(outgoing.borrowed(), Marking::PLAIN);
                    self.egress.wake_others();
                }
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
                Effect::Traced(traced) => self.outlets.tell(*traced),
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
            Letter::Trace(trace, outlet) => {
                self.outlets.add(outlet);
                self.server.handle_command(now, Command::Trace(trace));
            }
            Letter::Command(command, answer) => {
                if let Command::Untrace(id) = command {
                    self.outlets.remove(id);
                }
                let answered = self.server.handle_command(now, command);
                self.perform_effects();
                // Nobody may wait for it any more.
                let _ = answer.send(answered);
            }
            // `read_mail` takes it. A shard that stops needs no listeners.
            Letter::Listeners(_) => {}
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
        let buffer = self.relay_buffer.load(Ordering::Relaxed);
        let socket = bind::relay(local, self.egress.together, buffer)?;
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
