//! The server of one shard.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::attributes::Icmp;
use wire::{Class, Kind, Message, Method};

use crate::allocation::Allocation;
use crate::allocations::Allocations;
use crate::auth::Signed;
use crate::effects::Effects;
use crate::keyring::Keyring;
use crate::lately::Lately;
use crate::mobility::{Guests, Tickets};
use crate::nat_discovery::Partners;
use crate::nonce::Nonces;
use crate::request::{self, opening, send};
use crate::routes::Routes;
use crate::rules::offered;
use crate::sha256::Offered;
use crate::timers::{Timer, Timers};
use crate::traces::Traces;
use crate::{
    AllocationId, ClientTuple, Config, ConnectionId, Counters, DropReason, Effect, EndCause, Now,
    OpenError, PeerAddr, Reject, RelayId, Rules, ShardId, Shared, Verdict,
};

/// The whole TURN server of one shard, as a value.
///
/// ```
/// use std::sync::Arc;
///
/// use relay::{ClientTuple, DropReason, Server, ShardId, Shared, Transport, Verdict};
/// use wire::attributes::XorMappedAddress;
/// use wire::{Class, Message, Method, TransactionId, Writer};
///
/// # let (config, now) = (sim::config(), sim::Clock::new().now());
/// let shared = Arc::new(Shared::new(&config));
/// let mut server = Server::new(Arc::new(config), shared, ShardId(0), [7; 32]);
/// let client = ClientTuple {
///     transport: Transport::Udp,
///     client: "192.0.2.1:40000".parse()?,
///     server: "198.41.0.5:3478".parse()?,
/// };
///
/// let mut request = Vec::new();
/// Writer::new(&mut request, Method::Binding, Class::Request, TransactionId::new([1; 12]));
/// let Verdict::Answer(answer) = server.handle_client(now, client, &request) else {
///     panic!("a Binding is answered");
/// };
/// let message = Message::parse(answer.contents)?;
/// assert_eq!(message.get()?, Some(XorMappedAddress(client.client)));
///
/// // Data on a channel that nobody has bound.
/// let verdict = server.handle_client(now, client, &[0x40, 0, 0, 2, b'h', b'i']);
/// assert!(matches!(verdict, Verdict::Drop(DropReason::NoChannel)));
///
/// // A stranger leads to no effects, and leaves nothing behind.
/// assert!(server.poll_effect().is_none() && server.is_idle());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Arc<Config>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: ShardId,
    pub(crate) rng: StdRng,
    pub(crate) offered: Offered,
    pub(crate) nonces: Nonces,
    pub(crate) tickets: Tickets,
    pub(crate) allocations: Allocations,
    pub(crate) routes: Routes,
    pub(crate) guests: Guests,
    pub(crate) keyring: Keyring,
    /// The allocations of the peer data connections.
    pub(crate) connections: BTreeMap<ConnectionId, AllocationId>,
    /// Connections of other shards' allocations that clients of this shard have bound.
    pub(crate) claimed: BTreeMap<ConnectionId, ShardId>,
    /// The shard that passed the packet which is being handled, if it was passed.
    pub(crate) passed_by: Option<ShardId>,
    pub(crate) timers: Timers,
    /// Whether [`Timer::Reservations`] is armed.
    pub(crate) reservations_reminder: bool,
    pub(crate) partners: Partners,
    pub(crate) effects: Effects,
    pub(crate) counters: Counters,
    /// Where answers are written; grows to the longest and stays.
    pub(crate) reply: Vec<u8>,
    /// Sessions that ended and requests that failed just now.
    pub(crate) lately: Lately,
    pub(crate) traces: Traces,
    /// Until then the operator hears of no client that is denied.
    pub(crate) denied_quiet: Option<Instant>,
}

impl Server {
    /// A server without clients. All its random choices come from `seed`, which must be
    /// unpredictable and different for each shard. `shard` is its number among those that share
    /// `shared`; allocations of an earlier server of that number are forgotten.
    pub fn new(config: Arc<Config>, shared: Arc<Shared>, shard: ShardId, seed: [u8; 32]) -> Self {
        let rules = Arc::clone(&config.rules);
        Self::with_rules(config, rules, shared, shard, seed)
    }

