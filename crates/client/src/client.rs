//! The client: verbs in, messages and events out.

mod input;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};
use wire::attributes::{ConnectionId, Data, DontFragment, XorPeerAddress};
use wire::stream::Deframer;
use wire::{ChannelNumber, Class, Method, RelayHeader, TransactionId, Writer};

use crate::challenge::Challenge;
use crate::channels::Channels;
use crate::drops::Drops;
use crate::exchange::{Attributes, Exchange, Order};
use crate::keep_alive::KeepAlive;
use crate::transaction::Transaction;
use crate::{AllocateOptions, Config, DropReason, Event, Request, Ticket, Transport};

/// One client of one server: its requests, the channels and lifetimes granted, and its events.
///
/// ```
/// use client::{Client, Config, Event, Transport};
/// use wire::attributes::XorMappedAddress;
/// use wire::{Class, Message, Method, Writer};
///
/// # let now = std::time::Instant::now();
/// let mut client = Client::new(Config::new(Transport::Udp), [7; 32]);
/// client.binding(now);
/// let request = client.poll_transmit().ok_or("there is a request to send")?;
///
/// // No answer comes. At the time that it named, the client sends the same again.
/// let now = client.poll_timeout().ok_or("the request waits")?;
/// client.handle_timeout(now);
/// assert_eq!(client.poll_transmit().as_ref(), Some(&request));
///
/// // What a server answers.
/// let mapped = "192.0.2.1:40000".parse()?;
/// let transaction = Message::parse(&request)?.transaction();
/// let mut answer = Vec::new();
/// Writer::new(&mut answer, Method::Binding, Class::Success, transaction)
///     .put(&XorMappedAddress(mapped));
///
/// client.handle_input(now, &answer);
/// assert_eq!(client.poll_event(), Some(Event::Bound { mapped }));
/// assert_eq!(client.poll_timeout(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: ChaCha12Rng,
    /// The server's latest challenge; the next request is signed with it.
    challenge: Option<Challenge>,
    exchanges: Vec<Exchange>,
    channels: Channels,
    keep_alive: KeepAlive,
    /// The ticket that moves the allocation to another address.
    ticket: Option<Ticket>,
    deframer: Deframer,
    stream_broken: bool,
    /// Whether the stream carries the data of one peer, and no frames.
    stream_bound: bool,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    drops: Drops,
}

