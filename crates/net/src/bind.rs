//! How sockets are bound.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relay::{AddressFamily, OpenError};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::listeners::{Bound, Listener};
use crate::{Fault, ListenerOptions, Passed, Together, Transports, sys};

/// Binds one socket per shard for every listener that none was passed for; port 0 becomes a real one.
pub(crate) fn listeners(
    options: &[ListenerOptions],
    mut passed: Vec<Passed>,
    shards: usize,
    together: Together,
) -> Result<Vec<Listener>, Fault> {
    let mut listeners = Vec::new();
    for options in options {
        let own: Vec<Passed> = passed
            .extract_if(.., |passed| passed.fits(options))
            .collect();
        listeners.push(if own.is_empty() {
            new_listener(*options, shards, together, Claim::Alone)?
        } else {
            shared(own, *options, shards, together).map_err(|source| options.fault(source))?
        });
    }
    for Passed {
        name,
        listen,
        is_stream,
        ..
    } in passed
    {
        let protocol = if is_stream { "tcp" } else { "udp" };
        tracing::warn!(
            protocol,
            %listen,
            name,
            "socket.unserved: a socket was passed that no listener has, and is served by nobody: add a [[listener]] \
             with this address, or take it out of the unit"
        );
    }
    Ok(listeners)
}

/// Whether a new listener may share its port with sockets of this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody else has the port.
    Alone,
    /// A listener of this process that is about to go has it, for another address.
    Beside,
}

/// Binds a listener for all shards.
pub(crate) fn new_listener(
    options: ListenerOptions,
    shards: usize,
    together: Together,
    claim: Claim,
) -> Result<Listener, Fault> {
    let ListenerOptions { transports, listen } = options;
    let bind = || {
        let real = match claim {
            Claim::Alone => real_address(transports, listen, together)?,
            Claim::Beside => listen,
        };
        let socket = |_| {
            let socket = listener(transports, real, together, true)?;
            Ok(vec![Bound::new(socket, true)])
        };
        Ok(Listener {
            transports,
            asked: listen,
            listen: real,
            is_passed: false,
            is_retiring: false,
            sockets: (0..shards).map(socket).collect::<io::Result<_>>()?,
        })
    };
    bind().map_err(|source| options.fault(source))
}

/// Shares passed sockets out. Every shard has one to send on.
fn shared(
    own: Vec<Passed>,
    options: ListenerOptions,
    shards: usize,
    together: Together,
) -> io::Result<Listener> {
    let ListenerOptions { transports, listen } = options;
    let count = own.len();
    if !transports.are_streams() && count < shards {
        tracing::warn!(
            %listen,
            sockets = count,
            shards,
            "socket.too-few: fewer UDP sockets were passed than there are shards: only so many read them (one \
             ListenDatagram= per shard and ReusePort=yes in the unit, or key `threads`)"
        );
    }
    for Passed { socket, .. } in &own {
        prepare(socket, transports, together)?;
    }
    let mut sockets = Vec::new();
    for number in 0..shards {
        let mut of_shard = Vec::new();
        // More sockets than shards are shared out among these, each to one of them.
        for at in (number..count.max(shards)).step_by(shards) {
            let socket = own[at % count].socket.try_clone()?;
            of_shard.push(Bound::new(socket, transports.are_streams() || at < count));
        }
        sockets.push(of_shard);
    }
    Ok(Listener {
        transports,
        asked: listen,
        listen,
        is_passed: true,
        is_retiring: false,
        sockets,
    })
}

/// Makes a passed socket as one that was bound here.
fn prepare(socket: &Socket, transports: Transports, together: Together) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if transports.are_streams() {
        return socket.listen(BACKLOG);
    }
    let is_v6 = socket.domain()? == Domain::IPV6;
    prepare_udp(socket, is_v6, together, SOCKET_BUFFER)?;
    sys::receive_destination(socket.as_fd(), is_v6)
}

/// Binds the sockets that partners write to. There is one for all shards, and one shard reads it.
pub(crate) fn partners(
    config: &relay::Config,
    together: Together,
) -> Result<Vec<PartnerSocket>, Fault> {
    let mut sockets = Vec::new();
    for discovery in &config.nat_discovery {
        let Some(partner) = discovery.partner() else {
            continue;
        };
        let listen = SocketAddr::new(discovery.primary.local, partner.port);
        let bind = || {
            let socket = udp(listen, together, SOCKET_BUFFER)?;
            bind_early(&socket, listen)?;
            Ok(socket)
        };
        sockets.push(PartnerSocket {
            family: discovery.family(),
            partner: partner.socket(),
            socket: bind().map_err(|source| Fault::Partner { listen, source })?,
        });
    }
    Ok(sockets)
}

/// A socket for notes between a partner and this server.
#[derive(Debug)]
pub(crate) struct PartnerSocket {
    pub(crate) family: AddressFamily,
    pub(crate) partner: SocketAddr,
    pub(crate) socket: Socket,
}

impl PartnerSocket {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            ..*self
        })
    }
}

