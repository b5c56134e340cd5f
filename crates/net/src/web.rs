//! Connections that are a web server's, passed to it and back: one port serves both.
//!
//! The bytes are not looked at again once it is known whose they are. A side that reads slowly is
//! waited for: no more is read of the other meanwhile, so that a connection holds at most two pieces.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use relay::ClientTuple;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{self, Instant};

use crate::gate::Place;
use crate::local::Handle;
use crate::proxy::Proxied;
use crate::seldom::Seldom;
use crate::shard::Shard;
use crate::stream::{End, TURN, turn};
use crate::{Browser, WebOptions, clock};

/// The web server that connections are passed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpsBackend {
    pub(crate) address: SocketAddr,
    /// Whether it is told the addresses of clients, by the PROXY protocol.
    pub(crate) is_told: bool,
}

impl HttpsBackend {
    pub(crate) fn of(web: WebOptions) -> Option<Self> {
        web.https.map(|address| Self {
            address,
            is_told: web.proxy_protocol,
        })
    }
}

/// A connection of a client of the web server.
pub(crate) struct Visit {
    pub(crate) stream: TcpStream,
    pub(crate) client: ClientTuple,
    /// Bytes that came already.
    pub(crate) first: BytesMut,
    /// The party whose turns it takes.
    pub(crate) party: u64,
}

impl Visit {
    /// Passes bytes both ways until both sides have closed, one of them is gone, or both are silent.
    pub(crate) async fn pass(self, shard: &Handle) -> End {
        let Some(backend) = shard.shard.borrow().https else {
            return End::Closed;
        };
        let Self {
            stream,
            client,
            first,
            party,
        } = self;
        let server = match connect(backend.address).await {
            Ok(server) => server,
            Err(error) => {
                say_why(backend.address, &error);
                shard.shard.borrow_mut().egress.counters.web_unreachable += 1;
                return End::Closed;
            }
        };
        shard.shard.borrow_mut().egress.counters.web_connections += 1;
        let mut ahead = BytesMut::new();
        if backend.is_told {
            let proxied = Proxied {
                source: client.client,
                destination: client.server,
            };
            ahead.extend_from_slice(&proxied.header());
        }
        ahead.unsplit(first);
        let last = Cell::new(Instant::now());
        let way = |from, to| Way {
            shard,
            from,
            to,
            last: &last,
            place: Place::of(party).into(),
        };
        let (there, back) = (way(&stream, &server), way(&server, &stream));
        tokio::select! {
            // An error of one side is the end of the other.
            _ = async { tokio::try_join!(there.carry(ahead), back.carry(BytesMut::new())) } => {
                End::Closed
            }
            () = silence(&last) => End::Idle,
        }
    }
}

impl Shard {
    /// Leaves a connection to the server for browsers.
    pub(crate) fn leave(&mut self, browser: Browser) {
        let is_taken = self.browsers.as_ref().is_some_and(|take| take(browser));
        let counters = &mut self.egress.counters;
        counters.browsers += u64::from(is_taken);
        counters.browsers_refused += u64::from(!is_taken);
    }
}

/// One direction of a connection.
struct Way<'a> {
    shard: &'a Handle,
    from: &'a TcpStream,
    to: &'a TcpStream,
    /// When bytes passed, in either direction.
    last: &'a Cell<Instant>,
    place: RefCell<Place>,
}

impl Way<'_> {
    /// Carries bytes, first those that wait, until there will be no more, and says so.
    async fn carry(&self, mut waiting: BytesMut) -> io::Result<()> {
        loop {
            if waiting.is_empty() {
                self.from.readable().await?;
                turn(self.shard, &self.place).await;
                if !self.pass(&mut waiting)? {
                    break;
                }
            } else {
                self.to.writable().await?;
                turn(self.shard, &self.place).await;
                let sent = send(self.to, &waiting)?;
                waiting.advance(sent);
                if waiting.is_empty() {
                    // Most connections never need it again.
                    waiting = BytesMut::new();
                }
            }
            self.last.set(Instant::now());
            self.shard.shard.borrow_mut().gates.streams.spend(TURN);
            // Others have their turn before the next one.
            tokio::task::yield_now().await;
        }
        SockRef::from(self.to).shutdown(Shutdown::Write)
    }

    /// Reads once and sends as much of it as can be sent; returns whether there may be more.
    fn pass(&self, waiting: &mut BytesMut) -> io::Result<bool> {
        let mut scratch = self.shard.scratch.borrow_mut();
        let most = PIECE.min(scratch.len());
        let bytes = match self.from.try_read(&mut scratch[..most]) {
            Ok(0) => return Ok(false),
            Ok(length) => &scratch[..length],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let sent = send(self.to, bytes)?;
        waiting.extend_from_slice(&bytes[sent..]);
        Ok(true)
    }
}

/// Sends what can be sent without waiting; returns how much that is.
fn send(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match to.try_write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// Waits until nothing has passed for a while.
async fn silence(last: &Cell<Instant>) {
    loop {
        let end = last.get() + SILENT;
        if end <= Instant::now() {
            return;
        }
        time::sleep_until(end).await;
    }
}

async fn connect(backend: SocketAddr) -> io::Result<TcpStream> {
    let connected = time::timeout(CONNECT, TcpStream::connect(backend)).await;
    let server = connected.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    server.set_nodelay(true)?;
    Ok(server)
}

fn say_why(backend: SocketAddr, error: &io::Error) {
    static UNREACHABLE: Seldom = Seldom::new();
    if UNREACHABLE.may_log(clock::now().mono) {
        tracing::warn!(
            %backend,
            %error,
            "web.unreachable: the web server cannot be reached, its clients are closed (key `https-backend` in [web])"
        );
    }
}

/// How long the web server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long both sides may be silent. Web servers end connections earlier by themselves, and pages
/// that keep one open for news send something every minute.
const SILENT: Duration = Duration::from_secs(600);
/// The most bytes that are read before others have their turn.
const PIECE: usize = 16 * 1024;
