//! A client, a server and a clock that only the test moves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{AllocateOptions, Client, Config, Credentials, Event, Failure, Request, Transport};

use crate::server::{LIFETIME, PASSWORD, Server, USERNAME, mapped, relayed};

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) now: Instant,
    start: Instant,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let start = start();
        Self {
            client: Client::new(config, [7; 32]),
            server: Server::new(),
            now: start,
            start,
        }
    }

    /// A client with the right password, over datagrams.
    pub(crate) fn udp() -> Self {
        Self::new(alice(Transport::Udp))
    }

    /// The same over a stream.
    pub(crate) fn tcp() -> Self {
        Self::new(alice(Transport::Tcp))
    }

    /// Delivers everything back and forth until both are silent.
    pub(crate) fn exchange(&mut self) {
        while let Some(packet) = self.client.poll_transmit() {
            if let Some(answer) = self.server.answer(&packet) {
                self.client.handle_input(self.now, &answer);
            }
        }
    }

    /// Opens an allocation.
    pub(crate) fn allocate(&mut self) {
        self.client.allocate(self.now, AllocateOptions::default());
        self.exchange();
        assert_eq!(self.event(), allocated());
    }

    /// Takes the one packet that the client has to send.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let packet = self.client.poll_transmit().expect("a packet");
        assert_eq!(self.client.poll_transmit(), None, "one packet");
        packet
    }

    /// Takes the one event of the client.
    pub(crate) fn event(&mut self) -> Event {
        let event = self.client.poll_event().expect("an event");
        assert_eq!(self.client.poll_event(), None, "one event");
        event
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.client.handle_input(self.now, bytes);
    }

    /// Moves the clock to the client's next timeout, calls the client and returns how far that is
    /// from the start; `None` if it waits for nothing.
    pub(crate) fn sleep(&mut self) -> Option<Duration> {
        self.now = self.client.poll_timeout()?;
        self.client.handle_timeout(self.now);
        Some(self.elapsed())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

pub(crate) fn alice(transport: Transport) -> Config {
    let mut config = Config::new(transport);
    config.credentials = Some(Credentials::new(USERNAME, PASSWORD).unwrap());
    config
}

#[expect(clippy::disallowed_methods, reason = "a clock must begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

pub(crate) fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 5], port))
}

pub(crate) fn allocated() -> Event {
    Event::Allocated {
        relayed: relayed(),
        mapped: mapped(),
        lifetime: Duration::from_secs(LIFETIME.into()),
    }
}

pub(crate) fn failed(request: Request, failure: Failure) -> Event {
    Event::Failed { request, failure }
}

pub(crate) fn refused(code: u16, reason: &str) -> Failure {
    Failure::Refused {
        code,
        reason: reason.to_owned(),
    }
}

pub(crate) fn allocate_request() -> Request {
    Request::Allocate(AllocateOptions::default())
}
