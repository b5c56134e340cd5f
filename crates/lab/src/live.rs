//! The project's own client on a socket, for requests that no other client would send.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use client::{
    AllocateOptions, Client, Config, Credentials, Event, Failure, Retransmission, Transport,
};
use wire::{
    AddressFamily, ChannelNumber,
    attributes::{ConnectionId, Icmp},
};

use crate::{
    PATIENCE,
    server::{PASSWORD, USER, port_of},
    socket::LiveSocket,
    world::server_of,
};

/// A client and its socket.
pub struct LiveClient {
    /// The socket, which a test may misuse.
    pub socket: LiveSocket,
    /// The messages that it sent, one by one.
    pub sent: Vec<Vec<u8>>,
    client: Client,
    config: Config,
}

/// The error code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

impl LiveClient {
    /// A client of the world's server over UDP and IPv4, as the lab's user.
    pub fn udp() -> Self {
        Self::over(Transport::Udp, AddressFamily::V4)
    }

    /// The same over TLS; the server is one of `Setup::with_tls`.
    pub fn tls() -> Self {
        Self::over(Transport::Tls, AddressFamily::V4)
    }

    /// The same over this transport and family.
    pub fn over(transport: Transport, family: AddressFamily) -> Self {
        Self::to((server_of(family), port_of(transport)), transport)
    }

    /// A client of any server, as the lab's user.
    pub fn to(server: impl Into<SocketAddr>, transport: Transport) -> Self {
        Self::on(LiveSocket::to(server.into(), transport, 0))
    }

    /// The same on a socket that there is.
    pub fn on(socket: LiveSocket) -> Self {
        let mut config = Config::new(socket.transport());
        config.credentials = Some(credentials(USER, PASSWORD));
        // Nothing is lost here, and a test that counts packets wants each of them once.
        config.retransmission = Retransmission {
            rto: PATIENCE,
            requests: 1,
            last_wait: 1,
            ..Retransmission::default()
        };
        Self {
            socket,
            sent: Vec::new(),
            client: Client::new(config.clone(), seed()),
            config,
        }
    }