/// Proves that no other program has the address, and makes port 0 a real one. With `SO_REUSEPORT`
/// alone a second server of the same user would silently take half of our clients.
fn real_address(
    transports: Transports,
    listen: SocketAddr,
    together: Together,
) -> io::Result<SocketAddr> {
    let socket = listener(transports, listen, together, false)?;
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn listener(
    transports: Transports,
    listen: SocketAddr,
    together: Together,
    reuse_port: bool,
) -> io::Result<Socket> {
    let socket = if transports.are_streams() {
        let socket = socket(listen, Type::STREAM, Protocol::TCP)?;
        // Connections of an earlier run may linger; listeners still exclude each other.
        socket.set_reuse_address(true)?;
        socket
    } else {
        udp(listen, together, SOCKET_BUFFER)?
    };
    socket.set_reuse_port(reuse_port)?;
    bind_early(&socket, listen)?;
    if transports.are_streams() {
        socket.listen(BACKLOG)?;
    } else {
        sys::receive_destination(socket.as_fd(), listen.is_ipv6())?;
    }
    Ok(socket)
}

/// Binds a socket also to an address that this host has not got: it is served once that comes. IPv6
/// addresses come seconds after the start of a host.
fn bind_early(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Binds a relay socket, which needs its address at once: until that comes the client is refused. It asks for so
/// many bytes of receive buffer.
pub(crate) fn relay(
    local: SocketAddr,
    together: Together,
    buffer: usize,
) -> Result<Socket, OpenError> {
    let bind = || {
        let socket = udp(local, together, buffer)?;
        sys::receive_losses(socket.as_fd(), local.is_ipv6())?;
        socket.bind(&local.into())?;
        Ok(socket)
    };
    bind().map_err(open_error)
}

/// Binds the socket of a TCP allocation, which listens. Connections to peers leave from its port,
/// so it shares the port; but only from now on, so that no other program has it. RFC 6062 §5.1.
pub(crate) fn tcp_relay(local: SocketAddr) -> Result<Socket, OpenError> {
    let bind = || {
        let socket = socket(local, Type::STREAM, Protocol::TCP)?;
        // Connections of an earlier allocation may linger.
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
        socket.listen(PEERS)?;
        socket.set_reuse_port(true)?;
        Ok(socket)
    };
    bind().map_err(open_error)
}

/// Binds a socket to the address of a TCP allocation, to connect to a peer. RFC 6062 §5.2.
pub(crate) fn peer(local: SocketAddr) -> io::Result<Socket> {
    let socket = socket(local, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    Ok(socket)
}

fn open_error(error: io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => OpenError::InUse,
        Some(libc::EADDRNOTAVAIL) => OpenError::NotLocal,
        _ if is_exhausted(&error) => OpenError::Exhausted,
        _ => OpenError::System,
    }
}

/// Whether the process or the host has no more descriptors or memory to give.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Makes an accepted connection fit for media.
pub(crate) fn prepare_stream(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Unsent bytes in the kernel are delay that the send queue cannot cut.
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}

fn udp(address: SocketAddr, together: Together, buffer: usize) -> io::Result<Socket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    prepare_udp(&socket, address.is_ipv6(), together, buffer)?;
    Ok(socket)
}

fn prepare_udp(socket: &Socket, is_v6: bool, together: Together, buffer: usize) -> io::Result<()> {
    size_buffers(socket, buffer)?;
    sys::receive_overflow(socket.as_fd())?;
    if together.received {
        sys::receive_together(socket.as_fd())?;
    }
    // Relayed datagrams keep their DSCP and ECN, and may be fragmented on their way.
    sys::receive_marking(socket.as_fd(), is_v6)?;
    sys::allow_fragmentation(socket.as_fd(), is_v6)
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
    if address.is_ipv6() {
        // Otherwise an IPv6 socket also reaches IPv4 addresses in IPv4-mapped form, such as
        // ::ffff:127.0.0.1.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Asks for so many bytes of receive buffer, and for a whole send buffer. What the kernel grants is looked at once: a
/// listener, which comes first, asks for the most.
fn size_buffers(socket: &Socket, wanted: usize) -> io::Result<()> {
    let wanted = wanted.min(SOCKET_BUFFER);
    if sys::force_receive_buffer(socket.as_fd(), wanted as i32).is_err() {
        socket.set_recv_buffer_size(wanted)?;
    }
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    if LOOKED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // The kernel doubles the size that it grants, for its own bookkeeping.
    let receive = socket.recv_buffer_size()? / 2;
    let send = socket.send_buffer_size()? / 2;
    if receive < wanted || send < SOCKET_BUFFER {
        tracing::warn!(
            receive,
            send,
            wanted,
            "socket.small-buffers: the kernel grants small socket buffers, bursts will be lost: \
             raise the sysctls net.core.rmem_max and net.core.wmem_max"
        );
    }
    Ok(())
}

/// Whether an address stands for every address of its family.
pub(crate) const fn is_wildcard(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => matches!(ip, Ipv6Addr::UNSPECIFIED),
    }
}

/// Bytes of send buffer that every UDP socket asks for, and of receive buffer that a listener does. Measured: with this
/// size a forwarder loses nothing at twice the rate that it manages with the kernel's default.
pub const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// Unsent bytes that the kernel holds for a TCP client.
const NOT_SENT: u32 = 128 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Peers of one allocation that wait to be accepted.
const PEERS: i32 = 16;

/// Whether a socket was looked at: every one is granted the same at most.
static LOOKED: AtomicBool = AtomicBool::new(false);