impl Client {
    /// A client that has sent nothing yet. The seed must come from a good source of randomness:
    /// transaction ids are drawn from it, and an attacker who can guess them can answer in the
    /// server's place.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: ChaCha12Rng::from_seed(seed),
            challenge: None,
            exchanges: Vec::new(),
            channels: Channels::default(),
            keep_alive: KeepAlive::default(),
            ticket: None,
            deframer: Deframer::default(),
            stream_broken: false,
            stream_bound: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            drops: Drops::default(),
        }
    }

    /// Asks for the reflexive address: [`Event::Bound`]. RFC 8489 §3.
    pub fn binding(&mut self, now: Instant) {
        self.ask(now, Request::Binding);
    }

    /// Asks for an allocation: [`Event::Allocated`]. RFC 8656 §7.1.
    pub fn allocate(&mut self, now: Instant, options: AllocateOptions) {
        self.ask(now, Request::Allocate(options));
    }

    /// Asks for another lifetime of the allocation, zero to end it: [`Event::Refreshed`].
    /// RFC 8656 §8.1.
    pub fn refresh(&mut self, now: Instant, lifetime: Duration) {
        self.ask(now, Request::Refresh { lifetime });
    }

    /// Tells the client that its packets leave from another address or on another transport from
    /// now on. It asks for the allocation that it had: [`Event::Refreshed`]; channels and
    /// permissions stay. Data should wait for that event. Returns whether there is a ticket to ask
    /// with: see [`AllocateOptions::mobile`]. RFC 8016 §3.2.1.
    ///
    /// Requests that are not answered yet go on from the new address.
    pub fn relocate(&mut self, now: Instant, transport: Transport, lifetime: Duration) -> bool {
        self.config.transport = transport;
        self.deframer = Deframer::default();
        self.stream_broken = false;
        let Some(ticket) = self.ticket.clone() else {
            return false;
        };
        self.ask(now, Request::Relocate { lifetime, ticket });
        true
    }

    /// Asks that these peers may reach the allocation: [`Event::PermissionCreated`]. RFC 8656 §10.1.
    ///
    /// # Panics
    /// If there are more peers than a message holds: some 2,500.
    pub fn create_permission(&mut self, now: Instant, peers: &[SocketAddr]) {
        let peers = peers.to_vec();
        self.ask(now, Request::CreatePermission { peers });
    }

    /// Asks for a channel to a peer, or to prolong the one that it has: [`Event::ChannelBound`].
    /// `None` if all 4,096 numbers are taken. Data may be sent on the channel at once: on an
    /// ordered path the bind arrives first. RFC 8656 §12.1.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) -> Option<ChannelNumber> {
        let number = self.channels.take(peer)?;
        self.ask(now, Request::ChannelBind { number, peer });
        Some(number)
    }

    /// Asks for a connection from the TCP allocation to a peer: [`Event::Connected`]. RFC 6062 §4.3.
    pub fn connect(&mut self, now: Instant, peer: SocketAddr) {
        self.ask(now, Request::Connect { peer });
    }

    /// Asks that this client's stream becomes the other end of a connection with a peer, which
    /// another client of the same user has: [`Event::ConnectionBound`]. RFC 6062 §4.3.
    pub fn bind_connection(&mut self, now: Instant, connection: ConnectionId) {
        self.ask(now, Request::ConnectionBind { connection });
    }

    /// Sends a request with any method and attributes: [`Event::Answered`] with the server's answer
    /// as it came, success or error. Like the other requests it is signed as soon as the server has
    /// named realm and nonce, and a 401 and a 438 are answered once; so `attributes` may be called
    /// more than once.
    ///
    /// # Panics
    /// If the attributes do not fit a message.
    pub fn request(
        &mut self,
        now: Instant,
        method: Method,
        attributes: impl Fn(&mut Writer<'_>) + Send + 'static,
    ) {
        self.start(now, Request::Custom(method), Some(Box::new(attributes)));
    }

    /// Sends data to a peer in a Send indication. RFC 8656 §11.1.
    ///
    /// # Errors
    /// [`TooLong`] if the message cannot hold it.
    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), TooLong> {
        self.indicate(peer, data, false)
    }

    /// The same, and asks the server to set the DF bit of the datagram: where it does not fit it is
    /// lost, and [`Event::Lost`] may say so. RFC 8656 §11.1.
    ///
    /// # Errors
    /// [`TooLong`] if the message cannot hold it.
    pub fn send_unfragmented(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), TooLong> {
        self.indicate(peer, data, true)
    }

    fn indicate(
        &mut self,
        peer: SocketAddr,
        data: &[u8],
        dont_fragment: bool,
    ) -> Result<(), TooLong> {
        if data.len() > RelayHeader::MAX_PAYLOAD {
            return Err(TooLong(data.len()));
        }
        let mut packet = Vec::with_capacity(RelayHeader::CAPACITY + data.len() + 3);
        let id = self.draw_transaction_id();
        let mut writer = Writer::new(&mut packet, Method::Send, Class::Indication, id);
        writer.put(&XorPeerAddress(peer));
        if dont_fragment {
            writer.put(&DontFragment);
        }
        writer.put(&Data(data));
        self.finish(writer);
        self.transmits.push_back(packet);
        Ok(())
    }

    /// Sends data on a channel. RFC 8656 §12.5.
    ///
    /// # Errors
    /// [`TooLong`] if it is longer than 65,535 bytes.
    pub fn send_channel(&mut self, number: ChannelNumber, data: &[u8]) -> Result<(), TooLong> {
        if data.len() > usize::from(u16::MAX) {
            return Err(TooLong(data.len()));
        }
        let padding = if self.config.transport.is_stream() {
            wire::padding(data.len())
        } else {
            0
        };
        let header = RelayHeader::channel_data(number, data.len());
        let mut packet = Vec::with_capacity(header.len() + data.len() + padding);
        packet.extend_from_slice(&header);
        packet.extend_from_slice(data);
        packet.resize(packet.len() + padding, 0);
        self.transmits.push_back(packet);
        Ok(())
    }

    /// The next message to send to the server, whole: a datagram, or bytes for the stream.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event, in the order in which they happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Client::handle_timeout`] is to be called; `None` if there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let exchanges = self.exchanges.iter();
        exchanges
            .map(|exchange| exchange.transaction.deadline())
            .chain(self.keep_alive.deadline())
            .min()
    }

    /// How many packets were ignored for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.of(reason)
    }

    fn ask(&mut self, now: Instant, request: Request) {
        self.start(now, request, None);
    }

    fn start(&mut self, now: Instant, request: Request, custom: Option<Attributes>) {
        let signed = self.challenge.clone().filter(|_| request.is_signed());
        self.transact(now, Order::new(request, custom, signed));
    }

    /// Opens a transaction for an order.
    fn transact(&mut self, now: Instant, order: Order) {
        let id = self.draw_transaction_id();
        let mut packet = Vec::new();
        let mut writer = Writer::new(&mut packet, order.request.method(), Class::Request, id);
        order.write(&mut writer);
        self.finish(writer);
        self.transmits.push_back(packet.clone());
        let config = &self.config;
        let transaction =
            Transaction::start(now, config.transport, &config.retransmission, id, packet);
        self.exchanges.push(Exchange {
            order,
            transaction,
            forged: false,
        });
    }

    fn finish(&self, mut writer: Writer<'_>) {
        if self.config.fingerprint {
            writer.fingerprint();
        }
    }

    fn draw_transaction_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        TransactionId::new(id)
    }
}

/// The payload is longer than the length fields of the protocol can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit one message")]
pub struct TooLong(pub usize);
