//! The objections of clients over TLS to this server, as lines.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::{Certificates, Lack, TlsEvent};
use relay::ClientTuple;
use tracing::field::{DisplayValue, display};
use tracing::warn;

use super::thinned::Thinned;
use crate::config::Config;

/// Writes what the shards tell of TLS.
pub(crate) struct TlsReporter {
    /// Whether lines have client addresses.
    addresses: bool,
    certificates: Certificates,
    /// Refusals, by certificate and alert.
    refusals: Thinned,
    /// Clients that speak in the clear, by listener.
    plain: Thinned,
    /// Clients that have something else than this server, by what it is.
    unserved: Thinned,
}

impl TlsReporter {
    /// Lines have client addresses only if the configuration says so.
    pub(crate) fn new(config: &Config, certificates: Certificates) -> Self {
        Self {
            addresses: config.log.addresses,
            certificates,
            refusals: Thinned::new(1, HOUR),
            plain: Thinned::new(1, HOUR),
            unserved: Thinned::new(1, HOUR),
        }
    }

    /// Logs an event, unless one of its kind was logged within the hour.
    pub(crate) fn report(&self, event: TlsEvent) {
        match event {
            TlsEvent::Refused {
                client,
                name,
                alert,
            } => self.refused(client, name.as_deref(), alert),
            TlsEvent::Plain { client } => self.plain(client),
            TlsEvent::Unserved { client, lack } => self.unserved(client, lack),
        }
    }

    fn refused(&self, client: ClientTuple, asked: Option<&str>, alert: u8) {
        let certificate = self.certificate(asked);
        let kind = format!("{certificate} {alert}");
        let Some(silent) = self.refusals.may_log(&kind, Instant::now()) else {
            return;
        };
        warn!(
            certificate,
            alert,
            cause = cause(alert),
            asked,
            client = self.shown(client.client),
            silent = (silent > 0).then_some(silent),
            "certificate.refused: {}",
            meaning(alert)
        );
    }

    fn plain(&self, client: ClientTuple) {
        let listener = client.server.to_string();
        if let Some(silent) = self.plain.may_log(&listener, Instant::now()) {
            warn!(
                %listener,
                client = self.shown(client.client),
                silent = (silent > 0).then_some(silent),
                "tls.plain: a client speaks STUN in the clear to a listener for TLS, and is closed; \
                 transport = \"auto\" takes both"
            );
        }
    }

    fn unserved(&self, client: ClientTuple, lack: Lack) {
        let sentence = wanting(lack, !self.certificates.all().is_empty());
        if let Some(silent) = self.unserved.may_log(sentence, Instant::now()) {
            warn!(
                listener = %client.server,
                client = self.shown(client.client),
                silent = (silent > 0).then_some(silent),
                "tls.unserved: {sentence}"
            );
        }
    }

    /// The first name of the certificate that a client was most likely shown.
    fn certificate(&self, asked: Option<&str>) -> String {
        let all = self.certificates.all();
        let named = asked.and_then(|name| all.iter().find(|own| own.is_for(name)));
        let shown = named.or_else(|| all.first());
        let name = shown.and_then(|own| own.names.first());
        name.cloned().unwrap_or_default()
    }

    fn shown(&self, client: SocketAddr) -> Option<DisplayValue<SocketAddr>> {
        self.addresses.then(|| display(client))
    }
}

/// A sentence about a lack of this server's that clients meet.
const fn wanting(lack: Lack, has_certificate: bool) -> &'static str {
    match lack {
        Lack::Dtls => "clients come over DTLS, which is off (key `enabled` in [dtls])",
        Lack::Version => {
            "clients know no version of TLS that is taken (key `minimum-version` in [tls]; 1.2 is \
             the oldest)"
        }
        Lack::KeyType if !has_certificate => {
            "there is no certificate yet: the one that is ordered ([tls.acme]) has not come; an order \
             that failed has a line of its own"
        }
        Lack::KeyType => {
            "clients can check the signatures of no certificate here: they want another kind of \
             key, most often RSA (add such a one to [[tls.certificates]]), or know old ciphers only"
        }
    }
}

/// The alert's name. RFC 8446 §6.
const fn cause(alert: u8) -> &'static str {
    match alert {
        42 => "bad_certificate",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        _ => "other",
    }
}

/// The meaning of an alert, and the remedy.
const fn meaning(alert: u8) -> &'static str {
    match alert {
        45 => "clients say that it has expired: see its time, that of the chain, and their clocks",
        48 => {
            "clients do not know who signed it: the chain lacks a certificate (use fullchain.pem), or \
             the authority is private and they were not told to trust it"
        }
        // Chromium says this of every mistake, Firefox of a wrong name.
        _ => {
            "clients do not take it: they come by a name or address that is not in it, or do not trust \
             who signed it (`hairpin doctor` tells which)"
        }
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_before_the_certificate_is_no_client_of_old_ciphers() {
        assert!(wanting(Lack::KeyType, false).starts_with("there is no certificate yet"));
        assert!(wanting(Lack::KeyType, true).contains("RSA"));
    }
}
