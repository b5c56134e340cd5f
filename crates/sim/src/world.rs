//! The world: its servers, clients and peers, and its clock.

mod books;
mod key_store;
mod partner;
mod post;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relay::{
    ChannelNumber, ClientTuple, Command, Config, Counters, EndCause, Now, OpenError, Reject,
    RelayId, Report, Route, Rules, Server, ShardId, Shared, Transport,
};
use wire::TransactionId;

use crate::client::Memory;
use crate::host::{Host, Mood, Socket, Talk};
use crate::request::Credentials;
use crate::{AccessGrant, Client, Clock, LISTENER, Outcome, Peer, setting};

/// One host with one server in one or more shards, and all its clients and peers.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    config: Arc<Config>,
    rules: Arc<Rules>,
    shared: Arc<Shared>,
    shards: Vec<Server>,
    host: Host,
    /// Shards that perform no effects for now.
    slow: BTreeSet<usize>,
    clients: Vec<Memory>,
    /// All tokens that clients ever had: one client may send a packet that another wrote.
    pub(crate) grants: Vec<AccessGrant>,
    by_tuple: BTreeMap<ClientTuple, Client>,
    peers: u16,
    transactions: u64,
    reports: Vec<Report>,
    post: post::Post,
    key_store: key_store::KeyStore,
    /// The routes that a kernel beside the server would have, by its Bind and Unbind effects.
    routes: BTreeMap<RouteKey, Route>,
    /// Notes that wait for the partner.
    to_partner: Vec<Vec<u8>>,
    /// Outcomes of packets that waited somewhere, since they were last asked for.
    late: Vec<Outcome>,
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

    /// The control side asks a shard.
    pub fn command(&mut self, shard: usize, command: Command) -> relay::Answer {
        let now = self.clock.now();
        let answer = self.shards[shard].handle_command(now, command);
        self.settle(shard);
        answer
    }

    /// A server of several shards.
    pub fn sharded(shards: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = setting::config();
        change(&mut config);
        let shared = Arc::new(Shared::new(&config));
        let config = Arc::new(config);
        let server = |number| begin(&config, &shared, number);
        Self {
            shards: (0..shards).map(server).collect(),
            clock: Clock::new(),
            host: Host::default(),
            slow: BTreeSet::new(),
            clients: Vec::new(),
            grants: Vec::new(),
            by_tuple: BTreeMap::new(),
            peers: 0,
            transactions: 0,
            reports: Vec::new(),
            post: post::Post::default(),
            key_store: key_store::KeyStore::default(),
            routes: BTreeMap::new(),
            to_partner: Vec::new(),
            late: Vec::new(),
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
            self.settle(shard);
        }
    }
}

/// The clients and peers of the world.
impl World {
    /// A client of this user, with an address of its own, over UDP.
    pub fn client(&mut self, user: &str) -> Client {
        self.client_on(0, user)
    }

    /// The same, served by this shard.
    pub fn client_on(&mut self, shard: usize, user: &str) -> Client {
        let tuple = self.next_tuple(Transport::Udp);
        self.client_at(shard, tuple, user, &setting::password(user))
    }

    /// A client over TCP.
    pub fn tcp_client(&mut self, user: &str) -> Client {
        let tuple = self.next_tuple(Transport::Tcp);
        self.client_at(0, tuple, user, &setting::password(user))
    }

    /// A client with any credentials.
    pub fn client_with(&mut self, user: &str, password: &str) -> Client {
        let tuple = self.next_tuple(Transport::Udp);
        self.client_at(0, tuple, user, password)
    }

    /// A client with a token of an authorization server.
    pub fn client_with_token(&mut self, grant: AccessGrant) -> Client {
        let client = self.client_with(&grant.kid, "");
        client.take_token(self, grant);
        client
    }

    /// The client at a 5-tuple, if there is one.
    pub fn client_of(&self, tuple: ClientTuple) -> Option<Client> {
        self.by_tuple.get(&tuple).copied()
    }

    /// A client at a 5-tuple of the test's choice.
    ///
    /// # Panics
    /// If another client is there.
    pub fn client_at(
        &mut self,
        shard: usize,
        tuple: ClientTuple,
        user: &str,
        password: &str,
    ) -> Client {
        let client = Client(self.clients.len());
        let credentials = Credentials {
            username: user.to_owned(),
            password: password.to_owned(),
            realm: String::new(),
            nonce: String::new(),
            algorithms: Vec::new(),
            token: None,
        };
        self.clients.push(Memory {
            tuple,
            shard,
            credentials,
            relayed: None,
            channels: Vec::new(),
            given_up: Vec::new(),
            inbox: Vec::new(),
            awaits: Vec::new(),
        });
        let other = self.by_tuple.insert(tuple, client);
        assert_eq!(other, None, "a 5-tuple has one client");
        client
    }

    /// The client again, at another address and through another shard; it keeps its memory.
    ///
    /// # Panics
    /// If another client is at the next address.
    pub fn roam(&mut self, client: Client, shard: usize, transport: Transport) -> Client {
        let Memory {
            credentials,
            relayed,
            channels,
            ..
        } = self.memory(client);
        let known = (credentials.clone(), *relayed, channels.clone());
        let tuple = self.next_tuple(transport);
        let roamed = self.client_at(shard, tuple, &known.0.username, &known.0.password);
        let memory = self.memory_mut(roamed);
        (memory.credentials, memory.relayed, memory.channels) = known;
        // A nonce belongs to an address.
        memory.credentials.nonce = String::new();
        roamed
    }

