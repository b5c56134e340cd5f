//! One client's stream: bytes in, frames out.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::marking::Marking;
use crate::send_queue::{SendQueue, Stuck, Urgency};
use crate::splice::Carried;
use crate::sys::{self, BATCH};
use crate::tls::TlsSession;

/// How the bytes of a stream travel.
#[derive(Debug)]
pub(crate) enum Session {
    /// In the clear.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsSession>),
}

/// Why nothing more can be sent on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The client closed it, or the network did.
    Closed,
    /// The client reads no answers and asks for more.
    Stuck,
}

/// A client's stream, and the frames that wait to be sent on it.
#[derive(Debug)]
pub(crate) struct Connection {
    session: Session,
    host: Option<SocketAddr>,
    /// The marking of datagrams to peers for this client.
    pub(crate) marking: Marking,
    /// Whether the network may hold bytes that the last read had no room for.
    may_have_more: Cell<bool>,
    queue: RefCell<SendQueue>,
    /// Notified when the queue is no longer empty.
    filled: Notify,
    /// Whether the client asks for more although it reads nothing.
    stuck: Cell<bool>,
    /// The connection with a peer whose data this one is to carry from now on. RFC 6062 §5.4.
    carried: RefCell<Option<Carried>>,
    /// Notified when there is one.
    bound: Notify,
}

impl Connection {
    /// Lets at most `limit` bytes wait for a client that does not read.
    pub(crate) fn new(session: Session, limit: usize) -> Self {
        let host = session.stream().peer_addr().ok();
        Self {
            host,
            marking: marking(session.stream(), host).without_ecn(),
            session,
            may_have_more: Cell::new(false),
            queue: RefCell::new(SendQueue::new(limit)),
            filled: Notify::new(),
            stuck: Cell::new(false),
            carried: RefCell::new(None),
            bound: Notify::new(),
        }
    }

    /// Sends frames, each gathered from its parts, or as much of them as the kernel takes in one call;
    /// the rest waits. Returns how many media frames were dropped for it.
    pub(crate) fn send<const PARTS: usize>(
        &self,
        frames: &[[IoSlice<'_>; PARTS]],
        urgency: Urgency,
    ) -> u64 {
        let mut queue = self.queue.borrow_mut();
        let sent = if queue.is_empty() {
            // An error shows at the next read, where the session ends.
            self.session.try_write(frames).unwrap_or(0)
        } else {
            0
        };
        let kept = queue.keep(frames, sent, urgency);
        if kept == Err(Stuck) {
            self.stuck.set(true);
        }
        if self.stuck.get() || !queue.is_empty() || self.session.has_unsent() {
            self.filled.notify_one();
        }
        kept.unwrap_or(0)
    }

    /// Whether the client leaves so many answers unread that it is not read either.
    pub(crate) fn is_backed_up(&self) -> bool {
        self.queue.borrow().is_backed_up()
    }

    /// Waits until frames wait that the client may take.
    ///
    /// # Errors
    /// [`Lost`], if nothing more can be sent.
    pub(crate) async fn sendable(&self) -> Result<(), Lost> {
        loop {
            if self.stuck.get() {
                return Err(Lost::Stuck);
            }
            if self.session.has_unsent() || !self.queue.borrow().is_empty() {
                return self.session.writable().await.map_err(|_| Lost::Closed);
            }
            self.filled.notified().await;
        }
    }

    /// Sends as many of the frames that wait as one call takes.
    ///
    /// # Errors
    /// [`Lost::Closed`].
    pub(crate) fn drain(&self) -> Result<(), Lost> {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            return self.session.flush().map_err(|_| Lost::Closed);
        }
        let mut frames = [[IoSlice::new(&[])]; BATCH];
        let count = queue.gather(&mut frames);
        match self.session.try_write(&frames[..count]) {
            Ok(sent) => queue.advance(sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Lost::Closed),
        }
        Ok(())
    }

    /// Waits until there are bytes to read, or the end.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.session.is_ready() {
            return Ok(());
        }
        self.session.stream().readable().await
    }

    /// Reads the bytes that are there, without waiting; 0 is the end of the stream.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.try_read(buffer, &self.may_have_more)
    }

    /// Whether the last read may have left bytes behind.
    pub(crate) fn has_more(&self) -> bool {
        self.may_have_more.get() || self.session.is_ready()
    }

    /// How many records of TLS came since the last time.
    pub(crate) fn take_records(&self) -> usize {
        self.session.take_records()
    }

    /// Makes it a data connection: what comes from now on is no frame.
    pub(crate) fn carry(&self, carried: Carried) {
        self.carried.replace(Some(carried));
        self.bound.notify_one();
    }

    /// Whether it has become a data connection.
    pub(crate) fn is_bound(&self) -> bool {
        self.carried.borrow().is_some()
    }

    /// Waits until it becomes a data connection.
    pub(crate) async fn bound(&self) {
        while !self.is_bound() {
            self.bound.notified().await;
        }
    }

    /// The connection with the peer, for the one who carries its data.
    pub(crate) fn take_carried(&self) -> Option<Carried> {
        self.carried.take()
    }

    /// Waits until all frames are sent.
    ///
    /// # Errors
    /// If the client is lost.
    pub(crate) async fn drain_all(&self) -> io::Result<()> {
        while !self.queue.borrow().is_empty() {
            self.session.writable().await?;
            self.drain().map_err(|_| ErrorKind::BrokenPipe)?;
        }
        self.flush_all().await
    }

    /// Waits until the kernel has taken all bytes that the session has.
    ///
    /// # Errors
    /// If the client is lost.
    pub(crate) async fn flush_all(&self) -> io::Result<()> {
        while self.session.has_unsent() {
            self.session.writable().await?;
            self.session.flush()?;
        }
        Ok(())
    }

    /// Waits until bytes may be taken.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.session.writable().await
    }

    /// Sends bytes that are no frame, without waiting; returns how many were taken.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.session.try_write(&[[IoSlice::new(bytes)]])
    }

    /// Tells the client that nothing more comes, which may go on sending.
    pub(crate) fn end_sending(&self) -> io::Result<()> {
        self.close();
        SockRef::from(self.session.stream()).shutdown(Shutdown::Write)
    }

    /// The other end of the connection itself: the client, or a proxy in front of it; `None` if it was
    /// gone from the beginning.
    pub(crate) const fn host(&self) -> Option<SocketAddr> {
        self.host
    }

    /// Says goodbye, where the session has a word for it.
    pub(crate) fn close(&self) {
        self.session.close();
    }
}

