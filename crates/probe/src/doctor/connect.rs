//! Connections of the kind that a URI asks for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use client::Credentials;
use rustls::pki_types::ServerName;
use tokio::net::UdpSocket;

use super::certificate::Witness;
use super::dialogue::{Carrier, Dialogue};
use super::dtls::{DtlsSession, NoDtls};
use super::{Code, PATIENCE, Patient};
use crate::host::{self, Trust};
use crate::{Bind, Target, Transport, UriHost};

/// Makes connections with one server.
pub(super) struct Connector {
    pub(super) target: Target,
    bind: Bind,
    /// The configuration of TLS, if the URI asks for it.
    tls: Option<Tls>,
}

struct Tls {
    name: io::Result<ServerName<'static>>,
    witness: Arc<Witness>,
}

impl Tls {
    fn name(&self) -> Result<ServerName<'static>, NoDialogue> {
        match &self.name {
            Ok(name) => Ok(name.clone()),
            Err(why) => Err(NoDialogue::Tls(io::Error::other(why.to_string()))),
        }
    }
}

/// Waits for the outcome, at most until then.
async fn before<T>(until: Instant, outcome: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    let outcome = tokio::time::timeout_at(until.into(), outcome).await;
    outcome.unwrap_or_else(late)
}

/// Why there is no connection.
pub(super) enum NoDialogue {
    Connect(io::Error),
    Tls(io::Error),
    Dtls(NoDtls),
}

impl Connector {
    pub(super) fn new(patient: &Patient, target: Target, trust: &Trust) -> Self {
        let tls = patient.uri.is_secure.then(|| Tls {
            name: match &patient.uri.host {
                UriHost::Address(ip) => Ok(ServerName::from(*ip)),
                UriHost::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
            },
            witness: Arc::new(Witness::new(
                trust.verifier(),
                patient.examination.roots.is_some(),
            )),
        });
        Self {
            target,
            bind: patient.examination.bind.clone(),
            tls,
        }
    }

    /// A new 5-tuple.
    pub(super) async fn connect(
        &self,
        credentials: Option<Credentials>,
    ) -> Result<Dialogue, NoDialogue> {
        let carrier = self.carrier(Instant::now() + PATIENCE).await?;
        Ok(Dialogue::new(carrier, credentials, PATIENCE))
    }

    async fn carrier(&self, until: Instant) -> Result<Carrier, NoDialogue> {
        let address = self.target.address;
        match (self.target.transport, &self.tls) {
            (Transport::Udp, None) => {
                let socket = self
                    .socket(self.target.address)
                    .map_err(NoDialogue::Connect)?;
                Ok(Carrier::udp(socket, address))
            }
            (Transport::Udp, Some(tls)) => {
                let name = tls.name()?;
                let socket = self
                    .socket(self.target.address)
                    .map_err(NoDialogue::Connect)?;
                let session = DtlsSession::connect(socket, address, until).await;
                let (session, leaf) = session.map_err(NoDialogue::Dtls)?;
                tls.witness.see_leaf(&leaf, &name);
                Ok(Carrier::Dtls(Box::new(session)))
            }
            (Transport::Tcp, tls) => {
                let stream = host::connect(address, &self.bind);
                let stream = before(until, stream).await.map_err(NoDialogue::Connect)?;
                let Some(tls) = tls else {
                    return Ok(Carrier::Stream(Box::new(stream)));
                };
                let connector = Trust::watched_by(Arc::clone(&tls.witness) as _);
                let stream = connector.connect(tls.name()?, stream);
                let stream = before(until, stream).await.map_err(NoDialogue::Tls)?;
                Ok(Carrier::Stream(Box::new(stream)))
            }
        }
    }

    /// A UDP socket of this host that can reach the server.
    pub(super) fn socket(&self, server: SocketAddr) -> io::Result<UdpSocket> {
        let socket = host::open(&self.bind, server)?;
        UdpSocket::from_std(socket.into())
    }

    /// The finding about the last certificate.
    pub(super) fn certificate(&self) -> Option<(Code, String)> {
        self.tls.as_ref()?.witness.finding()
    }

    /// The address and transport of the server, for sentences.
    pub(super) fn way(&self) -> String {
        let over = match (self.target.transport, &self.tls) {
            (Transport::Udp, None) => "UDP",
            (Transport::Udp, Some(_)) => "DTLS",
            (Transport::Tcp, None) => "TCP",
            (Transport::Tcp, Some(_)) => "TLS",
        };
        format!("{} over {over}", self.target.address)
    }
}
