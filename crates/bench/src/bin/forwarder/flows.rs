//! The flows, and the requests that make them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use wire::attributes::{
    ChannelNumberAttribute, Lifetime, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use wire::{Class, Message, Method, Writer};

use crate::{HEADER, socket};

/// A client, its channel and its peer.
pub(crate) struct Flow {
    pub(crate) client: SocketAddr,
    pub(crate) relay: UdpSocket,
    pub(crate) peer: SocketAddr,
    number: u16,
}

/// All flows. Clients are told apart by their ports, since those of a load are on one host.
pub(crate) struct Flows<'e> {
    ip: Ipv4Addr,
    joins: bool,
    epoll: &'e Epoll,
    /// By the client's port.
    flows: Vec<Option<Flow>>,
}

impl Flow {
    /// The header of ChannelData with a payload of this length.
    pub(crate) fn header(&self, length: usize) -> [u8; HEADER] {
        let ([n0, n1], [l0, l1]) = (self.number.to_be_bytes(), (length as u16).to_be_bytes());
        [n0, n1, l0, l1]
    }
}

impl<'e> Flows<'e> {
    pub(crate) fn new(ip: Ipv4Addr, joins: bool, epoll: &'e Epoll) -> Self {
        Self {
            ip,
            joins,
            epoll,
            flows: (0..=usize::from(u16::MAX)).map(|_| None).collect(),
        }
    }

    /// The flow of a client.
    pub(crate) fn of(&self, client: SocketAddr) -> Option<&Flow> {
        self.at(usize::from(client.port()))
    }

    /// The flow at a place.
    pub(crate) fn at(&self, place: usize) -> Option<&Flow> {
        self.flows[place].as_ref()
    }

    /// Answers a request with success. Other packets are dropped.
    pub(crate) fn handle_request(
        &mut self,
        listener: &UdpSocket,
        client: SocketAddr,
        packet: &[u8],
    ) -> io::Result<()> {
        let Ok(request) = Message::parse(packet) else {
            return Ok(());
        };
        if request.class() != Class::Request {
            return Ok(());
        }
        let mut answer = Vec::new();
        let (method, id) = (request.method(), request.transaction());
        let mut writer = Writer::new(&mut answer, method, Class::Success, id);
        if method == Method::Allocate {
            writer.put(&XorRelayedAddress(self.allocate(client)?));
            writer.put(&Lifetime(LIFETIME));
        } else if method == Method::Refresh {
            let wanted = request.get::<Lifetime>().ok().flatten();
            let Lifetime(lifetime) = wanted.unwrap_or(Lifetime(LIFETIME));
            if lifetime == 0 {
                self.flows[usize::from(client.port())] = None;
            }
            writer.put(&Lifetime(lifetime));
        } else if method == Method::ChannelBind {
            self.bind(client, &request);
        }
        writer.put(&XorMappedAddress(client));
        listener.send_to(&answer, client).map(|_| ())
    }

    fn allocate(&mut self, client: SocketAddr) -> io::Result<SocketAddr> {
        let place = usize::from(client.port());
        if let Some(flow) = &self.flows[place] {
            return flow.relay.local_addr();
        }
        let relay = socket(SocketAddrV4::new(self.ip, 0), self.joins)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
        self.epoll.add(&relay, event)?;
        let relayed = relay.local_addr()?;
        self.flows[place] = Some(Flow {
            client,
            relay,
            peer: relayed,
            number: 0,
        });
        Ok(relayed)
    }

    fn bind(&mut self, client: SocketAddr, request: &Message<'_>) {
        let number = request.get::<ChannelNumberAttribute>().ok().flatten();
        let peer = request.get::<XorPeerAddress>().ok().flatten();
        let flow = self.flows[usize::from(client.port())].as_mut();
        if let (Some(flow), Some(number), Some(peer)) = (flow, number, peer) {
            (flow.number, flow.peer) = (number.0, peer.0);
        }
    }
}

/// In seconds; nothing here ends by itself.
const LIFETIME: u32 = 3600;
