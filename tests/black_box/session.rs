//! Sessions: the project's own client on a socket, for what no other client would ask.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use client::{
    AllocateOptions, Client, Config, Credentials, Event, Failure, Retransmission, Sha256, Transport,
};
use socket2::{Domain, SockRef, Socket, Type};
use wire::{AddressFamily, ChannelNumber, attributes::Icmp};

use crate::lab::{
    PATIENCE,
    server::{PASSWORD, Setup, USER},
    world::{SERVER_V4, SERVER_V6},
};

/// A client and its socket.
pub(crate) struct Session {
    link: Link,
    client: Client,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// The error code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16);

impl Session {
    /// A client of the server that listens on `port`.
    pub(crate) fn new(port: u16) -> Self {
        Self::of(port, USER, PASSWORD)
    }

    pub(crate) fn of(port: u16, user: &str, password: &str) -> Self {
        Self::with(port, user, password, Sha256::default())
    }

    pub(crate) fn with(port: u16, user: &str, password: &str, sha256: Sha256) -> Self {
        let link = Link::to((SERVER_V4, port).into(), Transport::Udp, 0);
        Self::on(link, user, password, sha256)
    }

    /// A client of this family on this transport, of the server that listens where it does unless
    /// told otherwise.
    pub(crate) fn over(transport: Transport, family: AddressFamily) -> Self {
        Self::marked(transport, family, 0)
    }

    /// The same with this DSCP from its first packet on.
    pub(crate) fn marked(transport: Transport, family: AddressFamily, marking: u8) -> Self {
        let link = Link::to(listener(family), transport, marking);
        Self::on(link, USER, PASSWORD, Sha256::default())
    }

    fn on(link: Link, user: &str, password: &str, sha256: Sha256) -> Self {
        let mut config = Config::new(match link {
            Link::Udp(_) => Transport::Udp,
            Link::Tcp(_) => Transport::Tcp,
        });
        config.credentials = Some(Credentials::new(user, password).expect("plain credentials"));
        config.sha256 = sha256;
        // Nothing is lost here, and a test that counts packets wants each of them once.
        config.retransmission = Retransmission {
            rto: PATIENCE,
            requests: 1,
            last_wait: 1,
            ..Retransmission::default()
        };
        // Transaction ids must differ between the clients of one server, no more.
        static SEEDS: AtomicU8 = AtomicU8::new(0);
        let seed = [SEEDS.fetch_add(1, Ordering::Relaxed); 32];
        Self {
            link,
            client: Client::new(config, seed),
        }
    }

