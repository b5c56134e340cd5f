//! A Binding over TCP, and over TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Event, Failure};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{Bind, Fault, Options, Servers, Stream, flat};
use crate::doctor::dialogue::{self, Carrier, Dialogue};
use crate::escape::escaped;
use crate::uri::{Uri, UriHost};

/// A server's answer over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAnswer {
    /// The address that it saw.
    pub mapped: SocketAddr,
    /// The time from the request to the answer, without that of the connection.
    pub round_trip: Duration,
}

/// Why there was no answer over a stream. Reasons and names are the server's words: they are
/// escaped.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The connection failed.
    #[error("cannot connect: {}", escaped(&.0.to_string()))]
    Connect(io::Error),
    /// The connection was made, but TLS failed.
    #[error("no TLS: {}", escaped(&.0.to_string()))]
    Tls(io::Error),
    /// The connection ended.
    #[error("the connection broke: {}", escaped(&.0.to_string()))]
    Broken(io::Error),
    /// The server refused the request.
    #[error("{}", escaped(&.0.to_string()))]
    Refused(Failure),
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
}

/// The certificate authorities to trust.
#[derive(Clone)]
pub(crate) struct Trust(Arc<WebPkiServerVerifier>);

impl Trust {
    /// Mozilla's list, or the certificates of a file instead.
    pub(crate) fn new(roots: Option<&Path>) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        match roots {
            None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let fault = |why: String| Fault::Roots {
                    path: path.to_owned(),
                    why,
                };
                let found = CertificateDer::pem_file_iter(path);
                for certificate in found.map_err(|error| fault(error.to_string()))? {
                    let certificate = certificate.map_err(|error| fault(error.to_string()))?;
                    store
                        .add(certificate)
                        .map_err(|error| fault(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(fault("it holds none".to_owned()));
                }
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider());
        let verifier = verifier.build().expect("roots, and no revocation lists");
        Ok(Self(verifier))
    }

    /// A verifier of a server's certificate by these roots.
    pub(crate) fn verifier(&self) -> Arc<WebPkiServerVerifier> {
        Arc::clone(&self.0)
    }

    /// Makes TLS connections whose certificates `verifier` checks.
    pub(crate) fn watched_by(verifier: Arc<dyn ServerCertVerifier>) -> TlsConnector {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the usual protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Asks every server over TCP, or TLS if its URI says so, all at once.
pub(super) async fn ask_all(options: &Options, servers: &Servers, trust: &Trust) -> Vec<Stream> {
    let mut asked = Vec::new();
    for (uri, address) in flat(servers) {
        let (uri, bind, trust) = (uri.clone(), options.bind.clone(), trust.clone());
        let timeout = options.timeout;
        asked.push(tokio::spawn(async move {
            let answer = tokio::time::timeout(timeout, ask(&uri, address, &bind, &trust, timeout));
            let outcome = answer.await.unwrap_or(Err(NoAnswer::Timeout));
            Stream {
                uri,
                address,
                outcome,
            }
        }));
    }
    let mut streams = Vec::new();
    for stream in asked {
        // A task that panicked has printed that on standard error.
        streams.extend(stream.await);
    }
    streams
}

async fn ask(
    uri: &Uri,
    address: SocketAddr,
    bind: &Bind,
    trust: &Trust,
    timeout: Duration,
) -> Result<StreamAnswer, NoAnswer> {
    let stream = connect(address, bind).await.map_err(NoAnswer::Connect)?;
    if !uri.is_secure {
        return exchange(stream, timeout).await;
    }
    let name = match &uri.host {
        UriHost::Address(ip) => ServerName::from(*ip),
        UriHost::Name(name) => ServerName::try_from(name.clone())
            .map_err(|error| NoAnswer::Tls(io::Error::other(error)))?,
    };
    let connector = Trust::watched_by(trust.verifier());
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(NoAnswer::Tls)?;
    exchange(stream, timeout).await
}

/// A TCP connection from the address or interface that `bind` names.
pub(crate) async fn connect(address: SocketAddr, bind: &Bind) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    match bind {
        Bind::Any => {}
        Bind::Address(ip) => socket.bind(SocketAddr::new(*ip, 0))?,
        Bind::Interface(name) => SockRef::from(&socket).bind_device(Some(name.as_bytes()))?,
    }
    socket.connect(address).await
}

/// One Binding. RFC 8489 §6.2.2.
async fn exchange(
    stream: impl dialogue::Stream + 'static,
    timeout: Duration,
) -> Result<StreamAnswer, NoAnswer> {
    let mut dialogue = Dialogue::new(Carrier::Stream(Box::new(stream)), None, timeout);
    let asked = Instant::now();
    dialogue.client.binding(asked);
    loop {
        match dialogue.next(asked + timeout).await {
            Ok(Event::Bound { mapped }) => {
                let round_trip = asked.elapsed();
                return Ok(StreamAnswer { mapped, round_trip });
            }
            Ok(Event::Failed { failure, .. }) => return Err(NoAnswer::Refused(failure)),
            // No other request was sent.
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::TimedOut => return Err(NoAnswer::Timeout),
            Err(why) => return Err(NoAnswer::Broken(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_server_that_refuses_cannot_command_a_terminal() {
        let reason = "no\u{1b}[2J\u{202e}\r\n".repeat(1_000);
        let refused = NoAnswer::Refused(Failure::Refused { code: 420, reason });
        let broken = NoAnswer::Tls(io::Error::other("for \u{9b}2J"));
        for why in [refused, broken] {
            let told = why.to_string();
            let is_plain = |letter: char| !letter.is_control() && letter != '\u{202e}';
            assert!(told.chars().all(is_plain), "{told:?}");
            assert!(told.len() < 4_000, "{}", told.len());
        }
    }
}
