//! A client: its memory, and the verbs of TURN.

use std::net::SocketAddr;
use std::time::Duration;

use relay::{AddressFamily, ChannelNumber, ClientTuple, ConnectionId, Icmp, Rules, Transport};
use wire::attributes::{
    ChannelNumberAttribute, Lifetime, Nonce, PasswordAlgorithms, Realm, RequestedAddressFamily,
    XorPeerAddress, XorRelayedAddress,
};
use wire::{MacKey, Message, Method, RelayHeader};

use crate::request::Credentials;
use crate::{AccessGrant, Answer, Outcome, Peer, Request, World, seconds};

/// A client. Its memory is in the [`World`], so that a test may copy this value freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(pub(crate) usize);

/// The memory of a client.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) tuple: ClientTuple,
    pub(crate) shard: usize,
    pub(crate) credentials: Credentials,
    pub(crate) relayed: Option<SocketAddr>,
    pub(crate) channels: Vec<(ChannelNumber, SocketAddr)>,
    /// Channels that it had when it deleted an allocation. If the 5-tuple had another allocation by
    /// then, the channels live on in the one that moved away.
    pub(crate) given_up: Vec<(ChannelNumber, SocketAddr)>,
    /// Answers that came when no call was waiting for one.
    pub(crate) inbox: Vec<Answer>,
    /// Connections that peers made to its allocation, as it was told.
    pub(crate) attempts: Vec<(ConnectionId, SocketAddr)>,
    /// The keys that may sign an answer that comes later: those of all Allocates that were not
    /// answered at once. An answer may still come when the client has left and asked again.
    pub(crate) awaits: Vec<MacKey>,
}

impl Memory {
    /// Notes what every client learns from the answer to a packet of its own.
    pub(crate) fn note(&mut self, packet: &[u8], answer: &Answer) {
        if let (Some(Realm(realm)), Some(Nonce(nonce))) = (answer.get(), answer.get()) {
            self.credentials.realm = realm.to_owned();
            self.credentials.nonce = nonce.to_owned();
            if let Some(PasswordAlgorithms(offered)) = answer.get() {
                self.credentials.algorithms = offered.to_vec();
            }
        }
        if let Some(XorRelayedAddress(relayed)) = answer.get() {
            self.relayed = Some(relayed);
        }
        // The allocation is gone, or one family of it, with the channels.
        if answer.get() == Some(Lifetime(0)) {
            let request = Message::parse(packet).expect("only a message is answered");
            let named = request.get().expect("what was granted is readable");
            let (kept, gone) = self.channels.iter().partition(|(_, peer)| {
                named.is_some_and(|RequestedAddressFamily(family)| {
                    family != Ok(AddressFamily::of(peer.ip()))
                })
            });
            self.channels = kept;
            self.given_up.extend::<Vec<_>>(gone);
        }
        if answer.is_success() && answer.message().method() == Method::ChannelBind {
            self.note_channel(packet);
        }
    }

    fn note_channel(&mut self, packet: &[u8]) {
        let request = Message::parse(packet).expect("only a message is answered");
        let number = request.get::<ChannelNumberAttribute>();
        let peer = request.get::<XorPeerAddress>();
        let (Ok(Some(number)), Ok(Some(XorPeerAddress(peer)))) = (number, peer) else {
            panic!("a channel was bound without number or peer");
        };
        let number = ChannelNumber::new(number.0).expect("a channel was bound outside the range");
        self.channels.retain(|(known, _)| *known != number);
        self.channels.push((number, peer));
    }
}

/// The verbs of a client that behaves well. They replace a stale nonce and try again; any other
/// refusal is a panic. A request that may fail is sent with [`Client::ask`].
impl Client {
    /// Opens an allocation; returns the relayed transport address.
    #[track_caller]
    pub fn allocate(self, world: &mut World, lifetime: Duration) -> SocketAddr {
        self.insist(world, || Request::allocate().lifetime(lifetime));
        self.relayed(world)
    }

    /// Opens a TCP allocation; returns the relayed transport address.
    #[track_caller]
    pub fn allocate_tcp(self, world: &mut World, lifetime: Duration) -> SocketAddr {
        self.insist(world, || Request::allocate_tcp().lifetime(lifetime));
        self.relayed(world)
    }

