//! The doors: listeners of this server, and one for connections that the relay's listeners accepted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use crate::connection::{self, Connection};
use crate::counters::Counters;
use crate::places::{NoPlace, Place, Places};
use crate::rates::Pace;
use crate::seldom::Seldom;
use crate::{Dress, Options, Visit};

/// The state that all connections share.
pub(crate) struct Server {
    pub(crate) places: Arc<Places>,
    pub(crate) counters: Arc<Counters>,
    /// The bytes in a second with which a connection is read after its upgrade.
    upgraded: AtomicU32,
    pub(crate) routes: Router,
    pub(crate) secure: TlsAcceptor,
    pub(crate) is_for_few: bool,
    is_proxy: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    pub(crate) dress: Dress,
    pub(crate) table: &'static str,
    pub(crate) seldom: Lines,
}

/// When each line of the log was written last that strangers cause.
#[derive(Default)]
pub(crate) struct Lines {
    full: Seldom,
    prefix: Seldom,
    accept: Seldom,
    pub(crate) forwarded: Seldom,
}

impl Server {
    pub(crate) fn new(options: Options, routes: Router) -> Self {
        let Options {
            table,
            listen: _,
            certificates,
            oldest_tls,
            authorities,
            connections,
            per_prefix,
            upgraded,
            is_for_few,
            is_proxy,
            dress,
        } = options;
        Self {
            places: Arc::new(Places::new(connections, per_prefix)),
            counters: Arc::default(),
            upgraded: upgraded.into(),
            routes,
            secure: connection::acceptor(certificates, oldest_tls, authorities.as_ref()),
            is_for_few,
            is_proxy,
            dress,
            table,
            seldom: Lines::default(),
        }
    }

    pub(crate) fn pace_upgraded(&self, bytes: u32) {
        self.upgraded.store(bytes, Ordering::Relaxed);
    }

    /// How fast a connection that begins now is read after its upgrade.
    pub(crate) fn upgraded(&self) -> Pace {
        let bytes = self.upgraded.load(Ordering::Relaxed);
        Pace::new(
            bytes.saturating_mul(AT_ONCE),
            AT_ONCE * Duration::from_secs(1),
        )
    }

    pub(crate) fn is_proxy(&self, host: IpAddr) -> bool {
        (self.is_proxy)(host.to_canonical())
    }

    /// A place for a new connection.
    fn admit(&self, visitor: IpAddr) -> Option<Place> {
        self.counters.connections.add();
        let is_proxy = self.is_proxy(visitor);
        let place = self.places.take((!is_proxy).then_some(visitor));
        let charged = place.and_then(|place| {
            if !is_proxy {
                self.places.charge(visitor, CONNECTION)?;
            }
            Ok(place)
        });
        charged.map_err(|why| self.refuse(why)).ok()
    }

    /// Counts that there was no place, and says it seldom.
    pub(crate) fn refuse(&self, why: NoPlace) {
        let (count, seldom, line) = match why {
            NoPlace::Full => (
                &self.counters.refused_full,
                &self.seldom.full,
                "there are too many connections (key `connections`)",
            ),
            NoPlace::Prefix => (
                &self.counters.refused_prefix,
                &self.seldom.prefix,
                "one network has too many connections (key `per-prefix`; of a proxy in front of this \
                 server, `forwarded-from`)",
            ),
            NoPlace::Rate => (
                &self.counters.refused_rate,
                &self.seldom.prefix,
                "one network comes too fast (key `per-prefix`)",
            ),
        };
        count.add();
        if seldom.may_log() {
            warn!(table = self.table, "http.refused: {line}");
        }
    }

    /// Counts a connection that the system has not what it takes for, and says it seldom.
    fn fail(&self, error: &io::Error) {
        self.counters.accept_failed.add();
        if self.seldom.accept.may_log() {
            warn!(%error, table = self.table, "http.accept-failed: connections cannot be accepted");
        }
    }
}

/// Serves the connections of a listener.
pub(crate) async fn accept(server: Arc<Server>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        // Those that have ended leave nothing behind.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, visitor)) => {
                serve(&server, &mut connections, stream, visitor, Bytes::new());
            }
            // It ended before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                server.fail(&error);
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves the connections that another server has accepted.
pub(crate) async fn receive(server: Arc<Server>, mut visits: mpsc::Receiver<Visit>) {
    let mut connections = JoinSet::new();
    while let Some(visit) = visits.recv().await {
        while connections.try_join_next().is_some() {}
        let Visit {
            stream,
            visitor,
            first,
        } = visit;
        match TcpStream::from_std(stream) {
            Ok(stream) => serve(&server, &mut connections, stream, visitor, first),
            Err(error) => server.fail(&error),
        }
    }
}

fn serve(
    server: &Arc<Server>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    visitor: SocketAddr,
    first: Bytes,
) {
    if let Some(place) = server.admit(visitor.ip()) {
        let connection = Connection::new(Arc::clone(server), visitor, place);
        connections.spawn(connection.serve(stream, first));
    }
}

/// The cost of a connection, in requests.
const CONNECTION: u32 = 1;
/// The seconds whose bytes may come at once after an upgrade.
const AT_ONCE: u32 = 4;
/// How long nothing is accepted after the system could not.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion;
    use rustls::server::ResolvesServerCertUsingSni;

    use super::*;

    #[test]
    fn another_rate_holds_for_connections_that_begin_after_it_was_set() {
        let certificates = Arc::new(ResolvesServerCertUsingSni::new());
        let options = Options::new("http", Vec::new(), certificates, ProtocolVersion::TLSv1_3);
        let server = Server::new(options, Router::new());
        let before = server.upgraded();
        server.pace_upgraded(512 * 1024);
        assert_eq!(server.upgraded().one, before.one / 2);
        assert_eq!(server.upgraded().most, before.most);
    }
}
