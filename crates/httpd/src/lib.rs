//! The HTTP server beside the relay, for browsers: pages, and the routes that other crates bring, such as
//! signaling.
//!
//! It has a thread and a runtime of its own, so that no visitor of a page delays a packet or the control
//! side. HTTP and HTTPS share each port: the first byte of a connection tells which it is.

mod connection;
mod pages;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use axum::Router;
use rustls::ProtocolVersion;
use rustls::server::ResolvesServerCert;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use pages::pages;

/// What the server is started with.
pub struct Options {
    /// The addresses that browsers come to. Port 0 is any free port.
    pub listen: Vec<SocketAddr>,
    /// The certificates for HTTPS, as they are at each handshake: one may come later than the start.
    pub certificates: Arc<dyn ResolvesServerCert>,
    /// TLS 1.2 or 1.3: clients with an older one are refused.
    pub oldest_tls: ProtocolVersion,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An address cannot be listened on.
    #[error("cannot listen for HTTP on {listen}: {source} (key `listen` in [http])")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no thread or runtime to be had.
    #[error("cannot start the HTTP server: {0}")]
    Thread(io::Error),
}

/// A server that runs until this is dropped.
pub struct Running {
    listeners: Vec<SocketAddr>,
    _end: oneshot::Sender<()>,
}

impl Running {
    /// The addresses that browsers come to, each with the port that it has.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }
}

/// Starts a server of these routes. The address of a visitor is in a request's extensions, as
/// [`axum::extract::ConnectInfo`] of a [`SocketAddr`].
///
/// # Errors
/// If an address cannot be listened on, or the system has no thread.
pub fn start(options: Options, routes: Router) -> Result<Running, Fault> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Fault::Thread)?;
    let bound = {
        let _entered = runtime.enter();
        let listeners = options.listen.iter();
        let bound = listeners
            .map(|&listen| bind(listen).map_err(|source| Fault::Listen { listen, source }));
        bound.collect::<Result<Vec<_>, _>>()?
    };
    let addresses: io::Result<_> = bound.iter().map(TcpListener::local_addr).collect();
    let listeners = addresses.map_err(Fault::Thread)?;
    let secure = connection::acceptor(options.certificates, options.oldest_tls);
    let (end, ended) = oneshot::channel();
    let serve = async move {
        let mut tasks = JoinSet::new();
        for listener in bound {
            tasks.spawn(connection::accept(listener, secure.clone(), routes.clone()));
        }
        // The sender says nothing: it is dropped.
        let _ = ended.await;
    };
    let thread = thread::Builder::new().name("http".to_owned());
    let spawned = thread.spawn(move || {
        runtime.block_on(serve);
        runtime.shutdown_background();
    });
    spawned.map_err(Fault::Thread)?;
    Ok(Running {
        listeners,
        _end: end,
    })
}

/// A listener; one for IPv6 leaves IPv4 to others, as those of the relay do.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if listen.is_ipv6() {
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

const BACKLOG: u32 = 1024;
