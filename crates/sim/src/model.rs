//! The RFCs as a program: a server's reaction to each packet. RFC 8489, RFC 8656.
//!
//! The model gets the same input as the server, in the same order and at the same time: packets,
//! connections that end, sockets that the machine opens or refuses. It predicts the outcome. Its
//! numbers are the RFC's, and its state is the plainest possible, a map for everything. Of the
//! server it knows only the names of drops and refusals, so that a wrong cause is found like a
//! wrong code. Random choices of the server, which free port and which token, the model learns from
//! the server, after it has checked that they are allowed.
//!
//! An extension of the protocol is one more file: its additions to [`Terms`], to [`Allocation`] and
//! to the request that carries it.

mod allocate;
mod bounds;
mod credentials;
mod data;
mod expect;
mod mobility;
mod requests;
mod sockets;
mod tcp;
mod terms;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relay::{AddressFamily, ClientTuple, DropReason};
use wire::attributes::ReservationToken;
use wire::{Algorithm, Class, Key, Kind, Message, Method};

use crate::machine::Socket;
pub(crate) use allocate::Wanted;
pub(crate) use expect::{Connection, Ending, Expect, Reply, Ticket, Token};
use mobility::Mobile;
pub(crate) use terms::{Sha256, Terms};

/// The state of a server.
#[derive(Debug)]
pub(crate) struct Model {
    terms: Terms,
    /// Whether other terms held before.
    has_changed: bool,
    now: Duration,
    /// The nonces handed out: the client of each, and the second in which it was made.
    nonces: BTreeMap<String, (SocketAddr, u64)>,
    allocations: BTreeMap<Id, Allocation>,
    /// How many allocations there were.
    numbered: Id,
    /// Sockets that the machine was asked for: the allocation and the address of each.
    sockets: BTreeMap<Socket, (Id, SocketAddr)>,
    /// Ports kept for a second allocation. RFC 8656 §7.2.
    reserved: BTreeMap<ReservationToken, Reserved>,
    /// Tickets handed out: the allocation of each, and after how many moves. RFC 8016.
    tickets: BTreeMap<Vec<u8>, (Id, u32)>,
    /// Ports that another program was found to have: they are left alone for a while.
    avoided: BTreeMap<SocketAddr, Duration>,
    /// When the failed proofs of each network are earned that were answered.
    failures: BTreeMap<Vec<u8>, Duration>,
    /// When the data is earned that each user has sent and received.
    passed: BTreeMap<Account, [Duration; 2]>,
    /// Answers that are due since the last packet, in order.
    pub(crate) answers: Vec<(ClientTuple, Reply)>,
    /// Allocations that ended, since this was last taken.
    pub(crate) endings: Vec<Ending>,
    /// The 5-tuples that clients have moved to, since this was last taken.
    pub(crate) moves: Vec<ClientTuple>,
}

/// A user: realm and name.
type Account = (String, String);

/// The number of an allocation, never used again.
type Id = u64;

/// The allocation of a 5-tuple. RFC 8656 §6.
#[derive(Debug)]
struct Allocation {
    client: ClientTuple,
    /// Whether its connection ended: the client may come from another with its ticket.
    is_lost: bool,
    mobile: Option<Mobile>,
    /// Its connections by their peers, if it is for TCP.
    tcp: Option<BTreeMap<SocketAddr, tcp::Peer>>,
    /// The user and the realm.
    user: Account,
    /// The key that the Allocate was signed with, and the algorithm of its answer.
    key: (Key, Algorithm),
    /// The answer to the Allocate, as far as it was clear from the start.
    head: Reply,
    /// The lifetime that the Allocate was granted, in seconds.
    lifetime: u32,
    /// The sockets whose outcome is not known yet; empty from the success on.
    opening: BTreeMap<AddressFamily, Wanted>,
    /// The relayed transport addresses, by their local address, and their deadlines.
    relays: BTreeMap<AddressFamily, (SocketAddr, Duration)>,
    permissions: BTreeMap<IpAddr, Duration>,
    channels: BTreeMap<u16, (SocketAddr, Duration)>,
    token: Token,
    address_error: Option<(AddressFamily, u16)>,
    born: Duration,
    /// The second in which the nonce was made that the Allocate was signed with.
    opened_with: u64,
    /// Whether the Allocate used an algorithm of RFC 8489.
    knows_rfc8489: bool,
    /// Whether the client has sent an empty datagram.
    sends_empty: bool,
    /// Packets and bytes of application data, to peers and from them.
    sent: (u64, u64),
    received: (u64, u64),
    /// When the data is earned that it has sent and received.
    passed: [Duration; 2],
}

