//! Sessions: the project's own client on a socket, to be misused.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use client::{AllocateOptions, Client, Config, Event, Sha256};

pub(crate) use crate::lab::session::{Refused, Session};
use crate::{
    lab::{
        PATIENCE,
        server::{PASSWORD, USER},
        session::{Link, config},
    },
    server::SERVER,
    stream::connect,
};

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
        // From now on only packets from this very address are received.
        socket.connect(server).expect("a route to the server");
        Self::on_datagrams(socket, user, password)
    }

    /// A client on UDP with a socket that is connected.
    pub(crate) fn on_datagrams(socket: UdpSocket, user: &str, password: &str) -> Self {
        let link = Link::Udp(socket);
        let config = config_of(&link, user, password);
        Self::on(link, config)
    }

    /// A client on TCP, from its own address.
    pub(crate) fn tcp() -> Self {
        Self::on_stream(connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER))
    }

    /// A client on a connection.
    pub(crate) fn on_stream(stream: TcpStream) -> Self {
        let link = Link::Tcp(stream);
        let config = config_of(&link, USER, PASSWORD);
        Self::on(link, config)
    }

    /// The same client, every message of which ends with FINGERPRINT.
    pub(crate) fn with_fingerprint(self) -> Self {
        let mut config = config_of(&self.link, USER, PASSWORD);
        config.fingerprint = true;
        Self::on(self.link, config)
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
        self.allocate_with(AllocateOptions::default())
    }

    /// The payload of the next datagram of a peer, if one comes in time. Losses are skipped.
    pub(crate) fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
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
}

/// The oracle knows only the authentication of RFC 5389, and the log shows user names.
fn config_of(link: &Link, user: &str, password: &str) -> Config {
    config(link, user, password, Sha256::Off)
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