impl Session {
    const fn stream(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(session) => session.stream(),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        self.stream().writable().await
    }

    /// Whether bytes, or their end, can be read without waiting for the network.
    fn is_ready(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(session) => session.is_ready(),
        }
    }

    /// Whether bytes that were taken wait for the kernel.
    fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(session) => session.has_unsent(),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(session) => session.flush(),
        }
    }

    fn try_write<const PARTS: usize>(&self, frames: &[[IoSlice<'_>; PARTS]]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(frames.as_flattened()),
            Self::Tls(session) => session.try_write(frames),
        }
    }

    fn try_read(&self, buffer: &mut [u8], may_have_more: &Cell<bool>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => read(stream, buffer, may_have_more),
            Self::Tls(session) => session.try_read(buffer, may_have_more),
        }
    }

    fn take_records(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Tls(session) => session.take_records(),
        }
    }

    fn close(&self) {
        match self {
            Self::Tcp(_) => {}
            Self::Tls(session) => session.close(),
        }
    }
}

/// Reads once, and notes whether there may be more. A read that does not fill the buffer has taken all
/// there was, so that the next bytes make the stream ready anew: no second call to hear so. epoll(7)
pub(crate) fn read(
    stream: &TcpStream,
    buffer: &mut [u8],
    may_have_more: &Cell<bool>,
) -> io::Result<usize> {
    may_have_more.set(false);
    let length = stream.try_read(buffer)?;
    may_have_more.set(length == buffer.len());
    if length < buffer.len() {
        let nothing_left = || Err::<(), _>(ErrorKind::WouldBlock.into());
        // That is how the runtime is told.
        let _ = stream.try_io(Interest::READABLE, nothing_left);
    }
    Ok(length)
}

/// The length of a frame in parts.
pub(crate) fn length_of(parts: &[IoSlice<'_>]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// The marking of packets from the other end; plain if the system does not tell it.
fn marking(stream: &TcpStream, host: Option<SocketAddr>) -> Marking {
    let is_v6 = host.is_some_and(|host| host.is_ipv6());
    sys::stream_marking(stream.as_fd(), is_v6).unwrap_or_default()
}
