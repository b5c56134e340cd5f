//! The socket between a client and the server: datagrams, or frames on a stream.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use socket2::SockRef;
use wire::stream::{Deframer, MAX_FRAME};

use crate::{Fault, Plan, Transport};

/// A connected socket.
pub(crate) enum Carrier {
    Datagrams(UdpSocket),
    Stream(Box<Stream>),
}

/// A TCP connection, with or without TLS.
pub(crate) struct Stream {
    tcp: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes that the kernel has not taken yet, as they go over TCP.
    unsent: Vec<u8>,
    deframer: Deframer,
}

impl Carrier {
    /// Connects; of TLS the handshake is done. The socket blocks, for [`PATIENCE`] at most.
    /// Datagrams leave from this port; 0 is any.
    pub(crate) fn connect(plan: &Plan, port: u16) -> Result<Self, Fault> {
        let server = plan.server;
        let fault = |source| Fault::Connect { server, source };
        match plan.transport {
            Transport::Udp => {
                let socket = datagrams(server, port).map_err(fault)?;
                socket.connect(server).map_err(fault)?;
                socket.set_read_timeout(Some(PATIENCE)).map_err(fault)?;
                Ok(Self::Datagrams(socket))
            }
            Transport::Tcp | Transport::Tls => {
                let tcp = TcpStream::connect_timeout(&server, PATIENCE).map_err(fault)?;
                tcp.set_nodelay(true).map_err(fault)?;
                tcp.set_read_timeout(Some(PATIENCE)).map_err(fault)?;
                let mut stream = Stream {
                    tcp,
                    tls: None,
                    unsent: Vec::new(),
                    deframer: Deframer::default(),
                };
                if plan.transport == Transport::Tls {
                    stream.begin_tls(plan)?;
                }
                Ok(Self::Stream(Box::new(stream)))
            }
        }
    }

    /// Sends a message or frame.
    pub(crate) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.send(message).map(|_| ()),
            Self::Stream(stream) => {
                stream.put(&[message])?;
                stream.flush()
            }
        }
    }

    /// Waits for a message until the deadline; `None` if none came.
    pub(crate) fn wait(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        // Of a stream some of what is there, and of datagrams any that a server answers with.
        let mut buffer = [0; MESSAGE];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let read = match self {
                Self::Datagrams(socket) => {
                    socket.set_read_timeout(Some(left))?;
                    socket.recv(&mut buffer)
                }
                Self::Stream(stream) => {
                    stream.tcp.set_read_timeout(Some(left))?;
                    stream.read(&mut buffer)
                }
            };
            match read {
                Ok(0) if matches!(self, Self::Stream(_)) => {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Ok(length) => return Ok(Some(buffer[..length].to_vec())),
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The client's own address.
    pub(crate) fn local(&self) -> SocketAddr {
        let local = match self {
            Self::Datagrams(socket) => socket.local_addr(),
            Self::Stream(stream) => stream.tcp.local_addr(),
        };
        // A connected socket has one.
        local.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.set_nonblocking(true),
            Self::Stream(stream) => stream.tcp.set_nonblocking(true),
        }
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagrams(socket) => socket.as_fd(),
            Self::Stream(stream) => stream.tcp.as_fd(),
        }
    }
}

impl Stream {
    fn begin_tls(&mut self, plan: &Plan) -> Result<(), Fault> {
        let Some(trust) = &plan.trust else {
            return Err(Fault::Plan("TLS needs the name of the server"));
        };
        let mut tls = ClientConnection::new(Arc::clone(&trust.config), trust.name.clone())?;
        let server = plan.server;
        while tls.is_handshaking() {
            let done = tls.complete_io(&mut self.tcp);
            done.map_err(|source| Fault::Connect { server, source })?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Takes the parts of a frame, to be sent by [`Stream::flush`].
    pub(crate) fn put(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            match &mut self.tls {
                Some(tls) => tls.writer().write_all(part)?,
                None => self.unsent.extend_from_slice(part),
            }
        }
        Ok(())
    }

    /// Sends what the kernel takes; [`Stream::is_blocked`] says whether something is left.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.unsent)?;
            }
        }
        let mut taken = 0;
        let outcome = loop {
            if taken == self.unsent.len() {
                break Ok(());
            }
            match self.tcp.write(&self.unsent[taken..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(more) => taken += more,
                Err(error) if is_for_later(&error) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.unsent.drain(..taken);
        outcome
    }

    /// Whether the kernel has to take more before there is room for more.
    pub(crate) const fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.tcp.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Hands every frame that has come to `take`, until there is no more for now.
    pub(crate) fn frames(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        for _ in 0..MOST_READS {
            let length = match self.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut bytes = &buffer[..length];
            while let Some(frame) = self
                .deframer
                .next(&mut bytes, MAX_FRAME)
                .map_err(io::Error::other)?
            {
                take(frame);
            }
        }
        Ok(())
    }
}

/// An unconnected socket of the family of this address, with as much room as the host gives. Port 0 is any.
pub(crate) fn datagrams(family: SocketAddr, port: u16) -> io::Result<UdpSocket> {
    let any = match family {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    let socket = UdpSocket::bind(any)?;
    widen(&socket);
    Ok(socket)
}

/// Asks for room, so that a generator that is late by milliseconds loses nothing.
pub(crate) fn widen(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    // The host gives less to who is not root; the loss is seen, then.
    let _ = socket.set_recv_buffer_size(ROOM);
    let _ = socket.set_send_buffer_size(ROOM);
}

pub(crate) fn is_for_later(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == ErrorKind::WouldBlock || kind == ErrorKind::TimedOut || kind == ErrorKind::Interrupted
}

/// How long the server may take to answer while the load is prepared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const ROOM: usize = 1024 * 1024;
/// Room for a message while the load is prepared.
const MESSAGE: usize = 2048;
/// So many reads of one stream before the others have their turn.
const MOST_READS: usize = 16;
