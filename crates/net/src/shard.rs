//! One shard: a relay core and the sockets around it, on one thread.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use relay::{
    ClientTuple, Counters, Effect, Mail, Now, OpenError, RelayId, Report, Server, ShardId, Shared,
    Transport, Verdict,
};
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time;

use crate::admission::Admission;
use crate::bind::{self, Bound, PartnerSocket};
use crate::counters::NetCounters;
use crate::egress::{Egress, UdpListener};
use crate::inbox::{self, Inbox, Letter, Post, Unsent};
use crate::marking::Marking;
use crate::sys::{self, Batch};
use crate::turn::Turn;
use crate::{StreamLimits, clock, stream, udp};

/// What a shard is made from, once and again.
pub(crate) struct Blueprint {
    pub(crate) number: ShardId,
    pub(crate) post: Arc<Post>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) bound: Vec<Bound>,
    pub(crate) partners: Arc<Vec<PartnerSocket>>,
    pub(crate) config: Arc<relay::Config>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) streams: StreamLimits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) report: Arc<dyn Fn(Report) + Send + Sync>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Counts the turns of the shard's clock.
    pub(crate) heartbeat: Arc<AtomicU64>,
    /// Is told once clients are served.
    pub(crate) ready: mpsc::Sender<()>,
}

/// The state of a shard. Its tasks borrow it for one batch at a time, never across an await.
pub(crate) struct Shard {
    pub(crate) server: Server,
    pub(crate) egress: Egress,
    pub(crate) limits: StreamLimits,
    pub(crate) admission: Arc<Admission>,
    report: Arc<dyn Fn(Report) + Send + Sync>,
    /// Relay sockets that have no task yet.
    pub(crate) opened: Vec<RelayId>,
    number: ShardId,
    post: Arc<Post>,
    /// Sockets that came with the letter that is being read.
    arrived: Vec<(RelayId, Socket)>,
}

/// What the tasks of a shard's thread share.
pub(crate) struct Local {
    pub(crate) shard: RefCell<Shard>,
    /// Where datagrams are received into.
    pub(crate) batch: RefCell<Batch>,
    /// Where streams are read into.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// A task panicked, and what it left half done is not to be trusted: the shard ends.
    panicked: Notify,
}

pub(crate) type Handle = Rc<Local>;

/// Runs a shard on this thread until it is told to stop.
///
/// # Errors
/// If it cannot begin, or a task panicked. What its clients had is given up then; their sockets
/// are the blueprint's and stay, so that a new life of the shard hears the same clients.
pub(crate) fn run(blueprint: &Blueprint) -> io::Result<(Counters, NetCounters)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(serve(blueprint)))
}

async fn serve(blueprint: &Blueprint) -> io::Result<(Counters, NetCounters)> {
    let Sockets {
        listeners,
        acceptors,
    } = Sockets::of(&blueprint.bound)?;
    let udp_listeners = listeners.len();
    let mut shard = Shard::new(blueprint, listeners);
    for partner in blueprint.partners.iter() {
        shard.egress.partners.push(partner.try_clone()?);
    }
    let shard = Rc::new(Local::new(shard));
    let mut tasks = JoinSet::new();
    if blueprint.number == KEEPS_PARTNERS {
        for partner in blueprint.partners.iter() {
            let socket = sys::register(partner.socket.try_clone()?)?;
            tasks.spawn_local(udp::partner(Rc::clone(&shard), socket));
        }
        shard.shard.borrow_mut().server.keep_partners(clock::now());
    }
    for index in 0..udp_listeners {
        tasks.spawn_local(udp::listen(Rc::clone(&shard), index));
    }
    for acceptor in acceptors {
        tasks.spawn_local(stream::accept(Rc::clone(&shard), acceptor));
    }
    let (post, inbox) = (Arc::clone(&blueprint.post), Arc::clone(&blueprint.inbox));
    let mail = inbox::read(Rc::clone(&shard), post, blueprint.number, inbox);
    tasks.spawn_local(mail);
    let heartbeat = Arc::clone(&blueprint.heartbeat);
    tasks.spawn_local(keep_time(Rc::clone(&shard), heartbeat));
    // Who started the shards has stopped listening if this is not its first life.
    let _ = blueprint.ready.send(());

    let mut stop = blueprint.stop.clone();
    let outcome = tokio::select! {
        // A sender that is gone means the same as one that says stop.
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        _ = tasks.join_next() => Err(io::Error::other("a listener or the clock stopped")),
        () = shard.panicked.notified() => Err(io::Error::other("a task panicked")),
    };
    tasks.shutdown().await;
    // Also after a fault: the other shards want the ports back.
    let mut shard = shard.shard.borrow_mut();
    if outcome.is_ok() {
        // No next life will read it.
        while let Some(letter) = blueprint.inbox.last() {
            shard.handle_letter(letter);
        }
    }
    shard.server.handle_shutdown(clock::now().mono);
    shard.settle();
    outcome.map(|()| (shard.server.counters().clone(), shard.egress.counters))
}

