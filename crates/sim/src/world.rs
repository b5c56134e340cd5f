//! The world: its servers, clients and peers, and its clock.

mod books;
mod connections;
mod events;
mod key_store;
mod life;
mod partner;
mod people;
mod post;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relay::{
    Caps, ChannelNumber, ClientTuple, Command, Config, Counters, Crossing, EndCause, Now, Places,
    Reject, RelayId, Report, Route, Rules, Server, Shared, Traced,
};

use crate::client::Memory;
use crate::machine::{Machine, Socket, Talk};
use crate::{AccessGrant, Client, Clock, Outcome, setting};

/// One machine with one server in one or more shards, and all its clients and peers.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    config: Arc<Config>,
    rules: Arc<Rules>,
    shared: Arc<Shared>,
    shards: Vec<Server>,
    /// How many servers have followed on others: each has a seed of its own.
    lives: u8,
    machine: Machine,
    /// Shards that perform no effects for now.
    slow: BTreeSet<usize>,
    clients: Vec<Memory>,
    /// All tokens that clients ever had: one client may send a packet that another wrote.
    pub(crate) grants: Vec<AccessGrant>,
    by_tuple: BTreeMap<ClientTuple, Client>,
    peers: u16,
    transactions: u64,
    reports: Vec<Report>,
    traced: Vec<Traced>,
    post: post::Post,
    key_store: key_store::KeyStore,
    connections: connections::Connections,
    /// The routes that a kernel beside the server would have, by its Bind and Unbind effects.
    routes: BTreeMap<RouteKey, Route>,
    /// Notes that wait for the partner.
    to_partner: Vec<Vec<u8>>,
    /// Outcomes of packets that waited somewhere, since they were last asked for.
    late: Vec<Outcome>,
    /// Data that waits between two shards, if it is held.
    held_crossings: Option<Vec<(Crossing, Vec<u8>)>>,
    /// How many calls that perform effects are under way, one inside the other: until all have
    /// returned the books do not balance.
    performing: usize,
}

/// A channel, in the shard that has it.
type RouteKey = (usize, ClientTuple, ChannelNumber);

/// Making a world, and moving its clock.
impl World {
    /// A server of one shard with [`crate::config`].
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A server of one shard with a changed configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::sharded(1, change)
    }

    /// From now on other rules hold, in every shard; the relay addresses stay unless they name some.
    pub fn change_rules(&mut self, mut rules: Rules) {
        if rules.relays.is_empty() {
            rules.relays.clone_from(&self.rules.relays);
        }
        rules.succeed(&self.rules);
        self.rules = Arc::new(rules);
        for shard in 0..self.shards.len() {
            let command = Command::Adopt(Arc::clone(&self.rules));
            assert_eq!(self.command(shard, command), relay::Answer::Adopted);
        }
    }

    /// From now on these caps hold, in every shard.
    pub fn cap(&mut self, caps: Caps) {
        self.shared.cap(caps);
        for shard in 0..self.shards.len() {
            let answer = self.command(shard, Command::Measure(Places::ALL));
            assert_eq!(answer, relay::Answer::Measured(None));
        }
    }

    /// The control side asks a shard.
    pub fn command(&mut self, shard: usize, command: Command) -> relay::Answer {
        let now = self.clock.now();
        let answer = self.shards[shard].handle_command(now, command);
        self.follow_up(shard);
        answer
    }

    /// A server of several shards.
    pub fn sharded(shards: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = setting::config();
        change(&mut config);
        let shared = Arc::new(Shared::new(&config));
        let config = Arc::new(config);
        let server = |shard| {
            let seed = life::seed(shard, 0);
            life::begin(&config, &config.rules, &shared, shard, seed)
        };
        Self {
            shards: (0..usize::from(shards)).map(server).collect(),
            lives: 0,
            clock: Clock::new(),
            machine: Machine::default(),
            slow: BTreeSet::new(),
            clients: Vec::new(),
            grants: Vec::new(),
            by_tuple: BTreeMap::new(),
            peers: 0,
            transactions: 0,
            reports: Vec::new(),
            traced: Vec::new(),
            post: post::Post::default(),
            key_store: key_store::KeyStore::default(),
            connections: connections::Connections::new(),
            routes: BTreeMap::new(),
            to_partner: Vec::new(),
            late: Vec::new(),
            held_crossings: None,
            performing: 0,
            shared,
            rules: Arc::clone(&config.rules),
            config,
        }
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Moves the time on; the servers wake whenever they asked to.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.clock.now().mono + duration;
        let due = |shards: &[Server]| shards.iter().filter_map(Server::poll_timeout).min();
        while let Some(due) = due(&self.shards).filter(|due| *due <= end) {
            self.clock.advance_to(due);
            self.wake();
        }
        self.clock.advance_to(end);
    }

    /// Moves the time on while no server wakes: the next packet finds everything overdue.
    pub fn oversleep(&mut self, duration: Duration) {
        self.clock.advance_to(self.clock.now().mono + duration);
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        for shard in 0..self.shards.len() {
            self.shards[shard].handle_timeout(now);
            let next = self.shards[shard].poll_timeout();
            assert!(
                next.is_none_or(|next| next > now.mono),
                "what was due is still due"
            );
            self.follow_up(shard);
        }
    }
}