    /// The same under other rules than those that the configuration begins with: for a shard that
    /// begins anew.
    pub fn with_rules(
        config: Arc<Config>,
        rules: Arc<Rules>,
        shared: Arc<Shared>,
        shard: ShardId,
        seed: [u8; 32],
    ) -> Self {
        shared.whereabouts.forget(shard);
        shared.connections.forget(shard);
        let mut rng = StdRng::from_seed(seed);
        let mut next = || rng.next_u64();
        // Strangers choose source addresses, so the hash tables are keyed.
        let hasher = RandomState::with_seeds(next(), next(), next(), next());
        let offered = offered(&config, &rules);
        // Ports that an earlier server reserved are free in their time all the same.
        let mut timers = Timers::default();
        let reserved = shared.reservations.next_deadline();
        if let Some(deadline) = reserved {
            timers.arm(deadline, Timer::Reservations);
        }
        Self {
            nonces: Nonces::new(
                config.nonces_sealed_with(),
                rules.nonce_lifetime,
                offered.nonce_prefix,
                shard,
                rng.next_u32(),
            ),
            offered,
            tickets: Tickets::new(&config.secret),
            allocations: Allocations::new(hasher.clone(), rng.next_u32()),
            routes: Routes::new(hasher.clone()),
            guests: Guests::new(hasher.clone()),
            keyring: Keyring::new(hasher),
            connections: BTreeMap::new(),
            claimed: BTreeMap::new(),
            passed_by: None,
            timers,
            reservations_reminder: reserved.is_some(),
            partners: Partners::default(),
            effects: Effects::default(),
            counters: Counters::default(),
            reply: Vec::new(),
            lately: Lately::default(),
            traces: Traces::default(),
            denied_quiet: None,
            rng,
            shard,
            config,
            rules,
            shared,
        }
    }

    /// A packet from a client: a datagram, or one frame of a stream.
    pub fn handle_client<'s, 'p>(
        &'s mut self,
        now: Now,
        client: ClientTuple,
        packet: &'p [u8],
    ) -> Verdict<'s, 'p> {
        self.handle_timeout(now);
        if self.guests.has(client) {
            return self.handle_guest(client, packet);
        }
        self.handle_packet(now, client, packet)
    }

    /// A packet whose client is this shard's to serve.
    #[inline]
    pub(crate) fn handle_packet<'s, 'p>(
        &'s mut self,
        now: Now,
        client: ClientTuple,
        packet: &'p [u8],
    ) -> Verdict<'s, 'p> {
        match Kind::of(packet) {
            Some(Kind::ChannelData) => self.handle_channel_data(now, client, packet),
            Some(Kind::Stun) => self.handle_stun(now, client, packet),
            None => self.discard(DropReason::Foreign),
        }
    }

    fn handle_stun<'s, 'p>(
        &'s mut self,
        now: Now,
        client: ClientTuple,
        packet: &'p [u8],
    ) -> Verdict<'s, 'p> {
        if is_request(packet)
            && let Some(why) = self.turned_away(now.mono, client, packet)
        {
            self.tell_of_denied(now.mono, client.client.ip(), why);
            return self.discard(why);
        }
        let Ok(message) = Message::parse(packet) else {
            return self.discard(DropReason::Malformed);
        };
        if !message.fingerprint_matches() {
            return self.discard(DropReason::BadFingerprint);
        }
        match message.class() {
            Class::Request => request::handle(self, now, client, message),
            Class::Indication => match message.method() {
                Method::Send if message.transaction().is_rfc3489() => {
                    self.discard(DropReason::NoCookie)
                }
                Method::Send => send::send(self, now, client, &message),
                // A keepalive. RFC 8489 §3.
                Method::Binding => Verdict::Done,
                Method::Allocate
                | Method::Refresh
                | Method::Data
                | Method::CreatePermission
                | Method::ChannelBind
                | Method::Connect
                | Method::ConnectionBind
                | Method::ConnectionAttempt
                | Method::Other(_) => self.discard(DropReason::UnknownIndication),
            },
            Class::Success | Class::Error => self.discard(DropReason::UnexpectedResponse),
        }
    }