    /// Connects to a peer from a TCP allocation.
    #[track_caller]
    pub fn connect(self, world: &mut World, peer: impl Into<SocketAddr>) -> ConnectionId {
        let peer = peer.into();
        let answer = self.insist(world, || Request::connect(peer));
        answer.get().expect("a Connect success has CONNECTION-ID")
    }

    /// Binds a connection with a peer, on another connection of the client through this shard.
    /// Returns that.
    #[track_caller]
    pub fn carry(self, world: &mut World, shard: usize, connection: ConnectionId) -> Self {
        let data = world.roam(self, shard, Transport::Tcp);
        data.insist(world, || Request::connection_bind(connection));
        assert_eq!(world.carried_by(data), Some(connection));
        data
    }

    /// Prolongs the allocation; returns the lifetime granted.
    #[track_caller]
    pub fn refresh(self, world: &mut World, lifetime: Duration) -> Duration {
        let answer = self.insist(world, || Request::refresh(lifetime));
        let Lifetime(granted) = answer.get().expect("a Refresh success has LIFETIME");
        seconds(granted.into())
    }

    /// Deletes the allocation.
    #[track_caller]
    pub fn delete(self, world: &mut World) {
        self.refresh(world, Duration::ZERO);
    }

    /// Lets a peer reach the allocation.
    #[track_caller]
    pub fn permit(self, world: &mut World, peer: impl Into<SocketAddr>) {
        let peer = peer.into();
        self.insist(world, || Request::create_permission([peer]));
    }

    /// Binds a channel to a peer: the one it had, or the next.
    #[track_caller]
    pub fn bind(self, world: &mut World, peer: impl Into<SocketAddr>) -> ChannelNumber {
        let peer = peer.into();
        let channels = &world.memory(self).channels;
        let number = match channels.iter().find(|(_, bound)| *bound == peer) {
            Some((number, _)) => *number,
            None => ChannelNumber::new(ChannelNumber::MIN.get() + channels.len() as u16)
                .expect("no test binds all channels"),
        };
        self.insist(world, || Request::channel_bind(number.get(), peer));
        number
    }

    /// Sends application data to a peer: on its channel if the client knows of one, else in a Send
    /// indication.
    pub fn send(self, world: &mut World, peer: impl Into<SocketAddr>, payload: &[u8]) -> Outcome {
        let peer = peer.into();
        let channels = &world.memory(self).channels;
        match channels.iter().find(|(_, bound)| *bound == peer) {
            Some(&(number, _)) => self.send_on(world, number, payload),
            None => self.tell(world, Request::send(peer, payload)),
        }
    }

    /// Sends application data to a peer, which gets it from the client's relayed address.
    #[track_caller]
    pub fn reaches(self, world: &mut World, peer: Peer, payload: &[u8]) {
        let expected = peer.hears(self.relayed(world), payload);
        assert_eq!(self.send(world, peer, payload), expected);
    }

    /// Sends application data on a channel, bound or not.
    pub fn send_on(self, world: &mut World, channel: ChannelNumber, payload: &[u8]) -> Outcome {
        let mut packet = RelayHeader::channel_data(channel, payload.len()).to_vec();
        packet.extend_from_slice(payload);
        if world.memory(self).tuple.transport.is_stream() {
            packet.resize(packet.len() + wire::padding(payload.len()), 0);
        }
        self.packet(world, &packet)
    }
}

impl World {
    /// A server of one shard with changed rules.
    pub fn ruled(change: impl FnOnce(&mut Rules)) -> Self {
        Self::with(|config| change(config.rules_mut()))
    }

    /// A server of one shard, and a client.
    pub fn of_alice() -> (Self, Client) {
        let mut world = Self::new();
        let alice = world.client("alice");
        (world, alice)
    }

    /// A server of one shard, a client and a peer.
    pub fn of_alice_and_peer() -> (Self, Client, Peer) {
        let (mut world, alice) = Self::of_alice();
        let peer = world.peer();
        (world, alice, peer)
    }
}

