//! The UDP sockets of a discovery.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Bind, Fault, hops};
use crate::{Socket, Transmit};

/// A datagram or report that came in.
pub(super) enum Heard {
    /// A datagram.
    Datagram {
        at: Socket,
        from: SocketAddr,
        packet: Vec<u8>,
    },
    /// A router dropped a datagram of ours, whose payload begins with these bytes.
    Hop { router: IpAddr, packet: Vec<u8> },
}

/// A socket for every [`Socket`]; closed when dropped.
pub(super) struct Sockets {
    sockets: Vec<(Socket, Arc<UdpSocket>)>,
    local: IpAddr,
    inbox: mpsc::Receiver<Heard>,
    /// The readers end with the sockets.
    _readers: JoinSet<()>,
}

impl Sockets {
    /// Opens them all; fails if there is no route to `server`.
    pub(super) fn open(
        bind: &Bind,
        server: SocketAddr,
        with_lifetime: bool,
    ) -> Result<Option<Self>, Fault> {
        let Some(local) = local_address(bind, server).map_err(Fault::Socket)? else {
            return Ok(None);
        };
        let (heard, inbox) = mpsc::channel(INBOX);
        let mut sockets = Vec::new();
        let mut readers = JoinSet::new();
        for name in Socket::all(with_lifetime) {
            let socket = open(bind, server).and_then(|socket| UdpSocket::from_std(socket.into()));
            let socket = Arc::new(socket.map_err(Fault::Socket)?);
            if name == Socket::Hops {
                hops::listen(&socket, server.is_ipv4());
                readers.spawn(hops::read(Arc::clone(&socket), heard.clone()));
            }
            readers.spawn(read(name, Arc::clone(&socket), heard.clone()));
            sockets.push((name, socket));
        }
        Ok(Some(Self {
            sockets,
            local,
            inbox,
            _readers: readers,
        }))
    }

    /// The local address of each.
    pub(super) fn locals(&self) -> Vec<(Socket, SocketAddr)> {
        let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |local| local.port());
        let sockets = self.sockets.iter();
        sockets
            .map(|(name, socket)| (*name, SocketAddr::new(self.local, port(socket))))
            .collect()
    }

    /// Sends a datagram. One that cannot be sent is as lost as any other.
    pub(super) fn send(&self, transmit: &Transmit) {
        let found = self.sockets.iter().find(|(name, _)| *name == transmit.from);
        let Some((_, socket)) = found else {
            return;
        };
        if let Some(ttl) = transmit.ttl {
            hops::set_ttl(socket, transmit.to.is_ipv4(), ttl);
        }
        // The runtime's own call would wait until the kernel reports the socket as writable.
        let socket = SockRef::from(&**socket);
        // The error may be one of an earlier datagram; the second try is for this one.
        if socket
            .send_to(&transmit.payload, &transmit.to.into())
            .is_err()
        {
            let _ = socket.send_to(&transmit.payload, &transmit.to.into());
        }
    }

    /// The next datagram or report.
    pub(super) async fn receive(&mut self) -> Heard {
        match self.inbox.recv().await {
            Some(heard) => heard,
            // Every reader has ended: nothing will come.
            None => std::future::pending().await,
        }
    }
}

/// The address that datagrams to `server` leave from; `None` if there is no route.
pub(crate) fn local_address(bind: &Bind, server: SocketAddr) -> io::Result<Option<IpAddr>> {
    let socket = open(bind, server)?;
    match socket.connect(&server.into()) {
        Ok(()) => {
            let local = socket.local_addr()?.as_socket();
            Ok(local.map(|local| local.ip()))
        }
        Err(_) => Ok(None),
    }
}

/// A UDP socket at a port of its own, that can reach `server`.
pub(crate) fn open(bind: &Bind, server: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(server),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let local = match bind {
        Bind::Any => any,
        Bind::Address(ip) => *ip,
        Bind::Interface(name) => {
            SockRef::from(&socket).bind_device(Some(name.as_bytes()))?;
            any
        }
    };
    socket.bind(&SocketAddr::new(local, 0).into())?;
    Ok(socket)
}

async fn read(name: Socket, socket: Arc<UdpSocket>, heard: mpsc::Sender<Heard>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // These are errors of single datagrams that we sent.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let packet = buffer[..length].to_vec();
            let datagram = Heard::Datagram {
                at: name,
                from,
                packet,
            };
            if heard.send(datagram).await.is_err() {
                return;
            }
        }
    }
}

/// Datagrams that may wait here; more wait in the kernel.
const INBOX: usize = 64;

/// The largest UDP datagram.
const LONGEST: usize = 65_536;