/// The sockets of one life of a shard, on its runtime.
struct Sockets {
    listeners: Vec<UdpListener>,
    acceptors: Vec<TcpListener>,
}

impl Sockets {
    fn of(bound: &[Bound]) -> io::Result<Self> {
        let (mut listeners, mut acceptors) = (Vec::new(), Vec::new());
        for Bound {
            transport,
            listen,
            socket,
        } in bound
        {
            let socket = socket.try_clone()?;
            match transport {
                Transport::Udp => {
                    let socket = sys::register(socket)?;
                    listeners.push(UdpListener {
                        listen: *listen,
                        socket,
                    });
                }
                Transport::Tcp => acceptors.push(TcpListener::from_std(socket.into())?),
            }
        }
        Ok(Self {
            listeners,
            acceptors,
        })
    }
}

/// Ends what is due, also when no packet comes.
async fn keep_time(shard: Handle, heartbeat: Arc<AtomicU64>) {
    loop {
        let next = shard.shard.borrow().server.poll_timeout();
        let tick = time::Instant::now() + TICK;
        time::sleep_until(next.map_or(tick, |next| tick.min(next.into()))).await;
        heartbeat.fetch_add(1, Ordering::Relaxed);
        let mut shard = shard.shard.borrow_mut();
        shard.server.handle_timeout(clock::now());
        shard.settle();
    }
}

impl Local {
    fn new(shard: Shard) -> Self {
        Self {
            shard: RefCell::new(shard),
            batch: RefCell::new(Batch::new()),
            scratch: RefCell::new(vec![0; SCRATCH]),
            panicked: Notify::new(),
        }
    }
}

impl Shard {
    fn new(blueprint: &Blueprint, listeners: Vec<UdpListener>) -> Self {
        let config = Arc::clone(&blueprint.config);
        let shared = Arc::clone(&blueprint.shared);
        Self {
            server: Server::new(config, shared, blueprint.number, rand::random()),
            egress: Egress::of(listeners),
            limits: blueprint.streams,
            admission: Arc::clone(&blueprint.admission),
            report: Arc::clone(&blueprint.report),
            opened: Vec::new(),
            number: blueprint.number,
            post: Arc::clone(&blueprint.post),
            arrived: Vec::new(),
        }
    }

