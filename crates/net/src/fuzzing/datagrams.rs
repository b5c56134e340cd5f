//! A shard with one listener for datagrams, which reads nothing by itself: the DTLS of its clients, in
//! virtual time. Its answers leave by a real socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use relay::{ClientTuple, Config, Now, ShardId, Shared, SourcePrefix, Transport};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::Offered;
use crate::admission::Admission;
use crate::bind;
use crate::dtls::{self, Dtls};
use crate::inbox;
use crate::listeners::Listeners;
use crate::marking::Marking;
use crate::published::Published;
use crate::shard::{Blueprint, Shard};
use crate::{
    Fault, ListenerOptions, NetCounters, ProxyOptions, StreamLimits, Together, Transports,
    WebOptions,
};

/// The most handshakes that are not done.
pub const HALF_OPEN: usize = dtls::HALF_OPEN;

/// Those of one source prefix.
pub const HALF_OPEN_OF_PREFIX: usize = dtls::HALF_OPEN_OF_PREFIX;

/// The shard, and where clients send to.
pub struct Datagrams {
    shard: Shard,
    listener: SocketAddr,
    /// The clock of the listener's socket; it goes last.
    _runtime: Runtime,
}

impl Datagrams {
    /// A shard on loopback.
    ///
    /// # Errors
    /// [`Fault`], if the system has no socket for it.
    pub fn new(
        offered: &Offered,
        streams: StreamLimits,
        config: Config,
        now: Instant,
    ) -> Result<Self, Fault> {
        let listeners = [ListenerOptions {
            transports: Transports::Datagrams,
            listen: (IpAddr::from([127, 0, 0, 1]), 0).into(),
        }];
        let list = bind::listeners(&listeners, Vec::new(), 1, Together::default())?;
        let listener = list[0].listen;
        let config = Arc::new(config);
        let (post, mut inboxes) = inbox::open(1);
        let (_, rules) = watch::channel(Arc::clone(&config.rules));
        let admission = Arc::new(Admission::new(&streams));
        let blueprint = Blueprint {
            number: ShardId(0),
            post,
            inbox: Arc::new(inboxes.remove(0)),
            listeners: Arc::new(Listeners::new(Vec::new(), 1, Together::default())),
            partners: Arc::default(),
            together: Together::default(),
            relay_buffer: Arc::new(crate::SOCKET_BUFFER.into()),
            shared: Arc::new(Shared::new(&config)),
            config,
            rules,
            streams,
            flows: Arc::clone(&admission),
            admission,
            tls: Some(Arc::clone(&offered.0)),
            proxies: Arc::new(ProxyOptions::default()),
            web: WebOptions::default(),
            browsers: None,
            report: Arc::new(|_| ()),
            keys: None,
            stop: watch::channel(false).1,
            published: Arc::new(Published::new()),
            heartbeat: Arc::new(AtomicU64::new(0)),
            ready: mpsc::channel().0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(Fault::Shard)?;
        let entered = runtime.enter();
        let own = list[0].of_shard(&list[0].sockets[0][0]);
        drop(entered);
        let mut shard = Shard::new(&blueprint);
        shard.egress.listeners.push(own.map_err(Fault::Shard)?);
        let dtls = Dtls::new(Arc::clone(&offered.0.dtls), now);
        shard.egress.dtls = Some(Box::new(dtls));
        Ok(Self {
            shard,
            listener,
            _runtime: runtime,
        })
    }

    /// Takes a datagram whose first byte says that it is a record.
    pub fn take(&mut self, now: Instant, client: SocketAddr, datagram: &[u8]) {
        let client = self.tuple(client);
        let now = Now {
            mono: now,
            unix: NOON,
        };
        (self.shard).handle_record(now, client, Marking::PLAIN, datagram);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.shard.handle_dtls_timeouts(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shard.poll_timeout()
    }

    /// Where answers come from.
    pub const fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Whether a client has a session.
    pub fn has_session(&self, client: SocketAddr) -> bool {
        let client = self.tuple(client);
        let dtls = self.shard.egress.dtls.as_ref();
        dtls.is_some_and(|dtls| dtls.sessions.contains_key(&client))
    }

    /// Handshakes that are not done.
    pub fn half_open(&self) -> usize {
        let dtls = self.shard.egress.dtls.as_ref();
        dtls.map_or(0, |dtls| dtls.half_open.len())
    }

    /// Those of one source prefix.
    pub fn half_open_of(&self, host: IpAddr) -> usize {
        let prefix = SourcePrefix::of(host);
        let dtls = self.shard.egress.dtls.as_ref();
        dtls.map_or(0, |dtls| {
            let clients = dtls.half_open.keys();
            clients
                .filter(|it| SourcePrefix::of(it.client.ip()) == prefix)
                .count()
        })
    }

    /// Counts of what was done and dropped.
    pub const fn counters(&self) -> &NetCounters {
        &self.shard.egress.counters
    }

    const fn tuple(&self, client: SocketAddr) -> ClientTuple {
        ClientTuple {
            transport: Transport::Dtls,
            client,
            server: self.listener,
        }
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").finish_non_exhaustive()
    }
}

/// No user's credentials are at stake.
const NOON: Duration = Duration::from_secs(1_800_000_000);