    /// A datagram from a peer, for a relay socket.
    pub fn handle_peer<'p>(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        payload: &'p [u8],
    ) -> Verdict<'static, 'p> {
        self.handle_timeout(now);
        let peer = self.as_clients_know(peer);
        self.deliver(now, relay, peer, payload)
    }

    /// An ICMP error about a datagram that a relay socket sent to `peer`; the port is 0 if the
    /// system does not tell it. The verdict borrows nothing of the server. RFC 8656 §11.5.
    pub fn handle_icmp(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        icmp: Icmp,
    ) -> Verdict<'static, 'static> {
        self.handle_timeout(now);
        let peer = self.as_clients_know(peer);
        self.deliver_icmp(now, relay, peer, icmp)
    }

    /// Another shard relays to us from its local address; clients know the external one.
    pub(crate) fn as_clients_know(&self, peer: PeerAddr) -> PeerAddr {
        let ip = self.rules.external_of(peer.0.ip());
        PeerAddr(SocketAddr::new(ip, peer.0.port()))
    }

    /// The outcome of [`Effect::OpenRelay`] or [`Effect::OpenTcpRelay`].
    pub fn handle_opened(&mut self, now: Instant, relay: RelayId, outcome: Result<(), OpenError>) {
        match outcome {
            Ok(()) => opening::opened(self, now, relay),
            Err(why) => opening::not_opened(self, now, relay, why),
        }
    }

    /// A client's connection ended, and its allocation with it. RFC 8656 §3.1.
    pub fn handle_disconnected(&mut self, now: Instant, client: ClientTuple) {
        self.keyring.waiting.end(client);
        self.lose_guest(client);
        self.lose(now, client);
    }

    /// The server stops: every allocation ends.
    pub fn handle_shutdown(&mut self, now: Instant) {
        let all: Vec<AllocationId> = self.allocations.ids().collect();
        for id in all {
            self.remove_allocation(now, id, EndCause::Shutdown);
        }
        self.end_fetches();
        // Timers of other shards, or of the next server of this one, do not give these ports back.
        for (local, _) in self.timers.foreign_ports() {
            self.shared.ports.forget_foreign(local.ip(), local.port());
        }
    }

    /// Ends everything that is due. Early calls are harmless; every `handle_*` that takes a packet
    /// calls it, so that no packet meets an allocation, permission or channel whose time is over.
    #[inline]
    pub fn handle_timeout(&mut self, now: Now) {
        if self.timers.are_due(now.mono) {
            self.end_what_is_due(now);
        }
    }

    /// Out of line, as nothing is due when most packets come.
    #[cold]
    fn end_what_is_due(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.mono) {
            match timer {
                Timer::Partner(family) => {
                    let (lines, effects) = (&self.shared.lines, &mut self.effects);
                    let next = self.partners.handle_timeout(now, family, lines, effects);
                    if let Some(next) = next {
                        self.timers.arm(next, Timer::Partner(family));
                    }
                }
                Timer::Relay(relay) => self.expire(now.mono, relay),
                Timer::Channel(id, channel) => self.expire_channel(now.mono, id, channel),
                Timer::Connection(connection) => self.expire_connection(now.mono, connection),
                Timer::ForeignPort(local) => {
                    self.shared.ports.forget_foreign(local.ip(), local.port());
                }
                Timer::Reservations => self.expire_reservations(now.mono),
                Timer::Traces => self.trace_second(now.mono),
                Timer::Key(name) => self.give_up_key(now, &name),
            }
        }
    }

    /// When to call [`Server::handle_timeout`] at the latest.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next effect, until there is none. It is called again only after the last effect was
    /// performed; that is when the port of a socket that was closed is released.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let (effect, freed) = self.effects.pop();
        if let Some(local) = freed {
            self.shared.ports.release(local.ip(), local.port());
        }
        effect
    }

    /// The counters so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// How many relay sockets they have, also those still to be opened: a dual allocation has two.
    pub fn relays(&self) -> usize {
        self.allocations.relays()
    }

    /// How many connections with peers TCP allocations have, also those still to be made.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many channels are bound.
    pub fn channels(&self) -> usize {
        self.routes.len()
    }

    /// Whether a client has an allocation, here or in a shard that it moves from.
    pub fn has_allocation(&self, client: ClientTuple) -> bool {
        self.allocations.of(client).is_some() || self.guests.has(client)
    }

    /// Whether a host that has shown nothing may be sent so many bytes more than came in its name, by
    /// whatever speaks for this server beside it; charges them to the budget for strangers if so.
    pub fn may_amplify(&mut self, now: Instant, to: IpAddr, excess: usize) -> bool {
        let chance = self.rng.next_u32();
        let budget = &self.shared.budget;
        budget.admit(self.rules.unauthenticated, now, to, excess, chance)
    }

    /// A number that stands for the account of a relay socket: the same for all its sockets in this
    /// shard, and by a keyed hash, so that it can be told from others' but not chosen.
    pub fn party(&self, relay: RelayId) -> u64 {
        self.allocations.party(relay.allocation)
    }

    /// Whether nothing is left of any allocation, and no request waits: a shard that drains waits
    /// for this.
    pub fn is_idle(&self) -> bool {
        self.allocations.is_empty()
            && self.routes.is_empty()
            && self.guests.is_empty()
            && self.keyring.is_idle()
            && self.connections.is_empty()
            && self.claimed.is_empty()
            && self.effects.is_empty()
            && self.timers.is_idle()
    }

    /// The allocation that a request may change: open, and the signer's own. RFC 8656 §5.
    pub(crate) fn own_allocation(
        &mut self,
        request: &Signed<'_>,
    ) -> Result<&mut Allocation, Reject> {
        let allocation = self.allocations.of_mut(request.client);
        let allocation = allocation.filter(|allocation| allocation.is_open());
        let allocation = allocation.ok_or(Reject::NoAllocation)?;
        if allocation.belongs_to(request) {
            Ok(allocation)
        } else {
            Err(Reject::WrongUser)
        }
    }

    /// Counts and drops a packet.
    pub(crate) const fn discard(&mut self, why: DropReason) -> Verdict<'static, 'static> {
        self.counters.count_drop(why);
        Verdict::Drop(why)
    }
}

/// Whether a STUN message is a request, by the bits of its class. RFC 8489 §5.
fn is_request(packet: &[u8]) -> bool {
    matches!(packet, [high, low, ..] if high & 1 == 0 && low & 0x10 == 0)
}
