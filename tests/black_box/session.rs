//! Sessions: the project's own client on a socket, for requests that no other client would send.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use client::{AllocateOptions, Event, Sha256, Transport};
use socket2::{Domain, SockRef, Socket, Type};
use wire::{AddressFamily, attributes::Icmp};

pub(crate) use crate::lab::session::{Refused, Session};
use crate::lab::{
    PATIENCE,
    server::{PASSWORD, Setup, USER},
    session::{Link, config},
    world::{SERVER_V4, SERVER_V6},
};

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
        let config = config(&link, user, password, sha256);
        Self::on(link, config)
    }

    /// A client of this family on this transport, of the server at its usual listener.
    pub(crate) fn over(transport: Transport, family: AddressFamily) -> Self {
        Self::marked(transport, family, 0)
    }

    /// The same with this DSCP from its first packet on.
    pub(crate) fn marked(transport: Transport, family: AddressFamily, marking: u8) -> Self {
        let link = Link::to(listener(family), transport, marking);
        let config = config(&link, USER, PASSWORD, Sha256::default());
        Self::on(link, config)
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

    /// Gives up the socket, and moves the allocation to a new one.
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

    /// Sends a Send indication and a Binding after it: when that is answered, the server is done
    /// with the indication too.
    pub(crate) fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.post(peer, data);
        self.ask(|client, now| client.binding(now))
            .expect("a Binding is for everyone");
    }

    /// Sends a Send indication with DONT-FRAGMENT and waits for nothing.
    pub(crate) fn post_unfragmented(&mut self, peer: SocketAddr, data: &[u8]) {
        let sent = self.client.send_unfragmented(peer, data);
        sent.expect("data that fits");
        self.flush();
    }

    /// The payload of the next datagram of a peer, and the peer.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let event = self.next_event();
        let Event::Data { peer, payload, .. } = event else {
            panic!("data was awaited, {event:?} came");
        };
        (peer, payload)
    }

    /// The peer whose datagram was lost, and why.
    #[track_caller]
    pub(crate) fn loss(&mut self) -> (SocketAddr, Icmp) {
        let event = self.next_event();
        let Event::Lost { peer, icmp } = event else {
            panic!("a loss was awaited, {event:?} came");
        };
        (peer, icmp)
    }

    /// Sends a request that is always answered: anything that comes before the answer is an error.
    #[track_caller]
    pub(crate) fn assert_nothing_else_comes(&mut self) {
        let answer = self.ask(|client, now| client.binding(now));
        assert!(matches!(answer, Ok(Event::Bound { .. })), "{answer:?}");
    }

    #[track_caller]
    pub(crate) fn next_event(&mut self) -> Event {
        self.event_within(PATIENCE).expect("the server answers")
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
                // The first packets are to have the marking, too.
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
}

/// The server's usual listener.
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