/// The parts of the world that a test can read.
impl World {
    /// Outcomes of packets that had to wait, since this was last asked.
    pub fn late(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.late)
    }

    /// How many allocations have a ticket.
    pub fn tickets(&self) -> usize {
        self.shared.whereabouts.count()
    }

    /// The servers' reports since this was last asked.
    pub fn reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// The events that traces told since this was last asked.
    pub fn traced(&mut self) -> Vec<Traced> {
        std::mem::take(&mut self.traced)
    }

    /// The refusal that is the only report since these were last asked for.
    ///
    /// # Panics
    /// If there are others, or none.
    #[track_caller]
    pub fn refusal(&mut self) -> Reject {
        let reports = self.reports();
        let [Report::Refused { reject, .. }] = &reports[..] else {
            panic!("not one refusal but {reports:?}");
        };
        reject.clone()
    }

    /// Why allocations ended, among the reports since these were last asked for.
    pub fn end_causes(&mut self) -> Vec<EndCause> {
        let causes = self
            .reports()
            .into_iter()
            .filter_map(|report| match report {
                Report::Ended { cause, .. } => Some(cause),
                Report::Opened { .. }
                | Report::Moved { .. }
                | Report::Partner { .. }
                | Report::Refused { .. }
                | Report::Banned(_)
                | Report::Denied { .. } => None,
            });
        causes.collect()
    }

    /// The counters of all shards together.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in &self.shards {
            sum.add(shard.counters());
        }
        sum
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.shards.iter().map(Server::allocations).sum()
    }

    /// How many ports are reserved.
    pub fn reservations(&self) -> usize {
        self.shared.reservations.count()
    }

    /// How many ports are taken, by allocations and by reservations.
    pub fn ports_taken(&self) -> usize {
        self.shared.ports.taken()
    }

    /// The relay socket of a client's allocation.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn relay_of(&self, client: Client) -> RelayId {
        let relayed = client.relayed(self);
        let local = SocketAddr::new(self.inward(relayed.ip()), relayed.port());
        let (_, relay) = self.machine.socket(local).expect("an open relay socket");
        relay
    }

    /// Whether a relay socket is bound here.
    pub fn has_socket(&self, local: SocketAddr) -> bool {
        self.machine.socket(local).is_some()
    }

    /// Whether the service is drained.
    pub fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// Whether another program has a port of a relay address, given by either face.
    pub(crate) fn is_occupied(&self, address: SocketAddr) -> bool {
        let ip = self.inward(address.ip());
        self.machine.is_foreign(SocketAddr::new(ip, address.port()))
    }

    /// The addresses that relay sockets are bound to, in order.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        self.machine.bound().collect()
    }

    /// Requests for sockets and the machine's answers, since this was last asked.
    pub(crate) fn talk(&mut self) -> Vec<(Socket, Talk)> {
        std::mem::take(&mut self.machine.log)
    }

    /// How many sockets wait to be opened.
    pub(crate) fn waiting_sockets(&self) -> usize {
        self.machine.pending.len()
    }

    /// A bare server, for benchmarks. The world does not check its books after calls made on it.
    pub fn server(&mut self, shard: usize) -> &mut Server {
        &mut self.shards[shard]
    }

    /// Whether nothing is left of any allocation: in the cores, in their shared state, on the
    /// machine.
    pub fn is_idle(&self) -> bool {
        self.shards.iter().all(Server::is_idle)
            // Reserved ports do not count: they are free again in time, used or not.
            && self.shared.ports.taken() == self.shared.reservations.count()
            && self.shared.quotas.total() == 0
            && self.shared.whereabouts.count() == 0
            && self.machine.open_sockets() == 0
            && self.connections.is_empty()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
