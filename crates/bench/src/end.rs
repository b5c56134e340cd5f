//! The ends of lanes: clients, peers, and those that only ask for their address; and how they are prepared.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::carrier::{Carrier, datagrams, widen};
use crate::lane::{Framing, Lane, Stop};
use crate::plan::own_address;
use crate::session::Session;
use crate::{Fault, Mode, Plan, Transport};

/// An end of lanes.
pub(crate) enum End {
    Client(Box<Session>),
    /// A peer, connected to the relayed address of its client.
    Peer(UdpSocket),
    /// A socket that asks for its reflexive address.
    Asker(UdpSocket),
}

/// The ends and lanes of one thread.
#[derive(Default)]
pub(crate) struct Field {
    pub(crate) ends: Vec<End>,
    pub(crate) lanes: Vec<Lane>,
}

impl End {
    pub(crate) fn fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Client(session) => session.carrier.set_nonblocking(),
            Self::Peer(socket) | Self::Asker(socket) => socket.set_nonblocking(true),
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Client(session) => session.carrier.as_fd(),
            Self::Peer(socket) | Self::Asker(socket) => socket.as_fd(),
        }
    }
}

impl Field {
    /// Prepares the ends and lanes of so many flows. Lanes are numbered from `first` on.
    pub(crate) fn prepare(plan: &Plan, flows: usize, first: u32) -> Result<Self, Fault> {
        let mut field = Self::default();
        match plan.mode {
            Mode::Binding => {
                for _ in 0..flows {
                    field.ask(plan, first)?;
                }
            }
            Mode::Relay => {
                for _ in 0..flows / 2 {
                    field.meet(plan, first)?;
                }
            }
            Mode::Up | Mode::Down | Mode::Both | Mode::Allocate | Mode::Connect | Mode::Idle => {
                let address = peer_address(plan)?;
                for _ in 0..flows {
                    field.talk(plan, first, address)?;
                }
            }
        }
        for end in &field.ends {
            end.set_nonblocking()
                .map_err(Fault::host("prepare a socket"))?;
        }
        Ok(field)
    }

    /// A socket that asks.
    fn ask(&mut self, plan: &Plan, first: u32) -> Result<(), Fault> {
        let server = plan.server;
        let fault = |source| Fault::Connect { server, source };
        let socket = datagrams(server, 0).map_err(fault)?;
        socket.connect(server).map_err(fault)?;
        let from = self.end(End::Asker(socket));
        self.lanes.push(Lane::asking(self.next(first), from));
        Ok(())
    }

    /// A client and its peer.
    fn talk(&mut self, plan: &Plan, first: u32, address: IpAddr) -> Result<(), Fault> {
        let host = Fault::host("open a socket for a peer");
        let socket = UdpSocket::bind((address, 0)).map_err(host)?;
        widen(&socket);
        let peer = socket.local_addr();
        let peer = peer.map_err(Fault::host("see the address of a peer"))?;
        let mut session = Session::open(plan)?;
        let relayed = session.allocate(peer)?;
        let framing = reach(plan, &mut session, peer)?;
        socket
            .connect(relayed)
            .map_err(Fault::host("send to the relayed address"))?;
        session.try_way(&framing, peer, |trial| trial.arrives(&socket))?;
        if matches!(plan.mode, Mode::Down | Mode::Both) {
            session.try_way_back(&socket)?;
        }
        let client = Stop {
            place: self.end(End::Client(Box::new(session))),
            framing,
        };
        let peer = Stop {
            place: self.end(End::Peer(socket)),
            framing: Framing::None,
        };
        if matches!(plan.mode, Mode::Up | Mode::Both) {
            self.lane(plan, first, client, peer);
        }
        if matches!(plan.mode, Mode::Down | Mode::Both) {
            self.lane(plan, first, peer, client);
        }
        Ok(())
    }

    /// Two clients, of which one sends to the relayed address of the other.
    fn meet(&mut self, plan: &Plan, first: u32) -> Result<(), Fault> {
        let mut sender = Session::open(plan)?;
        let mut receiver = Session::open(plan)?;
        let from = sender.allocate(plan.server)?;
        let to = receiver.allocate(plan.server)?;
        let framing = reach(plan, &mut sender, to)?;
        let its_framing = reach(plan, &mut receiver, from)?;
        sender.try_way(&framing, to, |trial| receiver.hears(trial))?;
        let sender = Stop {
            place: self.end(End::Client(Box::new(sender))),
            framing,
        };
        let receiver = Stop {
            place: self.end(End::Client(Box::new(receiver))),
            framing: its_framing,
        };
        self.lane(plan, first, sender, receiver);
        Ok(())
    }

    fn end(&mut self, end: End) -> usize {
        self.ends.push(end);
        self.ends.len() - 1
    }

    fn lane(&mut self, plan: &Plan, first: u32, from: Stop, to: Stop) {
        let id = self.next(first);
        self.lanes.push(Lane::new(id, from, to, plan.payload));
    }

    fn next(&self, first: u32) -> u32 {
        first + self.lanes.len() as u32
    }
}

/// Opens the way between a client and a peer.
fn reach(plan: &Plan, session: &mut Session, peer: SocketAddr) -> Result<Framing, Fault> {
    if plan.indications {
        session.permit(peer)?;
        return Ok(Framing::Indication(peer));
    }
    let number = session.bind(peer)?;
    Ok(match plan.transport {
        Transport::Udp => Framing::Channel(number),
        Transport::Tcp | Transport::Tls => Framing::PaddedChannel(number),
    })
}

/// The address of peers: that by which this host reaches the server, unless the plan says another one.
pub(crate) fn peer_address(plan: &Plan) -> Result<IpAddr, Fault> {
    if let Some(peer) = plan.peer {
        return Ok(peer);
    }
    let server = plan.server;
    own_address(server).map_err(|source| Fault::Connect { server, source })
}

impl Carrier {
    /// The stream, where it is one.
    pub(crate) fn stream(&mut self) -> Option<&mut crate::carrier::Stream> {
        match self {
            Self::Datagrams(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }
}