/// The same, one message at a time.
impl Client {
    /// Sends a request and takes the answer.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn ask(self, world: &mut World, request: Request) -> Answer {
        self.tell(world, request).answer()
    }

    /// Sends a request that must be granted.
    #[track_caller]
    pub fn succeeds(self, world: &mut World, request: Request) {
        let answer = self.ask(world, request);
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Sends a request that must be answered with this error code.
    #[track_caller]
    pub fn hears_error(self, world: &mut World, code: u16, request: Request) {
        let answer = self.ask(world, request);
        assert_eq!(answer.code(), Some(code), "{answer:?}");
    }

    /// Sends a message, answered or not.
    #[track_caller]
    pub fn tell(self, world: &mut World, request: Request) -> Outcome {
        let packet = self.write(world, &request);
        self.packet(world, &packet)
    }

    /// The bytes of a message, to be sent with [`Client::packet`] once or more often.
    #[track_caller]
    pub fn write(self, world: &mut World, request: &Request) -> Vec<u8> {
        if request.is_signed() {
            self.meet_challenge(world);
        }
        let transaction = world.next_transaction();
        request.write(&world.memory(self).credentials, transaction)
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn packet(self, world: &mut World, packet: &[u8]) -> Outcome {
        world.client_sends(self, packet)
    }

    /// Gives the client this token; from now on it signs with the key in it.
    pub fn take_token(self, world: &mut World, grant: AccessGrant) {
        world.grants.push(grant.clone());
        let credentials = &mut world.memory_mut(self).credentials;
        grant.kid.clone_into(&mut credentials.username);
        credentials.token = Some(grant);
    }

    /// Ends the client's connection.
    pub fn disconnect(self, world: &mut World) {
        world.disconnect(self);
    }
}

/// The parts of a client that a test can read.
impl Client {
    /// The outcome that this client gets a peer's data in a Data indication.
    pub fn hears(self, peer: impl Into<SocketAddr>, payload: &[u8]) -> Outcome {
        Outcome::AtClient {
            client: self,
            peer: peer.into(),
            channel: None,
            payload: payload.to_vec(),
        }
    }

    /// The outcome that this client is told of an ICMP error about a datagram that it sent to a
    /// peer.
    pub fn is_told(self, peer: impl Into<SocketAddr>, icmp: Icmp) -> Outcome {
        Outcome::IcmpAtClient {
            client: self,
            peer: peer.into(),
            icmp,
        }
    }

    /// The outcome that this client gets a peer's data on a channel.
    pub fn hears_on(
        self,
        channel: ChannelNumber,
        peer: impl Into<SocketAddr>,
        payload: &[u8],
    ) -> Outcome {
        Outcome::AtClient {
            client: self,
            peer: peer.into(),
            channel: Some(channel),
            payload: payload.to_vec(),
        }
    }

    /// The 5-tuple.
    pub fn tuple(self, world: &World) -> ClientTuple {
        world.memory(self).tuple
    }

    /// The relayed transport address of the last allocation.
    ///
    /// # Panics
    /// If there never was one.
    #[track_caller]
    pub fn relayed(self, world: &World) -> SocketAddr {
        world.memory(self).relayed.expect("an allocation")
    }

    /// The nonce that the client signs with; asks for one if it has none.
    #[track_caller]
    pub fn nonce(self, world: &mut World) -> String {
        self.meet_challenge(world);
        world.memory(self).credentials.nonce.clone()
    }

    /// Connections that peers made to the allocation, as the client was told since the last call of
    /// this.
    pub fn attempts(self, world: &mut World) -> Vec<(ConnectionId, SocketAddr)> {
        std::mem::take(&mut world.memory_mut(self).attempts)
    }

    /// Answers that came when no call was waiting for one, since the last call of this.
    pub fn inbox(self, world: &mut World) -> Vec<Answer> {
        std::mem::take(&mut world.memory_mut(self).inbox)
    }
}

impl Client {
    #[track_caller]
    fn insist(self, world: &mut World, request: impl Fn() -> Request) -> Answer {
        let mut answer = self.ask(world, request());
        if answer.code() == Some(STALE_NONCE) {
            answer = self.ask(world, request());
        }
        assert!(answer.is_success(), "refused: {answer:?}");
        assert!(
            answer.is_signed(),
            "a success to a signed request is signed"
        );
        answer
    }

    /// The first step of every client: an Allocate without credentials, to get realm and nonce.
    #[track_caller]
    fn meet_challenge(self, world: &mut World) {
        if world.memory(self).credentials.nonce.is_empty() {
            let answer = self.ask(world, Request::allocate().unsigned());
            assert_eq!(answer.code(), Some(401), "a stranger is challenged");
        }
    }
}

const STALE_NONCE: u16 = 438;
