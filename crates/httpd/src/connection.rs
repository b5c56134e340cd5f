//! One connection of a browser: HTTP or HTTPS, by its first byte, until it ends or becomes a WebSocket.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::accept::Server;
use crate::paced::{LateHead, Paced, Seat};
use crate::places::Place;
use crate::request;
use crate::wire::Wire;
use crate::{Authorities, Encrypted};

/// Takes TLS from this version on with these certificates, of clients that one of the authorities vouches for,
/// if there are any.
pub(crate) fn acceptor(
    certificates: Arc<dyn ResolvesServerCert>,
    oldest: ProtocolVersion,
    authorities: Option<&Authorities>,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = if oldest == ProtocolVersion::TLSv1_3 {
        &[&TLS13]
    } else {
        &[&TLS13, &TLS12]
    };
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let config = config.expect("ring has the cipher suites of both versions");
    let config = match authorities {
        None => config.with_no_client_auth(),
        Some(authorities) => config.with_client_cert_verifier(Arc::clone(&authorities.verifier)),
    };
    let mut config = config.with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

/// A connection that has a place.
pub(crate) struct Connection {
    server: Arc<Server>,
    visitor: SocketAddr,
    seat: Arc<Seat>,
}

impl Connection {
    pub(crate) fn new(server: Arc<Server>, visitor: SocketAddr, place: Place) -> Self {
        Self {
            server,
            visitor,
            seat: Seat::new(place),
        }
    }

    /// Serves it to its end. `first` are bytes that were read already.
    pub(crate) async fn serve(self, stream: TcpStream, first: Bytes) {
        // Without it answers come later, and that is all.
        let _ = stream.set_nodelay(true);
        let begins_with = match first.first() {
            Some(byte) => *byte,
            None => {
                let mut byte = [0];
                match timeout(FIRST_BYTE, stream.peek(&mut byte)).await {
                    Ok(Ok(1)) => byte[0],
                    Ok(Ok(_) | Err(_)) => return,
                    Err(_) => return self.server.counters.silent.add(),
                }
            }
        };
        let stream = Wire::new(
            first,
            stream,
            Arc::clone(&self.seat),
            self.server.upgraded(),
        );
        // The memory for a handshake is not taken before the first byte has come.
        if begins_with == TLS_HANDSHAKE {
            Box::pin(self.secure(stream)).await;
        } else {
            Box::pin(self.speak(stream, false)).await;
        }
    }

    async fn secure(self, stream: Wire<TcpStream>) {
        let counters = &self.server.counters;
        let visitor = self.visitor.ip();
        if !self.server.is_proxy(visitor)
            && let Err(why) = self.server.places.charge(visitor, HANDSHAKE)
        {
            return self.server.refuse(why);
        }
        match timeout(HANDSHAKE_TIME, self.server.secure.accept(stream)).await {
            Ok(Ok(session)) => {
                counters.handshakes.add();
                self.speak(session, true).await;
            }
            Ok(Err(error)) => {
                counters.handshakes_failed.add();
                debug!(error = ?error.to_string(), "http.handshake-failed");
            }
            Err(_) => counters.handshakes_failed.add(),
        }
    }

    async fn speak<S>(self, stream: S, is_encrypted: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            server,
            visitor,
            seat,
        } = self;
        let counters = Arc::clone(&server.counters);
        let stream = TokioIo::new(Paced::new(stream, Arc::clone(&seat), counters));
        let (counted, seated) = (Arc::clone(&server), Arc::clone(&seat));
        let service = service_fn(move |mut request: Request<Incoming>| {
            if is_encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            let (server, seat) = (Arc::clone(&server), Arc::clone(&seat));
            request::answer(server, seat, visitor, request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // It runs between requests, too.
            .header_read_timeout(if counted.is_for_few { IDLE_OF_FEW } else { IDLE })
            .max_buf_size(MOST_HEAD)
            .serve_connection(stream, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = sleep(LIFETIME) => None,
        };
        let ended = match ended {
            Some(ended) => Some(ended),
            // The request that is under way is answered.
            None => {
                connection.as_mut().graceful_shutdown();
                // A slow reader ends it, and whoever makes its parts.
                if seated.is_endless() {
                    Some(connection.await)
                } else {
                    timeout(LAST_ANSWER, connection).await.ok()
                }
            }
        };
        if let Some(Err(error)) = ended {
            count(&counted, &error);
        }
    }
}

/// Counts the end of a connection by its cause.
fn count(server: &Server, error: &hyper::Error) {
    let counters = &server.counters;
    let because = error.source().and_then(|cause| {
        let cause = cause.downcast_ref::<io::Error>()?;
        cause.get_ref()
    });
    if error.is_parse_version_h2() {
        counters.http2.add();
    } else if error.is_parse_too_large() {
        counters.head_too_large.add();
    } else if error.is_parse() {
        counters.malformed.add();
    } else if because.is_some_and(|cause| cause.is::<LateHead>()) {
        counters.head_late.add();
    }
}

/// How long a client may say nothing after it has connected.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long its handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long it may say nothing between two requests. Proxies keep their connections for a minute.
const IDLE: Duration = Duration::from_secs(75);
/// The same where places are few. A scraper of metrics connects anew.
const IDLE_OF_FEW: Duration = Duration::from_secs(5);
/// How long it may make requests before it has to connect anew. A WebSocket may take longer.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long the answer may then take that was not sent yet.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// The most bytes of the head of a request; and as many of answers wait.
const MOST_HEAD: usize = 16 * 1024;
/// The cost of a handshake, in requests: a signature with an RSA key takes as long.
const HANDSHAKE: u32 = 16;
/// The type of the record that a TLS client begins with. RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 22;
