//! The HTTP server beside the relay, for browsers: pages, and the routes that other crates bring, such as
//! signaling.
//!
//! It has a thread and a runtime of its own, so that no visitor of a page delays a packet or the control
//! side. HTTP and HTTPS share each port: the first byte of a connection tells which it is.
//!
//! Everything that a visitor can make it keep or wait for is bounded: connections by number, in all and of
//! a network; requests by rate, bytes and time; answers by the time in which nobody reads them. Each
//! refusal has a name and a count ([`Snapshot`]).

mod accept;
mod authorities;
mod connection;
mod counters;
mod forwarded;
mod linger;
mod paced;
mod pages;
mod places;
mod rates;
mod request;
mod seldom;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use rustls::ProtocolVersion;
use rustls::server::ResolvesServerCert;
use socket2::{Domain, Socket, Type};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use accept::Server;
pub use authorities::{Authorities, NoAuthority};
pub use counters::Snapshot;
pub use pages::{dashboard, pages};
pub use rates::{Rate, Rates};

/// The options of a server.
pub struct Options {
    /// The table of the configuration that it has, for sentences about its keys.
    pub table: &'static str,
    /// The addresses that browsers come to. Port 0 is any free port.
    pub listen: Vec<SocketAddr>,
    /// The certificates for HTTPS, as they are at each handshake: one may come later than the start.
    pub certificates: Arc<dyn ResolvesServerCert>,
    /// TLS 1.2 or 1.3: clients with an older one are refused.
    pub oldest_tls: ProtocolVersion,
    /// The authorities of clients. A client without a certificate of theirs has no connection over TLS; one
    /// without TLS has none to show, and is left to the routes ([`Encrypted`]).
    pub authorities: Option<Authorities>,
    /// Connections at a time, WebSockets included.
    pub connections: usize,
    /// Those of one [`relay::SourcePrefix`]. It also has so many requests in a second.
    pub per_prefix: usize,
    /// The bytes in a second with which a connection is read after its upgrade, and those of four seconds
    /// at once; what comes faster waits in the network. A WebSocket has its own limits above them, which
    /// see messages only: frames may come that are none.
    pub upgraded: u32,
    /// Whether it is for few, of whom a stranger shall not take the places: a connection waits 5 seconds
    /// for its next request in place of 75, and none behind one that is refused with 401, 404 or 405.
    pub is_for_few: bool,
    /// Whether a host is a proxy whose `X-Forwarded-For` is believed.
    pub is_proxy: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Dresses a refusal of a request that no route sees, such as 429: a route's own pages may need
    /// headers to read it.
    pub dress: Dress,
}

/// The mark of a request that came over TLS, in its extensions: where there are [`Options::authorities`], from a
/// client whose certificate one of them has signed.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// The mark of an answer without an end, in its extensions: its connection may live as long as it reads.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// Completes the answer to a request with this head.
pub type Dress = Arc<dyn Fn(&Parts, Response) -> Response + Send + Sync>;

impl Options {
    /// A server for few: 256 connections, 32 of one network, and no proxies.
    pub fn new(
        table: &'static str,
        listen: Vec<SocketAddr>,
        certificates: Arc<dyn ResolvesServerCert>,
        oldest_tls: ProtocolVersion,
    ) -> Self {
        Self {
            table,
            listen,
            certificates,
            oldest_tls,
            authorities: None,
            connections: FEW,
            per_prefix: FEW / 8,
            upgraded: 256 * 1024,
            is_for_few: true,
            is_proxy: Arc::new(|_| false),
            dress: Arc::new(|_, refusal| refusal),
        }
    }
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An address cannot be listened on.
    #[error("cannot listen for HTTP on {listen}: {source} (key `listen` in [{table}]){}", hint(.source))]
    Listen {
        /// The table of the configuration.
        table: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no thread or runtime to be had.
    #[error("cannot start the HTTP server: {0}")]
    Thread(io::Error),
}

/// Starts a server of these routes that has listeners of its own only: [`Prepared::start`].
///
/// # Errors
/// If an address cannot be listened on, or the system has no thread.
pub fn start(options: Options, routes: Router) -> Result<Running, Fault> {
    Prepared::new().start(options, routes)
}

/// A connection that another server has accepted, and that turned out to be a browser's.
#[derive(Debug)]
pub struct Visit {
    /// The connection, in nonblocking mode.
    pub stream: std::net::TcpStream,
    /// Where it comes from; its proxy has said so if it has one.
    pub visitor: SocketAddr,
    /// The bytes that were read of it already.
    pub first: Bytes,
}

/// The way in for connections that another server has accepted.
#[derive(Clone, Debug)]
pub struct Door(mpsc::Sender<Visit>);

impl Door {
    /// Leaves a connection to this server; returns whether it takes it. It never waits.
    pub fn enter(&self, visit: Visit) -> bool {
        self.0.try_send(visit).is_ok()
    }
}

/// A server that is ready to run: its door is open already.
pub struct Prepared {
    door: Door,
    visits: mpsc::Receiver<Visit>,
}

impl Prepared {
    /// Nothing that enters is lost, if the server starts.
    pub fn new() -> Self {
        let (door, visits) = mpsc::channel(WAITING);
        Self {
            door: Door(door),
            visits,
        }
    }