    /// A packet from a client; whether it was of any use. Keepalives are: a Binding indication, a
    /// blank Send indication.
    pub(crate) fn handle_client<'p>(
        &mut self,
        turn: &mut Turn<'p>,
        now: Now,
        client: ClientTuple,
        marking: Marking,
        packet: &'p [u8],
    ) -> bool {
        let verdict = self.server.handle_client(now, client, packet);
        let useful = !matches!(verdict, Verdict::Drop(_));
        turn.push(verdict, marking);
        useful
    }

    /// Ends a turn: sends what it collected, and performs what follows from it. Effects wait for no
    /// packet: a client may send on the strength of what it asked for, and a packet that is dropped
    /// may still have found an allocation to be over.
    pub(crate) fn end(&mut self, turn: Turn<'_>) {
        self.egress.flush(turn);
        self.settle();
    }

    /// Performs the effects of what was handled.
    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                // A shard's mail brings packets without their marking. Few come that way, and best
                // effort is what RFC 8656 §14 has for who cannot tell.
                Effect::Send(outgoing) => self.egress.send(outgoing.borrowed(), Marking::PLAIN),
                Effect::OpenRelay { relay, local } => {
                    let outcome = self.open_relay(relay, local);
                    self.server.handle_opened(clock::now().mono, relay, outcome);
                }
                Effect::CloseRelay { relay } => self.egress.relays.close(relay),
                Effect::Report(report) => (self.report)(report),
                Effect::Mail { to, mail } => self.write(to, mail),
                Effect::AdoptRelay { was, relay } => self.adopt(was, relay),
            }
        }
    }

    /// What another shard writes.
    pub(crate) fn handle_letter(&mut self, letter: Letter) {
        self.arrived = letter.sockets;
        let now = clock::now();
        self.server.handle_mail(now, letter.from, letter.mail);
        self.settle();
        self.arrived.clear();
    }

    fn write(&mut self, to: ShardId, mail: Mail) {
        let mut sockets = Vec::new();
        if let Mail::Arrive(arrival) = &mail {
            for relay in arrival.relays() {
                sockets.extend(self.egress.relays.take(relay).map(|socket| (relay, socket)));
            }
        }
        let from = self.number;
        let letter = Letter {
            from,
            mail,
            sockets,
        };
        let unsent = match self.post.send(to, letter) {
            Ok(()) => return,
            Err(Unsent::Full(letter)) => {
                self.egress.counters.inbox_full += 1;
                letter
            }
            Err(Unsent::Gone(letter)) => letter,
        };
        let Letter { mail, sockets, .. } = *unsent;
        // Closed before their ports are free.
        drop(sockets);
        self.server.handle_undelivered(clock::now().mono, to, mail);
    }

    /// Serves a socket that came from another shard.
    fn adopt(&mut self, was: RelayId, relay: RelayId) {
        let found = self.arrived.iter().position(|(name, _)| *name == was);
        let socket = found.map(|at| self.arrived.swap_remove(at).1);
        let adopted = socket.is_some_and(|socket| self.egress.relays.insert(relay, socket).is_ok());
        if adopted {
            self.egress.relays.note_losses(relay);
            self.opened.push(relay);
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
        self.opened.push(relay);
        Ok(())
    }
}

/// Tells when the task that holds it panics. The runtime would go on without that task, and with
/// all that it held.
pub(crate) struct Alarm(Handle);

impl Alarm {
    /// For a task of this shard.
    pub(crate) fn of(shard: &Handle) -> Self {
        Self(Rc::clone(shard))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.notify_one();
        }
    }
}

/// Gives every relay socket that was just opened a task that reads it.
pub(crate) fn spawn_relays(shard: &Handle) {
    let opened = std::mem::take(&mut shard.shard.borrow_mut().opened);
    for relay in opened {
        let task = tokio::task::spawn_local(udp::relay(Rc::clone(shard), relay));
        shard
            .shard
            .borrow_mut()
            .egress
            .relays
            .set_task(relay, task.abort_handle());
    }
}

/// The timers of the core are checked at least so often. What a packet meets is exact anyway.
const TICK: Duration = Duration::from_secs(1);

/// The shard that hears the partners. Any one will do, and this one is always there.
const KEEPS_PARTNERS: ShardId = ShardId(0);

/// One read of a stream.
const SCRATCH: usize = 64 * 1024;