/// A port that is reserved for the second Allocate, which shows the token.
#[derive(Debug)]
struct Reserved {
    local: SocketAddr,
    account: Account,
    until: Duration,
}

impl Model {
    /// A server that has had no clients yet.
    pub(crate) const fn new(terms: Terms, now: Duration) -> Self {
        Self {
            terms,
            has_changed: false,
            now,
            nonces: BTreeMap::new(),
            allocations: BTreeMap::new(),
            numbered: 0,
            sockets: BTreeMap::new(),
            reserved: BTreeMap::new(),
            tickets: BTreeMap::new(),
            avoided: BTreeMap::new(),
            failures: BTreeMap::new(),
            passed: BTreeMap::new(),
            answers: Vec::new(),
            endings: Vec::new(),
            moves: Vec::new(),
        }
    }

    /// Other terms hold from now on. Allocations live on, but for peers that are denied now.
    pub(crate) fn adopt(&mut self, terms: Terms) {
        self.has_changed = true;
        self.terms = terms;
        let policy = self.terms.policy.clone();
        let ids: Vec<Id> = self.allocations.keys().copied().collect();
        for id in ids {
            self.end_connections(id, |peer| policy.judge(peer).is_err());
        }
        for allocation in self.allocations.values_mut() {
            let terms = &self.terms;
            allocation
                .permissions
                .retain(|ip, _| terms.allows_some_port(*ip));
            allocation
                .channels
                .retain(|_, (peer, _)| terms.allows(*peer));
        }
    }

    /// Moves the time on, and ends what is over. A deadline itself is not part of a lifetime.
    pub(crate) fn at(&mut self, now: Duration) {
        self.end_what_is_over(now, |until| until);
    }

    /// The same where no server was awake before: it finds out only now what ended.
    pub(crate) fn wake_at(&mut self, now: Duration) {
        self.end_what_is_over(now, |_| now);
    }

    fn end_what_is_over(&mut self, now: Duration, noticed: impl Fn(Duration) -> Duration) {
        self.now = now;
        self.end_slow_connections(now);
        self.reserved.retain(|_, kept| kept.until > now);
        self.avoided.retain(|_, until| *until > now);
        for allocation in self.allocations.values_mut() {
            allocation.permissions.retain(|_, until| *until > now);
            allocation.channels.retain(|_, (_, until)| *until > now);
        }
        let ids: Vec<Id> = self.allocations.keys().copied().collect();
        for id in ids {
            let relays = &self.allocations[&id].relays;
            let over = relays.iter().filter(|(_, (_, until))| *until <= now);
            let mut over: Vec<_> = over.map(|(family, (_, until))| (*until, *family)).collect();
            over.sort();
            for (until, family) in over {
                self.end_family(id, family, noticed(until), "expired");
            }
        }
    }

    /// The immediate outcome of a packet from a client. RFC 7983, RFC 8656 §12.
    pub(crate) fn packet(&mut self, from: ClientTuple, packet: &[u8]) -> Expect {
        match Kind::of(packet) {
            None => Expect::Lost(DropReason::Foreign),
            Some(Kind::ChannelData) => self.channel_data(from, packet),
            Some(Kind::Stun) => self.message(from, packet),
        }
    }

