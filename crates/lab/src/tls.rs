//! Clients' TLS sessions, which trust the lab's authority and nobody else.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::{PATIENCE, authority::Authority};

/// A session, once the handshake is over.
pub struct TlsSession {
    stream: TcpStream,
    session: Box<RefCell<ClientConnection>>,
}

impl TlsSession {
    /// Shakes hands on a connection, with the server of this name or address.
    ///
    /// # Errors
    /// As the handshake failed, or took longer than `PATIENCE`.
    pub fn connect(
        stream: TcpStream,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        Self::connect_within(PATIENCE, stream, name, config)
    }

    /// The same, with a server that may be silent: each of its answers must come within this time.
    pub fn connect_within(
        patience: Duration,
        stream: TcpStream,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        stream.set_read_timeout(Some(patience))?;
        while session.is_handshaking() {
            session.complete_io(&mut &stream)?;
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            session: Box::new(session.into()),
        })
    }

    /// The connection under it.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the handshake was a whole one, or resumed an earlier session.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.session.borrow().handshake_kind()
    }

    /// The chain that the server has shown.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let session = self.session.borrow();
        let chain = session.peer_certificates().unwrap_or_default();
        chain.iter().map(|it| it.clone().into_owned()).collect()
    }

    /// Sends these bytes in records of their own. Bytes that cannot be sent in time follow once something
    /// is received.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        // The session keeps only so much that is not written yet.
        for part in bytes.chunks(16 * 1024) {
            session.writer().write_all(part)?;
            while session.wants_write() {
                session.write_tls(&mut &self.stream)?;
            }
        }
        Ok(())
    }

    /// Reads the bytes that come in time, if any do; 0 is the end.
    ///
    /// # Errors
    /// Those of the connection, `WouldBlock` if nothing came, and `InvalidData` if it was no TLS.
    pub fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + patience;
        let mut session = self.session.borrow_mut();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero would mean for ever.
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            if session.read_tls(&mut &self.stream)? == 0 {
                return Ok(0);
            }
            let processed = session.process_new_packets();
            while session.wants_write() {
                match session.write_tls(&mut &self.stream) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    sent => sent?,
                };
            }
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

/// Trust in the lab's authority. Sessions of one process are resumed, as those of a browser are.
pub fn trusting() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Arc::new(trusting_anew()));
    Arc::clone(config)
}

/// The same without any earlier session.
pub fn trusting_anew() -> ClientConfig {
    let root = CertificateDer::from_pem_slice(Authority::lab().root().as_bytes());
    trusting_root(root.expect("a certificate"))
}

/// Trust in another authority.
pub fn trusting_root(root: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a certificate of an authority");
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the provider has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