    /// The client with another configuration, before its first request.
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.client = Client::new(self.config.clone(), seed());
        self
    }

    /// The client as another user, before its first request.
    pub fn login(self, user: &str, password: &str) -> Self {
        self.with(|config| config.credentials = Some(credentials(user, password)))
    }

    /// The address that the server sees.
    pub fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// The client with an allocation, and the relayed address.
    #[track_caller]
    pub fn allocated(mut self) -> (Self, SocketAddr) {
        let relayed = self.allocate().expect("an allocation");
        (self, relayed)
    }

    /// The same of this family.
    #[track_caller]
    pub fn allocated_of(mut self, family: AddressFamily) -> (Self, SocketAddr) {
        let relayed = self.allocate_of(family).expect("an allocation");
        (self, relayed)
    }

    /// The relayed address of a new allocation, of the server's default family.
    #[track_caller]
    pub fn allocate(&mut self) -> Result<SocketAddr, Code> {
        self.allocate_with(AllocateOptions::default())
    }

    /// The same of this family.
    #[track_caller]
    pub fn allocate_of(&mut self, family: AddressFamily) -> Result<SocketAddr, Code> {
        self.allocate_with(AllocateOptions {
            family: Some(family),
            ..AllocateOptions::default()
        })
    }

    /// The same with these options.
    #[track_caller]
    pub fn allocate_with(&mut self, options: AllocateOptions) -> Result<SocketAddr, Code> {
        let event = self.ask(|client, now| client.allocate(now, options))?;
        let Event::Allocated { relayed, .. } = event else {
            panic!("an Allocate led to {event:?}");
        };
        Ok(relayed)
    }

    /// The relayed address of a new allocation from a server that may not answer at all.
    pub fn allocate_within(&mut self, patience: Duration) -> Option<Result<SocketAddr, Code>> {
        let options = AllocateOptions::default();
        self.client.allocate(Instant::now(), options);
        let event = self.event_within(patience)?;
        if let Event::Failed {
            failure: Failure::Refused { code, .. },
            ..
        } = event
        {
            return Some(Err(Code(code)));
        }
        let Event::Allocated { relayed, .. } = event else {
            panic!("an Allocate led to {event:?}");
        };
        Some(Ok(relayed))
    }

    /// Refreshes the allocation, or ends it with a lifetime of zero.
    #[track_caller]
    pub fn refresh(&mut self, lifetime: Duration) -> Result<(), Code> {
        let event = self.ask(|client, now| client.refresh(now, lifetime));
        event.map(drop)
    }

    /// Asks for a permission for the peer's IP address.
    #[track_caller]
    pub fn create_permission(&mut self, peer: SocketAddr) -> Result<(), Code> {
        let event = self.ask(|client, now| client.create_permission(now, &[peer]));
        event.map(drop)
    }

    /// Binds a channel to the peer.
    #[track_caller]
    pub fn bind_channel(&mut self, peer: SocketAddr) -> Result<ChannelNumber, Code> {
        let mut number = None;
        self.ask(|client, now| number = client.bind_channel(now, peer))?;
        Ok(number.expect("a free channel"))
    }

    /// The relayed address of a new TCP allocation.
    #[track_caller]
    pub fn allocate_tcp(&mut self) -> Result<SocketAddr, Code> {
        self.allocate_with(AllocateOptions {
            tcp: true,
            ..AllocateOptions::default()
        })
    }

    /// A connection from the TCP allocation to a peer.
    #[track_caller]
    pub fn connect(&mut self, peer: SocketAddr) -> Result<ConnectionId, Code> {
        let event = self.ask(|client, now| client.connect(now, peer))?;
        let Event::Connected { connection, .. } = event else {
            panic!("a Connect led to {event:?}");
        };
        Ok(connection)
    }

    /// The next peer that connects to the TCP allocation.
    #[track_caller]
    pub fn attempt(&mut self) -> (SocketAddr, ConnectionId) {
        let event = self.next_event();
        let Event::ConnectionAttempt { peer, connection } = event else {
            panic!("a peer was awaited, {event:?} came");
        };
        (peer, connection)
    }

    /// Makes this client's connection the other end of one with a peer.
    #[track_caller]
    pub fn bind_connection(&mut self, connection: ConnectionId) -> Result<(), Code> {
        let bound = self.ask(|client, now| client.bind_connection(now, connection));
        bound.map(drop)
    }

    /// The stream of a client that is bound, and what came on it already.
    #[track_caller]
    pub fn into_stream(mut self) -> (TcpStream, Vec<u8>) {
        let mut first = Vec::new();
        while let Some(event) = self.client.poll_event() {
            let Event::Bytes(bytes) = event else {
                panic!("bytes were awaited, {event:?} came");
            };
            first.extend_from_slice(&bytes);
        }
        (self.socket.into_stream(), first)
    }

    /// The client's own address as the server sees it.
    #[track_caller]
    pub fn binding(&mut self) -> SocketAddr {
        match self.ask(Client::binding) {
            Ok(Event::Bound { mapped }) => mapped,
            other => panic!("a Binding led to {other:?}"),
        }
    }

    /// Gives up the socket, and moves the allocation to a new one.
    #[track_caller]
    pub fn roam(&mut self, transport: Transport, family: AddressFamily) -> Result<(), Code> {
        let server = (server_of(family), port_of(transport)).into();
        self.socket = LiveSocket::to(server, transport, 0);
        let lifetime = Duration::from_secs(600);
        self.ask(|client, now| assert!(client.relocate(now, transport, lifetime), "a ticket"))
            .map(drop)
    }

    /// Sends a Send indication and a Binding after it: when that is answered, the server is done
    /// with the indication too.
    #[track_caller]
    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.post(peer, data);
        self.binding();
    }

    /// Sends a Send indication and waits for nothing.
    pub fn post(&mut self, peer: SocketAddr, data: &[u8]) {
        self.client.send(peer, data).expect("data that fits");
        self.flush();
    }

    /// The same with DONT-FRAGMENT.
    pub fn post_unfragmented(&mut self, peer: SocketAddr, data: &[u8]) {
        let sent = self.client.send_unfragmented(peer, data);
        sent.expect("data that fits");
        self.flush();
    }

    /// Sends ChannelData and waits for nothing.
    pub fn post_on(&mut self, channel: ChannelNumber, data: &[u8]) {
        let sent = self.client.send_channel(channel, data);
        sent.expect("data that fits");
        self.flush();
    }

    /// The payload of the next datagram of a peer, and the peer.
    #[track_caller]
    pub fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let event = self.next_event();
        let Event::Data { peer, payload, .. } = event else {
            panic!("data was awaited, {event:?} came");
        };
        (peer, payload)
    }

    /// The payload of the next datagram of a peer, if one comes in time. Losses are skipped.
    #[track_caller]
    pub fn receive_within(&mut self, patience: Duration) -> Option<Vec<u8>> {
        loop {
            let event = self.event_within(patience)?;
            if matches!(event, Event::Lost { .. }) {
                continue;
            }
            let Event::Data { payload, .. } = event else {
                panic!("data was awaited, {event:?} came");
            };
            return Some(payload);
        }
    }

    /// The peer whose datagram was lost, and why.
    #[track_caller]
    pub fn loss(&mut self) -> (SocketAddr, Icmp) {
        let event = self.next_event();
        let Event::Lost { peer, icmp } = event else {
            panic!("a loss was awaited, {event:?} came");
        };
        (peer, icmp)
    }

    /// Sends a request that is always answered: anything that comes before the answer is an error.
    #[track_caller]
    pub fn assert_nothing_else_comes(&mut self) {
        self.client.binding(Instant::now());
        let event = self.next_event();
        assert!(matches!(event, Event::Bound { .. }), "{event:?}");
    }

    /// The next event, which must come.
    #[track_caller]
    pub fn next_event(&mut self) -> Event {
        self.event_within(PATIENCE).expect("the server answers")
    }

    #[track_caller]
    fn ask(&mut self, ask: impl FnOnce(&mut Client, Instant)) -> Result<Event, Code> {
        ask(&mut self.client, Instant::now());
        let event = loop {
            let event = self.next_event();
            // A loss of an earlier datagram may be reported at any time.
            if !matches!(event, Event::Lost { .. }) {
                break event;
            }
        };
        let Event::Failed { request, failure } = event else {
            return Ok(event);
        };
        let Failure::Refused { code, .. } = failure else {
            panic!("{request:?}: {failure}");
        };
        Err(Code(code))
    }

    #[track_caller]
    fn event_within(&mut self, patience: Duration) -> Option<Event> {
        let deadline = Instant::now() + patience;
        let mut packet = vec![0; 65536];
        loop {
            self.flush();
            if let Some(event) = self.client.poll_event() {
                return Some(event);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let length = self.socket.receive(&mut packet, left)?;
            self.client.handle_input(Instant::now(), &packet[..length]);
        }
    }

    fn flush(&mut self) {
        while let Some(packet) = self.client.poll_transmit() {
            self.socket.send(&packet);
            self.sent.push(packet);
        }
    }
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials::new(user, password).expect("plain credentials")
}

/// Transaction ids only have to differ between the clients of one server.
fn seed() -> [u8; 32] {
    static SEEDS: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEEDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    seed
}