    /// RFC 8489 §6.3.
    fn message(&mut self, from: ClientTuple, packet: &[u8]) -> Expect {
        let Ok(message) = Message::parse(packet) else {
            return Expect::Lost(DropReason::Malformed);
        };
        if !message.fingerprint_matches() {
            return Expect::Lost(DropReason::BadFingerprint);
        }
        // RFC 8656 §5: TURN has no use for the messages of RFC 3489.
        let old = message.transaction().is_rfc3489();
        match (message.class(), message.method()) {
            (Class::Request, Method::Binding) => Expect::Reply(self.binding(from, &message)),
            (Class::Request, _) if old => Expect::Lost(DropReason::NoCookie),
            (
                Class::Request,
                Method::Allocate
                | Method::Refresh
                | Method::CreatePermission
                | Method::ChannelBind
                | Method::Connect
                | Method::ConnectionBind,
            ) => self.request(from, &message),
            (
                Class::Request,
                Method::Send | Method::Data | Method::ConnectionAttempt | Method::Other(_),
            ) => Expect::Lost(DropReason::UnknownMethod),
            // A keepalive. RFC 8489 §3.
            (Class::Indication, Method::Binding) => Expect::Nothing,
            (Class::Indication, Method::Send) if old => Expect::Lost(DropReason::NoCookie),
            (Class::Indication, Method::Send) => self.send(from, &message),
            (Class::Indication, _) => Expect::Lost(DropReason::UnknownIndication),
            (Class::Success | Class::Error, _) => Expect::Lost(DropReason::UnexpectedResponse),
        }
    }

    /// The allocation that a client has, or is moving.
    fn find(&self, client: ClientTuple) -> Option<Id> {
        let mut all = self.allocations.iter();
        let found = all.find(|(_, it)| it.is_at(client) || it.next() == Some(client));
        found.map(|(id, _)| *id)
    }

    fn of(&self, client: ClientTuple) -> Option<&Allocation> {
        self.allocations.get(&self.find(client)?)
    }

    fn of_mut(&mut self, client: ClientTuple) -> Option<&mut Allocation> {
        self.allocations.get_mut(&self.find(client)?)
    }

    /// Ends an allocation with everything it has. RFC 8656 §6.
    fn end(&mut self, id: Id, when: Duration, cause: &'static str) {
        let Some(allocation) = self.allocations.remove(&id) else {
            return;
        };
        self.sockets.retain(|_, (owner, _)| *owner != id);
        if allocation.is_open() {
            self.endings.push(Ending {
                client: allocation.client,
                cause,
                age: when - allocation.born,
                sent: allocation.sent,
                received: allocation.received,
            });
        }
    }

    /// Ends one family of an allocation, and the allocation with its last. RFC 8656 §8.1.
    fn end_family(&mut self, id: Id, family: AddressFamily, when: Duration, cause: &'static str) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        if allocation.relays.keys().all(|only| *only == family) {
            return self.end(id, when, cause);
        }
        self.end_connections(id, |peer| AddressFamily::of(peer.ip()) == family);
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let is_other = |ip: IpAddr| AddressFamily::of(ip) != family;
        allocation.permissions.retain(|ip, _| is_other(*ip));
        allocation
            .channels
            .retain(|_, (peer, _)| is_other(peer.ip()));
        if let Some((local, _)) = allocation.relays.remove(&family) {
            self.sockets.retain(|_, (_, at)| *at != local);
        }
    }
}

/// State that helps the simulator to choose difficult steps.
impl Model {
    /// Whether a client has an allocation, also one still to be opened.
    pub(crate) fn has_allocation(&self, client: ClientTuple) -> bool {
        self.find(client).is_some()
    }

    /// Whether a client has a permission.
    pub(crate) fn has_permission(&self, client: ClientTuple) -> bool {
        self.of(client).is_some_and(|it| !it.permissions.is_empty())
    }

    /// All times at which something will end.
    pub(crate) fn deadlines(&self) -> Vec<Duration> {
        let all = self.allocations.values();
        let owned = all.flat_map(|it| {
            let relays = it.relays.values().map(|(_, until)| *until);
            let channels = it.channels.values().map(|(_, until)| *until);
            relays
                .chain(it.permissions.values().copied())
                .chain(channels)
        });
        let kept = self.reserved.values().map(|kept| kept.until);
        owned
            .chain(kept)
            .chain(self.avoided.values().copied())
            .chain(self.connection_deadlines())
            .collect()
    }
}

impl Allocation {
    /// Whether its client is at this 5-tuple.
    fn is_at(&self, client: ClientTuple) -> bool {
        self.client == client && !self.is_lost
    }

    /// Whether the client was told success; before, it has no allocation to use.
    fn is_open(&self) -> bool {
        self.opening.is_empty()
    }
}
