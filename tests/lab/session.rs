//! Sessions: the project's own client on a socket. Further requests are beside the tests that need
//! them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use client::{
    AllocateOptions, Client, Config, Credentials, Event, Failure, Retransmission, Sha256, Transport,
};
use wire::ChannelNumber;

use super::PATIENCE;

/// A client and its socket.
pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) client: Client,
    /// The messages that it sent, one by one.
    pub(crate) sent: Vec<Vec<u8>>,
}

pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// The error code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16);

impl Session {
    pub(crate) fn on(link: Link, config: Config) -> Self {
        // Transaction ids only have to differ between the clients of one server.
        static SEEDS: AtomicU64 = AtomicU64::new(0);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&SEEDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Self {
            link,
            client: Client::new(config, seed),
            sent: Vec::new(),
        }
    }

    /// The relayed address of a new allocation.
    #[track_caller]
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

    #[track_caller]
    pub(crate) fn refresh(&mut self, lifetime: Duration) -> Result<(), Refused> {
        self.ask(|client, now| client.refresh(now, lifetime))
            .map(drop)
    }

    #[track_caller]
    pub(crate) fn create_permission(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(|client, now| client.create_permission(now, &[peer]))
            .map(drop)
    }

    #[track_caller]
    pub(crate) fn bind_channel(&mut self, peer: SocketAddr) -> Result<ChannelNumber, Refused> {
        let mut number = None;
        self.ask(|client, now| number = client.bind_channel(now, peer))?;
        Ok(number.expect("a free channel"))
    }

    /// Sends a Send indication and waits for nothing.
    pub(crate) fn post(&mut self, peer: SocketAddr, data: &[u8]) {
        self.client.send(peer, data).expect("data that fits");
        self.flush();
    }

    /// Sends ChannelData and waits for nothing.
    pub(crate) fn post_on(&mut self, channel: ChannelNumber, data: &[u8]) {
        let sent = self.client.send_channel(channel, data);
        sent.expect("data that fits");
        self.flush();
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, ask: impl FnOnce(&mut Client, Instant)) -> Result<Event, Refused> {
        ask(&mut self.client, Instant::now());
        let event = loop {
            let event = self.event_within(PATIENCE).expect("the server answers");
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
        Err(Refused(code))
    }

    /// The next event, if there is one in time.
    #[track_caller]
    pub(crate) fn event_within(&mut self, patience: Duration) -> Option<Event> {
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

    pub(crate) fn flush(&mut self) {
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

    #[track_caller]
    fn receive(&self, buffer: &mut [u8], patience: Duration) -> Option<usize> {
        // A timeout of zero would mean for ever.
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

/// The configuration of a client on this link.
pub(crate) fn config(link: &Link, user: &str, password: &str, sha256: Sha256) -> Config {
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
    config
}
