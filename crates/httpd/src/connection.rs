//! One connection of a browser: HTTP or HTTPS, by its first byte.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;
use tracing::{debug, warn};

/// Takes TLS from this version on with these certificates.
pub(crate) fn acceptor(
    certificates: Arc<dyn ResolvesServerCert>,
    oldest: ProtocolVersion,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = if oldest == ProtocolVersion::TLSv1_3 {
        &[&TLS13]
    } else {
        &[&TLS13, &TLS12]
    };
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let mut config = config
        .expect("ring has the cipher suites of both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

/// Serves the connections of a listener.
pub(crate) async fn accept(listener: TcpListener, secure: TlsAcceptor, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        // Those that have ended leave nothing behind.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, visitor)) => {
                let connection = Connection {
                    visitor,
                    secure: secure.clone(),
                    routes: routes.clone(),
                };
                connections.spawn(async move {
                    if let Err(error) = connection.serve(stream).await {
                        debug!(%error, "http.connection: it ended early");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "http: no connection can be accepted, the next try is in a second");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

struct Connection {
    visitor: SocketAddr,
    secure: TlsAcceptor,
    routes: Router,
}

impl Connection {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut first = [0];
        timeout(FIRST_BYTES, stream.peek(&mut first)).await??;
        if first == [TLS_HANDSHAKE] {
            let session = timeout(FIRST_BYTES, self.secure.accept(stream)).await??;
            return self.speak(session).await;
        }
        self.speak(stream).await
    }

    async fn speak<S>(self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            visitor, routes, ..
        } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(visitor));
            routes.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(FIRST_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        connection.with_upgrades().await.map_err(io::Error::other)
    }
}

/// How long a client may take for its handshake, and for the head of a request.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// The type of the record that a TLS client begins with. RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 22;