    /// The way in.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Starts a server of these routes. The address of a visitor is in a request's extensions, as
    /// [`axum::extract::ConnectInfo`] of a [`SocketAddr`].
    ///
    /// # Errors
    /// If an address cannot be listened on, or the system has no thread.
    pub fn start(self, options: Options, routes: Router) -> Result<Running, Fault> {
        let table = options.table;
        let bound = options.listen.iter().map(|&listen| {
            bind(listen).map_err(|source| Fault::Listen {
                table,
                listen,
                source,
            })
        });
        let bound: Vec<TcpListener> = bound.collect::<Result<_, _>>()?;
        let addresses: io::Result<_> = bound.iter().map(TcpListener::local_addr).collect();
        let listeners = addresses.map_err(Fault::Thread)?;
        let server = Arc::new(Server::new(options, routes));
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let (counted, visits) = (Arc::clone(&server), self.visits);
        let thread = thread::Builder::new().name("http".to_owned());
        let spawned = thread.spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let begun = runtime.and_then(|runtime| {
                let registered = {
                    let _entered = runtime.enter();
                    let bound = bound.into_iter().map(tokio::net::TcpListener::from_std);
                    bound.collect::<io::Result<Vec<_>>>()?
                };
                Ok((runtime, registered))
            });
            let (runtime, bound) = match begun {
                Ok(begun) => begun,
                // The receiver waits for it.
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(())));
            runtime.block_on(serve(server, bound, visits, ended));
            runtime.shutdown_background();
        });
        spawned.map_err(Fault::Thread)?;
        // A thread that says nothing has panicked.
        let begun = told
            .recv()
            .unwrap_or_else(|gone| Err(io::Error::other(gone)));
        begun.map_err(Fault::Thread)?;
        Ok(Running {
            listeners,
            server: counted,
            _end: end,
        })
    }
}

/// Serves until the sender of `ended` is dropped.
async fn serve(
    server: Arc<Server>,
    bound: Vec<tokio::net::TcpListener>,
    visits: mpsc::Receiver<Visit>,
    ended: oneshot::Receiver<()>,
) {
    let mut tasks = JoinSet::new();
    for listener in bound {
        tasks.spawn(accept::accept(Arc::clone(&server), listener));
    }
    tasks.spawn(accept::receive(server, visits));
    // It says nothing.
    let _ = ended.await;
}

impl Default for Prepared {
    fn default() -> Self {
        Self::new()
    }
}

/// A server that runs until this is dropped.
pub struct Running {
    listeners: Vec<SocketAddr>,
    server: Arc<Server>,
    _end: oneshot::Sender<()>,
}

impl Running {
    /// The addresses that browsers come to, each with the port that it has.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Reads connections that are upgraded from now on at another rate than [`Options::upgraded`].
    pub fn pace_upgraded(&self, bytes: u32) {
        self.server.pace_upgraded(bytes);
    }

    /// The counters until now.
    pub fn snapshot(&self) -> Snapshot {
        self.server.counters.snapshot()
    }
}

/// The remedy, in words.
fn hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::AddrInUse {
        "; another program has this port: `ss -lntp` shows which"
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        "; ports below 1024 need CAP_NET_BIND_SERVICE, which the systemd unit grants"
    } else {
        ""
    }
}

/// A listener; one for IPv6 leaves IPv4 to others, as those of the relay do.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    if listen.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 1024;
/// Connections of a server for few.
const FEW: usize = 256;
/// Connections that wait for the thread of this server.
const WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_comes_with_what_to_do() {
        for (kind, words) in [
            (io::ErrorKind::AddrInUse, "`ss -lntp` shows which"),
            (io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
        ] {
            let fault = Fault::Listen {
                table: "metrics",
                listen: SocketAddr::from(([0; 4], 443)),
                source: kind.into(),
            };
            let told = fault.to_string();
            assert!(
                told.contains("in [metrics]); ") && told.contains(words),
                "{told}"
            );
        }
    }
}
