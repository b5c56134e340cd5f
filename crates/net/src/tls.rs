//! TLS for clients on streams: what they are offered, and their sessions. RFC 8446, RFC 7443.

mod certificates;
mod failed;
mod session;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use relay::ClientTuple;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::dtls::{self, Offer};
use crate::seldom::Seldom;
use crate::{Fault, StreamLimits};

pub use certificates::{Certificate, Certificates};
pub(crate) use failed::failed;
pub(crate) use session::{Handshake, Room, TlsSession};
pub(crate) use state::State;

/// The offer for clients over TLS.
#[derive(Clone)]
pub struct TlsOptions {
    /// The certificates, which may be replaced while clients are served.
    pub certificates: Certificates,
    /// The oldest version that is taken.
    pub minimum: TlsVersion,
    /// Whether listeners for every datagram take DTLS. Those for DTLS alone do in any case.
    pub dtls: bool,
    /// Seals the tickets by which clients resume a session. RFC 8446 §4.6.1, RFC 5077.
    pub tickets: Arc<dyn ProducesTickets>,
    /// Is called with what an operator should know, on the shard's thread: it must be quick and must
    /// not block.
    pub tell: Arc<dyn Fn(TlsEvent) + Send + Sync>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// An event that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsEvent {
    /// A client ended the handshake because of the certificate that it was shown.
    Refused {
        /// The client.
        client: ClientTuple,
        /// The name that the client asked for, if it did.
        name: Option<String>,
        /// The alert's number: 42, 45, 46 or 48. RFC 8446 §6.
        alert: u8,
    },
    /// A client came to a listener for TLS alone and spoke in the clear.
    Plain {
        /// The client.
        client: ClientTuple,
    },
    /// A client has something else than this server, which a key of the configuration decides.
    Unserved {
        /// The client.
        client: ClientTuple,
        /// The thing that is not in common.
        lack: Lack,
    },
}

/// A thing that a client and this server do not have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The client comes over DTLS to a listener that could take it, and DTLS is off.
    Dtls,
    /// No version of TLS.
    Version,
    /// No kind of key: the client can check the signatures of none of the certificates.
    KeyType,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("certificates", &self.certificates)
            .field("minimum", &self.minimum)
            .field("dtls", &self.dtls)
            .finish_non_exhaustive()
    }
}

/// The means of the shards to serve TLS.
pub(crate) struct Tls {
    pub(crate) certificates: Certificates,
    /// For clients.
    pub(crate) config: Arc<ServerConfig>,
    /// For the servers of a certificate authority that look whether this host has a name. RFC 8737.
    pub(crate) challenges: Arc<ServerConfig>,
    /// For clients on datagrams.
    pub(crate) dtls: Arc<Offer>,
    pub(crate) tell: Arc<dyn Fn(TlsEvent) + Send + Sync>,
    /// When a client over DTLS that is off was told of last.
    dtls_off: Seldom,
}

impl Tls {
    /// # Errors
    /// [`Fault::Tls`].
    pub(crate) fn new(options: TlsOptions, limits: StreamLimits) -> Result<Self, Fault> {
        let TlsOptions {
            certificates,
            minimum,
            dtls,
            tickets,
            tell,
        } = options;
        let dtls = Offer::new(certificates.clone(), dtls, limits).ok_or(Fault::Dtls)?;
        let versions: &[&SupportedProtocolVersion] = match minimum {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let mut config = server_config(versions, Arc::new(certificates.clone()))?;
        config.alpn_protocols = OWN_PROTOCOLS.map(Vec::from).into();
        config.ticketer = tickets;
        // Tickets hold what a session needs: nothing is kept for clients that are gone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut challenges = server_config(&[&TLS13, &TLS12], certificates.challenges())?;
        challenges.alpn_protocols = vec![ACME_PROTOCOL.to_vec()];
        Ok(Self {
            certificates,
            config: Arc::new(config),
            challenges: Arc::new(challenges),
            dtls: Arc::new(dtls),
            tell,
            dtls_off: Seldom::new(),
        })
    }

    /// Tells of a client over DTLS at a listener for every datagram, where it is off. A flood of
    /// such datagrams costs little.
    pub(crate) fn tell_dtls_off(&self, client: ClientTuple, datagram: &[u8], now: Instant) {
        if dtls::is_hello(datagram) && self.dtls_off.may_log(now) {
            let lack = Lack::Dtls;
            (self.tell)(TlsEvent::Unserved { client, lack });
        }
    }
}

fn server_config(
    versions: &[&'static SupportedProtocolVersion],
    certificates: Arc<dyn rustls::server::ResolvesServerCert>,
) -> Result<ServerConfig, Fault> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(Fault::Tls)?;
    Ok(builder
        .with_no_client_auth()
        .with_cert_resolver(certificates))
}

/// The protocols that are offered, and required of nobody: no browser names any. RFC 7443.
pub(crate) const OWN_PROTOCOLS: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// The protocol of an authority that looks whether this host has a name. RFC 8737 §6.2.
pub(crate) const ACME_PROTOCOL: &[u8] = b"acme-tls/1";