    /// The address that the server sees.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.link {
            Link::Udp(socket) => socket.local_addr(),
            Link::Tcp(stream) => stream.local_addr(),
        }
        .expect("a connected socket")
    }

    /// From now on packets of this client have this DSCP and ECN.
    pub(crate) fn mark(&self, marking: u8) {
        mark(&self.link.socket(), self.address(), marking);
    }

    /// The relayed address of a new allocation.
    pub(crate) fn allocate(&mut self, family: AddressFamily) -> Result<SocketAddr, Refused> {
        self.allocate_with(AllocateOptions {
            family: Some(family),
            ..AllocateOptions::default()
        })
    }

    pub(crate) fn allocate_with(
        &mut self,
        options: AllocateOptions,
    ) -> Result<SocketAddr, Refused> {
        let event = self.ask(|client, now| client.allocate(now, options))?;
        let Event::Allocated { relayed, .. } = event else {
            panic!("an Allocate led to {event:?}");
        };
        Ok(relayed)
    }

    /// Gives up the socket, and takes the allocation to a new one.
    pub(crate) fn roam(
        &mut self,
        transport: Transport,
        family: AddressFamily,
    ) -> Result<(), Refused> {
        self.link = Link::to(listener(family), transport, 0);
        let lifetime = Duration::from_secs(600);
        self.ask(|client, now| assert!(client.relocate(now, transport, lifetime), "a ticket"))
            .map(drop)
    }

    pub(crate) fn refresh(&mut self, lifetime: Duration) -> Result<(), Refused> {
        self.ask(|client, now| client.refresh(now, lifetime))
            .map(drop)
    }

    pub(crate) fn create_permission(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(|client, now| client.create_permission(now, &[peer]))
            .map(drop)
    }

    pub(crate) fn bind_channel(&mut self, peer: SocketAddr) -> Result<ChannelNumber, Refused> {
        let mut number = None;
        self.ask(|client, now| number = client.bind_channel(now, peer))?;
        Ok(number.expect("a free channel"))
    }

    /// Sends a Send indication and a Binding after it: when that is answered, the server is done
    /// with the indication too.
    pub(crate) fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.post(peer, data);
        self.ask(|client, now| client.binding(now))
            .expect("a Binding is for everyone");
    }

    /// Sends a Send indication and waits for nothing.
    pub(crate) fn post(&mut self, peer: SocketAddr, data: &[u8]) {
        self.client.send(peer, data).expect("data that fits");
        self.flush();
    }

    /// The same with DONT-FRAGMENT.
    pub(crate) fn post_unfragmented(&mut self, peer: SocketAddr, data: &[u8]) {
        let sent = self.client.send_unfragmented(peer, data);
        sent.expect("data that fits");
        self.flush();
    }

    /// Sends ChannelData and waits for nothing.
    pub(crate) fn post_on(&mut self, channel: ChannelNumber, data: &[u8]) {
        let sent = self.client.send_channel(channel, data);
        sent.expect("data that fits");
        self.flush();
    }

    /// What the next peer's datagram holds, and whose it is.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let event = self.next_event();
        let Event::Data { peer, payload, .. } = event else {
            panic!("data was awaited, {event:?} came");
        };
        (peer, payload)
    }

    /// Which peer's datagram was lost, and why.
    #[track_caller]
    pub(crate) fn loss(&mut self) -> (SocketAddr, Icmp) {
        let event = self.next_event();
        let Event::Lost { peer, icmp } = event else {
            panic!("a loss was awaited, {event:?} came");
        };
        (peer, icmp)
    }

    /// Asks something that everyone is answered: whatever came before the answer is an error.
    #[track_caller]
    pub(crate) fn assert_nothing_else_comes(&mut self) {
        let answer = self.ask(|client, now| client.binding(now));
        assert!(matches!(answer, Ok(Event::Bound { .. })), "{answer:?}");
    }

    #[track_caller]
    fn ask(&mut self, ask: impl FnOnce(&mut Client, Instant)) -> Result<Event, Refused> {
        ask(&mut self.client, Instant::now());
        let event = self.next_event();
        let Event::Failed { request, failure } = event else {
            return Ok(event);
        };
        let Failure::Refused { code, .. } = failure else {
            panic!("{request:?}: {failure}");
        };
        Err(Refused(code))
    }

    #[track_caller]
    pub(crate) fn next_event(&mut self) -> Event {
        let mut packet = [0; 65536];
        loop {
            self.flush();
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            let length = self.link.receive(&mut packet);
            self.client.handle_input(Instant::now(), &packet[..length]);
        }
    }

    fn flush(&mut self) {
        while let Some(packet) = self.client.poll_transmit() {
            self.link.send(&packet);
        }
    }
}

impl Link {
    fn to(server: SocketAddr, transport: Transport, marking: u8) -> Self {
        match transport {
            Transport::Udp => {
                let any: IpAddr = match server {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0)).expect("a free port");
                socket.connect(server).expect("a route to the server");
                mark(&(&socket).into(), server, marking);
                Self::Udp(socket)
            }
            Transport::Tcp => {
                let socket = Socket::new(Domain::for_address(server), Type::STREAM, None);
                let socket = socket.expect("a socket");
                // The first packets count.
                mark(&(&socket).into(), server, marking);
                socket.connect(&server.into()).expect("a listener");
                Self::Tcp(socket.into())
            }
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Udp(socket) => socket.into(),
            Self::Tcp(stream) => stream.into(),
        }
    }

    fn send(&self, packet: &[u8]) {
        match self {
            Self::Udp(socket) => socket.send(packet).map(drop),
            Self::Tcp(stream) => (&*stream).write_all(packet),
        }
        .expect("the server's host is there");
    }

    #[track_caller]
    fn receive(&self, packet: &mut [u8]) -> usize {
        let patience = self.socket().set_read_timeout(Some(PATIENCE));
        patience.expect("patience is not zero");
        match self {
            Self::Udp(socket) => socket.recv(packet),
            Self::Tcp(stream) => (&*stream).read(packet),
        }
        .expect("the server answers")
    }
}

/// Where the server listens unless told otherwise.
fn listener(family: AddressFamily) -> SocketAddr {
    let server: IpAddr = match family {
        AddressFamily::V4 => SERVER_V4.into(),
        AddressFamily::V6 => SERVER_V6.into(),
    };
    SocketAddr::new(server, Setup::default().port)
}

/// Sets DSCP and ECN of a socket that sends to an address. TCP has an ECN of its own.
pub(crate) fn mark(socket: &SockRef<'_>, to: SocketAddr, marking: u8) {
    if to.is_ipv4() {
        socket.set_tos_v4(marking.into())
    } else {
        socket.set_tclass_v6(marking.into())
    }
    .expect("an octet");
}
