//! Sessions: the project's own client on a socket, with a record of what it sent.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use client::{
    AllocateOptions, Client, Config, Credentials, Event, Failure, Retransmission, Sha256, Transport,
};
use wire::ChannelNumber;

use crate::{
    lab::{
        PATIENCE,
        server::{PASSWORD, USER},
    },
    server::SERVER,
    stream::connect,
};

/// A client and its socket.
pub(crate) struct Session {
    link: Link,
    client: Client,
    sent: Vec<Vec<u8>>,
}

/// The error code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16);

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Session {
    /// A client on UDP.
    pub(crate) fn udp() -> Self {
        Self::udp_to(SERVER, USER, PASSWORD)
    }

    /// A client on UDP of a server at another address, with other credentials.
    pub(crate) fn udp_to(server: SocketAddr, user: &str, password: &str) -> Self {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).expect("a free port");
        // From now on only what comes from this very address is received.
        socket.connect(server).expect("a route to the server");
        Self::on(Link::Udp(socket), user, password)
    }

    /// A client on TCP, from its own address.
    pub(crate) fn tcp() -> Self {
        Self::on_stream(connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER))
    }

    /// A client on a connection.
    pub(crate) fn on_stream(stream: TcpStream) -> Self {
        Self::on(Link::Tcp(stream), USER, PASSWORD)
    }

    fn on(link: Link, user: &str, password: &str) -> Self {
        let config = config_of(&link, user, password);
        Self {
            link,
            client: Client::new(config, seed()),
            sent: Vec::new(),
        }
    }

    /// The same client, every message of which ends with FINGERPRINT.
    pub(crate) fn with_fingerprint(self) -> Self {
        let mut config = config_of(&self.link, USER, PASSWORD);
        config.fingerprint = true;
        Self {
            client: Client::new(config, seed()),
            ..self
        }
    }

    /// Everything that was sent so far, message by message.
    pub(crate) fn sent(&self) -> &[Vec<u8>] {
        &self.sent
    }

    /// The socket, to be misused.
    pub(crate) fn datagrams(&self) -> &UdpSocket {
        match &self.link {
            Link::Udp(socket) => socket,
            Link::Tcp(_) => panic!("a session on TCP has no datagrams"),
        }
    }

    /// The connection, to be misused.
    pub(crate) fn stream(&self) -> &TcpStream {
        match &self.link {
            Link::Tcp(stream) => stream,
            Link::Udp(_) => panic!("a session on UDP has no stream"),
        }
    }

    /// The client's own address as the server sees it.
    pub(crate) fn binding(&mut self) -> SocketAddr {
        match self.ask(Client::binding) {
            Ok(Event::Bound { mapped }) => mapped,
            other => panic!("a Binding led to {other:?}"),
        }
    }

    /// The relayed address of a new allocation.
    pub(crate) fn allocate(&mut self) -> Result<SocketAddr, Refused> {
        let options = AllocateOptions::default();
        let event = self.ask(|client, now| client.allocate(now, options))?;
        let Event::Allocated { relayed, .. } = event else {
            panic!("an Allocate led to {event:?}");
        };
        Ok(relayed)
    }

    pub(crate) fn refresh(&mut self, lifetime: Duration) -> Result<(), Refused> {
        self.ask(|client, now| client.refresh(now, lifetime))
            .map(drop)
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(|client, now| client.create_permission(now, &[peer]))
            .map(drop)
    }

    pub(crate) fn bind_channel(&mut self, peer: SocketAddr) -> Result<ChannelNumber, Refused> {
        let mut number = None;
        self.ask(|client, now| number = client.bind_channel(now, peer))?;
        Ok(number.expect("a free channel"))
    }

    /// Sends a Send indication.
    pub(crate) fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.client.send(peer, data).expect("data that fits");
        self.flush();
    }

    /// Sends ChannelData.
    pub(crate) fn send_channel(&mut self, channel: ChannelNumber, data: &[u8]) {
        self.client
            .send_channel(channel, data)
            .expect("data that fits");
        self.flush();
    }

    /// What the next datagram of a peer holds, if one comes in time. Of losses nothing is asked here.
    pub(crate) fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
        loop {
            let event = self.next_event(patience)?;
            if matches!(event, Event::Lost { .. }) {
                continue;
            }
            let Event::Data { payload, .. } = event else {
                panic!("data was awaited, {event:?} came");
            };
            return Some(payload);
        }
    }

    #[track_caller]
    fn ask(&mut self, ask: impl FnOnce(&mut Client, Instant)) -> Result<Event, Refused> {
        ask(&mut self.client, Instant::now());
        let event = self.next_event(PATIENCE).expect("the server answers");
        let Event::Failed { request, failure } = event else {
            return Ok(event);
        };
        let Failure::Refused { code, .. } = failure else {
            panic!("{request:?}: {failure}");
        };
        Err(Refused(code))
    }

    fn next_event(&mut self, patience: Duration) -> Option<Event> {
        let deadline = Instant::now() + patience;
        let mut packet = vec![0; 65536];
        loop {
            self.flush();
            if let Some(event) = self.client.poll_event() {
                return Some(event);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let length = self.link.receive(&mut packet, left)?;
            self.client.handle_input(Instant::now(), &packet[..length]);
        }
    }

    fn flush(&mut self) {
        while let Some(packet) = self.client.poll_transmit() {
            self.link.send(&packet);
            self.sent.push(packet);
        }
    }
}

impl Link {
    fn send(&self, packet: &[u8]) {
        match self {
            Self::Udp(socket) => socket.send(packet).map(drop),
            Self::Tcp(stream) => (&*stream).write_all(packet),
        }
        .expect("the server is there");
    }

    fn receive(&self, buffer: &mut [u8], patience: Duration) -> Option<usize> {
        // Zero would mean for ever.
        let patience = Some(patience.max(Duration::from_millis(1)));
        match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(patience).expect("not zero");
                socket.recv(buffer).ok()
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(patience).expect("not zero");
                let length = (&*stream).read(buffer).ok()?;
                assert_ne!(length, 0, "the server closed the connection");
                Some(length)
            }
        }
    }
}

fn config_of(link: &Link, user: &str, password: &str) -> Config {
    let mut config = Config::new(match link {
        Link::Udp(_) => Transport::Udp,
        Link::Tcp(_) => Transport::Tcp,
    });
    config.credentials = Some(Credentials::new(user, password).expect("plain credentials"));
    // The oracle knows the authentication of RFC 5389 only, and the log shows who is named.
    config.sha256 = Sha256::Off;
    // Nothing may be lost here, so nothing is sent twice.
    config.retransmission = Retransmission {
        rto: PATIENCE,
        requests: 1,
        last_wait: 1,
        ..Retransmission::default()
    };
    config
}

/// Transaction ids must differ between the clients of one server, no more.
fn seed() -> [u8; 32] {
    static SEEDS: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEEDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    seed
}

/// A peer's socket, at an address of its own.
pub(crate) fn peer_at(ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip.into(), 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("patience is not zero");
    (socket, address)
}
