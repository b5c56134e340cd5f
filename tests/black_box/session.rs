//! Sessions: the project's own client on a UDP socket, for what no other client would ask.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use client::{
    AllocateOptions, Client, Config, Credentials, Event, Failure, Retransmission, Sha256, Transport,
};
use wire::AddressFamily;

use crate::lab::{
    PATIENCE,
    server::{PASSWORD, USER},
    world::SERVER_V4,
};

/// A client and its socket.
pub(crate) struct Session {
    socket: UdpSocket,
    client: Client,
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
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        socket
            .connect((SERVER_V4, port))
            .expect("a route to the server");
        let mut config = Config::new(Transport::Udp);
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
            socket,
            client: Client::new(config, seed),
        }
    }

    /// The address that the server sees.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a connected socket")
    }

    /// The relayed address of a new allocation.
    pub(crate) fn allocate(&mut self, family: AddressFamily) -> Result<SocketAddr, Refused> {
        let options = AllocateOptions {
            family: Some(family),
            ..AllocateOptions::default()
        };
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

    pub(crate) fn create_permission(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(|client, now| client.create_permission(now, &[peer]))
            .map(drop)
    }

    pub(crate) fn bind_channel(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        self.ask(|client, now| {
            client.bind_channel(now, peer).expect("a free channel");
        })
        .map(drop)
    }

    /// Sends a Send indication and a Binding after it: when that is answered, the server is done
    /// with the indication too.
    pub(crate) fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.client.send(peer, data).expect("data that fits");
        self.ask(|client, now| client.binding(now))
            .expect("a Binding is for everyone");
    }

    /// What the next peer's datagram holds, and whose it is.
    pub(crate) fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let event = self.next_event();
        let Event::Data { peer, payload, .. } = event else {
            panic!("data was awaited, {event:?} came");
        };
        (peer, payload)
    }

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

    fn next_event(&mut self) -> Event {
        let mut packet = [0; 65536];
        self.socket
            .set_read_timeout(Some(PATIENCE))
            .expect("patience is not zero");
        loop {
            while let Some(packet) = self.client.poll_transmit() {
                self.socket
                    .send(&packet)
                    .expect("the server's host is there");
            }
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            let length = self.socket.recv(&mut packet).expect("the server answers");
            self.client.handle_input(Instant::now(), &packet[..length]);
        }
    }
}