    /// A peer with a public IPv4 address of its own.
    pub fn peer(&mut self) -> Peer {
        let [high, low] = self.next_peer().to_be_bytes();
        Peer(SocketAddr::from(([9, 9, high, low], 4000)))
    }

    /// A peer with a public IPv6 address of its own.
    pub fn peer_v6(&mut self) -> Peer {
        let ip = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 9, self.next_peer());
        Peer(SocketAddr::from((ip, 4000)))
    }

    fn next_peer(&mut self) -> u16 {
        self.peers += 1;
        self.peers
    }

    fn next_tuple(&self, transport: Transport) -> ClientTuple {
        let number = u32::try_from(self.clients.len()).expect("few clients");
        let [_, high, middle, low] = number.to_be_bytes();
        ClientTuple {
            transport,
            client: SocketAddr::from(([100 + high, 113, middle, low], 50_000)),
            server: LISTENER,
        }
    }
}

/// Events of the host.
impl World {
    /// Another program takes a port of a relay address.
    ///
    /// # Panics
    /// If the server has it.
    pub fn occupy(&mut self, local: SocketAddr) {
        self.host.occupy(local);
    }

    /// The other program gives it back.
    pub fn vacate(&mut self, local: SocketAddr) {
        self.host.vacate(local);
    }

    /// All other programs give their ports back.
    pub(crate) fn vacate_all(&mut self) {
        self.host.vacate_all();
    }

    /// From now on no socket can be opened.
    pub const fn refuse_sockets(&mut self, why: OpenError) {
        self.host.mood = Mood::Refusing(why);
    }

    /// From now on opening a socket lasts until [`World::open_sockets`].
    pub const fn hold_sockets(&mut self) {
        self.host.mood = Mood::Slow;
    }

    /// From now on sockets are opened at once, and first those that wait.
    pub fn open_sockets(&mut self) {
        self.host.mood = Mood::Willing;
        while let Some(((shard, relay), local)) = self.host.pending.pop_front() {
            self.open(shard, relay, local);
            self.settle(shard);
        }
    }

    /// The socket that waits longest is opened, and the others wait on.
    ///
    /// # Panics
    /// If none waits.
    pub fn open_one_socket(&mut self) {
        let waiting = self.host.pending.pop_front();
        let ((shard, relay), local) = waiting.expect("a socket that was asked for");
        self.host.mood = Mood::Willing;
        self.open(shard, relay, local);
        self.host.mood = Mood::Slow;
        self.settle(shard);
    }

    /// From now on a shard performs no effects, as if it were busy, until [`World::wake_shard`].
    pub fn stall_shard(&mut self, shard: usize) {
        self.slow.insert(shard);
    }

    /// The shard performs the effects that have piled up.
    pub fn wake_shard(&mut self, shard: usize) {
        self.slow.remove(&shard);
        self.settle(shard);
    }

    /// The service drains.
    pub fn drain(&mut self) {
        self.shared.drain();
    }

    /// The service no longer drains.
    pub fn undrain(&mut self) {
        self.shared.undrain();
    }

    /// The service stops.
    pub fn shut_down(&mut self) {
        let now = self.clock.now().mono;
        for shard in 0..self.shards.len() {
            self.shards[shard].handle_shutdown(now);
            self.settle(shard);
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
                | Report::Refused { .. } => None,
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
        let (_, relay) = self.host.socket(local).expect("an open relay socket");
        relay
    }

    /// Whether a relay socket is bound here.
    pub fn has_socket(&self, local: SocketAddr) -> bool {
        self.host.socket(local).is_some()
    }

    /// Whether the service is drained.
    pub fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// Whether another program has a port of a relay address, given by either face.
    pub(crate) fn is_occupied(&self, address: SocketAddr) -> bool {
        let ip = self.inward(address.ip());
        self.host.is_foreign(SocketAddr::new(ip, address.port()))
    }

    /// The addresses that relay sockets are bound to, in order.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        self.host.bound().collect()
    }

    /// Requests for sockets and the host's answers, since this was last asked.
    pub(crate) fn talk(&mut self) -> Vec<(Socket, Talk)> {
        std::mem::take(&mut self.host.log)
    }

    /// How many sockets wait to be opened.
    pub(crate) fn waiting_sockets(&self) -> usize {
        self.host.pending.len()
    }

    /// A bare server, for benchmarks. The world does not check its books after calls made on it.
    pub fn server(&mut self, shard: usize) -> &mut Server {
        &mut self.shards[shard]
    }

    /// Whether nothing is left of any allocation: in the cores, in their shared state, on the host.
    pub fn is_idle(&self) -> bool {
        self.shards.iter().all(Server::is_idle)
            // Reserved ports do not count: they are free again in time, used or not.
            && self.shared.ports.taken() == self.shared.reservations.count()
            && self.shared.quotas.total() == 0
            && self.shared.whereabouts.count() == 0
            && self.host.open_sockets() == 0
    }
}

/// A shard of this number, at the beginning of a life.
fn begin(config: &Arc<Config>, shared: &Arc<Shared>, number: u8) -> Server {
    let (config, shared) = (Arc::clone(config), Arc::clone(shared));
    Server::new(config, shared, ShardId(number.into()), [number; 32])
}

/// The memories of clients.
impl World {
    pub(crate) fn memory(&self, client: Client) -> &Memory {
        &self.clients[client.0]
    }

    pub(crate) fn memory_mut(&mut self, client: Client) -> &mut Memory {
        &mut self.clients[client.0]
    }

    pub(crate) fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId::new(id)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
