//! The options that the shards are started with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relay::{Config, Report, Transport};

use crate::proxy::Proxies;
use crate::{Fault, KeyRequest, Offload, SOCKET_BUFFER, TlsOptions, Transports};

/// Everything [`crate::start`] needs.
pub struct Options {
    /// The listeners that clients come to.
    pub listeners: Vec<ListenerOptions>,
    /// How many shards; at least one.
    pub shards: usize,
    /// Whether neighbours of one flow go together.
    pub offload: Offload,
    /// Bytes of receive buffer that each relay socket asks for; [`SOCKET_BUFFER`] is the most of use.
    /// `net.ipv4.udp_mem` bounds what all sockets of a host hold, so where there are many, each should ask
    /// for less.
    pub relay_buffer: usize,
    /// The configuration of the relay core.
    pub config: Config,
    /// The bounds of clients on streams.
    pub streams: StreamLimits,
    /// The offer for clients over TLS; without it no listener takes TLS.
    pub tls: Option<TlsOptions>,
    /// The proxies that say whose bytes they bring.
    pub proxies: ProxyOptions,
    /// The web server that has the same ports.
    pub web: WebOptions,
    /// The server for browsers in this process, which has the connections over TLS that speak
    /// HTTP/1.1 and are for a name of the certificates; without a web server, for any.
    pub browsers: Option<Browsers>,
    /// Is called with each report, on the shard's thread: it must be quick and must not block.
    pub report: Arc<dyn Fn(Report) + Send + Sync>,
    /// The store of users whose realm is remote; without one none of them is served.
    pub keys: Option<KeyStore>,
}

impl Options {
    /// One shard at these addresses, and nothing that need not be.
    pub fn new<T: Into<Transports>>(
        listeners: impl IntoIterator<Item = (T, SocketAddr)>,
        config: Config,
    ) -> Self {
        let listener = |(transports, listen): (T, SocketAddr)| ListenerOptions {
            transports: transports.into(),
            listen,
        };
        Self {
            listeners: listeners.into_iter().map(listener).collect(),
            shards: 1,
            offload: Offload::default(),
            relay_buffer: SOCKET_BUFFER,
            config,
            streams: StreamLimits::default(),
            tls: None,
            proxies: ProxyOptions::default(),
            web: WebOptions::default(),
            browsers: None,
            report: Arc::new(|_| ()),
            keys: None,
        }
    }
}

/// Is called with each request for a key, on the shard's thread: it must be quick and must not
/// block. The answer may be given later and on any other thread.
pub type KeyStore = Arc<dyn Fn(KeyRequest) + Send + Sync>;

/// Is called with each connection of a browser, on the shard's thread: it must be quick and must not
/// block. It says whether it takes the connection, which is closed if not.
pub type Browsers = Arc<dyn Fn(Browser) -> bool + Send + Sync>;

/// A connection of a browser. Nothing was answered yet.
#[derive(Debug)]
pub struct Browser {
    /// The connection, in nonblocking mode.
    pub stream: std::net::TcpStream,
    /// Where it comes from; its proxy has said so if it has one.
    pub client: SocketAddr,
    /// The bytes that were read already: the hello.
    pub first: Bytes,
}

/// A listener that clients come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// The transports that it takes.
    pub transports: Transports,
    /// Its address; port 0 lets the system choose one.
    pub listen: SocketAddr,
}

impl ListenerOptions {
    /// Whether all its clients come over TLS or DTLS.
    pub(crate) fn needs_tls(&self) -> bool {
        self.transports.each().all(Transport::is_secure)
    }

    pub(crate) const fn fault(self, source: io::Error) -> Fault {
        let Self { transports, listen } = self;
        Fault::Listen {
            transports,
            listen,
            source,
        }
    }
}

/// The proxies in front of this server, which begin all that they send with a header of the PROXY
/// protocol ([`crate::proxy`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Those of connections.
    pub tcp: Proxies,
    /// Those of datagrams; each has a header of its own.
    pub udp: Proxies,
}

/// The web server behind this one, by which both have the same ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebOptions {
    /// The server that has the connections over TLS that are for another name than those of the
    /// certificates, or for another protocol.
    pub https: Option<SocketAddr>,
    /// Whether that one is told the addresses of clients, by a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The server that has QUIC, on listeners for all datagrams.
    pub quic: Option<SocketAddr>,
}

/// The bounds of TCP clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one [`relay::SourcePrefix`].
    pub per_prefix: usize,
    /// How long a client may take until its first valid frame.
    pub first_frame: Duration,
    /// How long a client without allocation may be silent.
    pub idle: Duration,
    /// How long a client may be without an allocation, whatever it sends.
    pub stranger_lifetime: Duration,
    /// Bytes that may wait for one client; beyond these the oldest media is dropped.
    pub send_queue: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_prefix: 1_024,
            first_frame: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stranger_lifetime: Duration::from_secs(3600),
            send_queue: 256 * 1024,
        }
    }
}
