//! The way to the running server: its socket, or `[admin] listen` with the token.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hyper::Uri;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::server::Fault;
use crate::config::{AdminSocket, NoSecret, Secret};
use crate::serve::admin::{SOCKET, place};

/// Where the server is.
#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The socket of the server [env: HAIRPIN_SOCKET]. Where neither it nor --url is given:
    /// /run/hairpin/admin.sock, then $XDG_RUNTIME_DIR/hairpin/admin.sock.
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    socket: Option<PathBuf>,

    /// The URL of the server's `[admin] listen`, in place of its socket, such as
    /// `https://turn.example.org:9640` [env: HAIRPIN_URL]. On this host http:// is enough.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// A file with the token for that URL [env: HAIRPIN_TOKEN_FILE, or the token in
    /// HAIRPIN_TOKEN].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A file with the certificate of the authority that signed the server's, if browsers
    /// do not trust it [env: HAIRPIN_CA_FILE].
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// The socket of a configuration, where neither command line nor environment names a place.
    #[arg(skip)]
    configured: Option<PathBuf>,
}

/// A way to the server.
pub(super) enum Way {
    Socket(PathBuf),
    Url(Address),
}

/// The server by `--url` and the options beside it.
pub(super) struct Address {
    host: String,
    port: u16,
    pub(super) token: Secret,
    /// Unless it is this host, in the clear.
    tls: Option<Arc<ClientConfig>>,
}

/// The bytes to a server and back.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Place {
    /// This socket, or where the server is found.
    pub(super) const fn at(socket: Option<PathBuf>) -> Self {
        Self {
            socket,
            url: None,
            token_file: None,
            ca_file: None,
            configured: None,
        }
    }

    /// The same, or the socket of this configuration where neither command line nor environment names a place.
    pub(super) fn or_of(self, configured: &AdminSocket) -> Self {
        let configured = match configured {
            AdminSocket::At(path) => Some(path.clone()),
            AdminSocket::Auto | AdminSocket::Off => None,
        };
        Self { configured, ..self }
    }

    /// The way to the server: what the command line names comes before what the environment names.
    pub(super) fn way(&self) -> Result<Way, Fault> {
        if let Some(socket) = &self.socket {
            return Ok(Way::Socket(socket.clone()));
        }
        if let Some(url) = &self.url {
            return self.address(url).map(Way::Url);
        }
        if let Some(socket) = variable("HAIRPIN_SOCKET") {
            return Ok(Way::Socket(socket.into()));
        }
        if let Some(url) = variable("HAIRPIN_URL") {
            return self.address(&url.to_string_lossy()).map(Way::Url);
        }
        if let Some(socket) = &self.configured {
            return Ok(Way::Socket(socket.clone()));
        }
        let own = place(&AdminSocket::Auto, |name| env::var_os(name));
        let places = [PathBuf::from("/run/hairpin").join(SOCKET)];
        let places: Vec<PathBuf> = places.into_iter().chain(own).collect();
        found(&places)
            .map(Way::Socket)
            .ok_or(Fault::NotFound(places))
    }

    fn address(&self, url: &str) -> Result<Address, Fault> {
        let wrong = |why| Fault::Url(url.to_owned(), why);
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let is_root = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if !is_root || authority.as_str().contains('@') {
            return Err(wrong("has more than a host and a port"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_here = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback());
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (Some(self.tls()?), 443),
            Some("http") if is_here => (None, 80),
            Some("http") => return Err(wrong("shows the token in the clear: write https://")),
            Some(_) | None => return Err(wrong("begins with neither https:// nor http://")),
        };
        Ok(Address {
            host,
            port: authority.port_u16().unwrap_or(port),
            token: self.token()?,
            tls,
        })
    }

    fn token(&self) -> Result<Secret, Fault> {
        let file = self.token_file.clone();
        let file = file.or_else(|| variable("HAIRPIN_TOKEN_FILE").map(PathBuf::from));
        if let Some(file) = file {
            let bytes = fs::read(&file).map_err(NoSecret::from);
            let token = bytes.and_then(|bytes| Secret::in_file(&bytes));
            return token.map_err(|why| Fault::Token { file, why });
        }
        let token = variable("HAIRPIN_TOKEN").ok_or(Fault::NoToken)?;
        Ok(Secret::new(token.to_string_lossy()))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Fault> {
        let file = self.ca_file.clone();
        let file = file.or_else(|| variable("HAIRPIN_CA_FILE").map(PathBuf::from));
        let mut roots = RootCertStore::empty();
        match file {
            Some(file) => roots.add_parsable_certificates(authorities(&file)?),
            None => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                (0, 0)
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Way {
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Fault> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|source| Fault::Unreachable {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(Box::new(stream))
            }
            Self::Url(address) => {
                let away = |source| Fault::Away {
                    host: address.host(),
                    source,
                };
                let to = (&*address.host, address.port);
                let stream = TcpStream::connect(to).await.map_err(away)?;
                let Some(tls) = &address.tls else {
                    return Ok(Box::new(stream));
                };
                let name = ServerName::try_from(address.host.clone());
                let name = name.map_err(|error| away(io::Error::other(error)))?;
                let stream = TlsConnector::from(Arc::clone(tls))
                    .connect(name, stream)
                    .await;
                Ok(Box::new(stream.map_err(away)?))
            }
        }
    }

    /// The host that requests name.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "hairpin".to_owned(),
            Self::Url(address) => address.host(),
        }
    }
}

impl Address {
    fn host(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// The certificates in a file.
fn authorities(file: &Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Fault> {
    let pem = fs::read(file).map_err(|error| error.to_string());
    let roots = pem.and_then(|pem| https::roots_in(&pem).map_err(str::to_owned));
    roots.map_err(|why| Fault::Authority {
        file: file.to_owned(),
        why,
    })
}

/// The first place that has a socket. One that this user may not look at comes after those, so that the answer
/// says who may.
fn found(places: &[PathBuf]) -> Option<PathBuf> {
    let there = places.iter().find(|place| place.exists());
    let hidden = || places.iter().find(|place| place.try_exists().is_err());
    there.or_else(hidden).cloned()
}

/// A variable that is not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        let place = Place::at(None);
        place.address(url).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_token_goes_over_tls_or_to_this_host_and_to_nothing_but_a_host() {
        for (url, flaw) in [
            ("http://turn.example.org:9640", "write https://"),
            ("http://192.0.2.1:9640", "write https://"),
            ("https://turn.example.org/v1", "more than a host"),
            ("https://alice@turn.example.org", "more than a host"),
            ("https://turn.example.org?token=x", "more than a host"),
            ("turn.example.org:9640", "begins with neither"),
            ("ftp://turn.example.org", "begins with neither"),
        ] {
            let told = address(url).err().expect("a fault");
            assert!(told.contains(flaw), "{url}: {told}");
        }
        for url in [
            "http://[::1]:9640",
            "http://127.0.0.1:9640",
            "https://turn.example.org",
        ] {
            // The only thing that is missing.
            let told = address(url).err().expect("a fault");
            assert!(told.contains("--token-file"), "{url}: {told}");
        }
    }
}
