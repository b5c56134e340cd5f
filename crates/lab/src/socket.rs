//! Sockets of clients and of peers.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::Mutex,
    time::Duration,
};

use client::Transport;
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    PATIENCE, locked,
    tls::{TlsSession, trusting},
};

/// A client's socket, connected to its server.
pub enum LiveSocket {
    /// Datagrams to and from the server's very address.
    Udp(UdpSocket),
    /// A connection.
    Tcp(TcpStream),
    /// A session over a connection.
    Tls(TlsSession),
}

impl LiveSocket {
    /// A socket that has this DSCP and ECN from its first packet on.
    pub fn to(server: SocketAddr, transport: Transport, marking: u8) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp(tcp_to(server, marking)),
            Transport::Tls => Self::tls_on(tcp_to(server, marking)),
            Transport::Udp => {
                let socket = udp_to(server);
                mark(&(&socket).into(), server, marking);
                Self::Udp(socket)
            }
            Transport::Dtls => panic!("the lab has no client on DTLS"),
        }
    }

    /// A session on a connection, with a server that has a certificate for its address.
    #[track_caller]
    pub fn tls_on(stream: TcpStream) -> Self {
        let server = stream.peer_addr().expect("a connection").ip();
        let session = TlsSession::connect(stream, server.into(), trusting());
        Self::Tls(session.expect("a server with a certificate of the lab's authority"))
    }

    /// The transport to the server.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }

    /// The socket's own address.
    pub fn address(&self) -> SocketAddr {
        let address = match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream) => stream.local_addr(),
            Self::Tls(session) => session.stream().local_addr(),
        };
        address.expect("a connected socket")
    }

    /// From now on packets have this DSCP and ECN.
    pub fn mark(&self, marking: u8) {
        let socket: SockRef<'_> = match self {
            Self::Udp(socket) => socket.into(),
            Self::Tcp(stream) => stream.into(),
            Self::Tls(session) => session.stream().into(),
        };
        mark(&socket, self.address(), marking);
    }

    /// The socket for datagrams.
    #[track_caller]
    pub fn datagrams(&self) -> &UdpSocket {
        match self {
            Self::Udp(socket) => socket,
            Self::Tcp(_) | Self::Tls(_) => panic!("a client on a stream has no datagrams"),
        }
    }

    /// The connection, under the session if there is one.
    #[track_caller]
    pub fn stream(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(session) => session.stream(),
            Self::Udp(_) => panic!("a client on UDP has no stream"),
        }
    }

    /// The connection, for more than messages; reads wait with `PATIENCE`.
    #[track_caller]
    pub fn into_stream(self) -> TcpStream {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
                stream
            }
            Self::Tls(_) => panic!("what a client over TLS sends goes by its session"),
            Self::Udp(_) => panic!("a client on UDP has no stream"),
        }
    }

    /// Sends a whole packet.
    #[track_caller]
    pub fn send(&self, packet: &[u8]) {
        self.try_send(packet).expect("the server is there");
    }

    /// The same, where the server may end the connection.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn try_send(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(packet).map(drop),
            Self::Tcp(stream) => (&*stream).write_all(packet),
            Self::Tls(session) => session.send(packet),
        }
    }

    /// The length of what came, if anything does in time.
    #[track_caller]
    pub fn receive(&self, buffer: &mut [u8], patience: Duration) -> Option<usize> {
        // A timeout of zero would mean for ever.
        let patience = patience.max(Duration::from_millis(1));
        match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(patience)).expect("not zero");
                socket.recv(buffer).ok()
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(patience)).expect("not zero");
                let length = (&*stream).read(buffer).ok()?;
                assert_ne!(length, 0, "the server closed the connection");
                Some(length)
            }
            Self::Tls(session) => {
                let length = session.receive(buffer, patience).ok()?;
                assert_ne!(length, 0, "the server closed the session");
                Some(length)
            }
        }
    }
}

fn tcp_to(server: SocketAddr, marking: u8) -> TcpStream {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None);
    let socket = socket.expect("a socket");
    mark(&(&socket).into(), server, marking);
    socket.connect(&server.into()).expect("a listener");
    socket.into()
}

/// A socket that receives only packets from this very address, and waits for them with `PATIENCE`.
pub fn udp_to(server: SocketAddr) -> UdpSocket {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (socket, _) = peer_at(any);
    socket.connect(server).expect("a route to the server");
    socket
}

/// A peer's socket at this address, which waits with `PATIENCE`, and its whole address.
pub fn peer_at(ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let ip = ip.into();
    let mut sockets = iter::repeat_with(|| UdpSocket::bind((ip, 0)).expect("a free port"));
    let socket = sockets.find(is_new).expect("a port that is new");
    patient(socket)
}

/// Whether no socket of this test had the port before. An allocation outlives the socket of its client, and
/// another client at the same port would be refused as having one (437).
fn is_new(socket: &UdpSocket) -> bool {
    static HAD: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let port = socket.local_addr().expect("a bound socket").port();
    let mut had = locked(&HAD);
    had.get_or_insert_default().insert(port)
}

/// A socket that waits with `PATIENCE`, and its address.
pub fn patient(socket: UdpSocket) -> (UdpSocket, SocketAddr) {
    let address = socket.local_addr().expect("a bound socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    (socket, address)
}

/// Asserts that the peer's next datagram is this one, from there.
#[track_caller]
pub fn assert_hears(peer: &UdpSocket, from: SocketAddr, data: &[u8]) {
    let mut buffer = vec![0; 65536];
    let (length, source) = peer.recv_from(&mut buffer).expect("the peer hears");
    assert_eq!((source, &buffer[..length]), (from, data));
}

/// Sets DSCP and ECN of a socket that sends to an address. TCP has an ECN of its own.
pub fn mark(socket: &SockRef<'_>, to: SocketAddr, marking: u8) {
    if to.is_ipv4() {
        socket.set_tos_v4(marking.into())
    } else {
        socket.set_tclass_v6(marking.into())
    }
    .expect("an octet");
}
