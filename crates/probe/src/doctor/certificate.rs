//! A browser's judgement of a server's certificate.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Code;

/// Notes the verdict of the usual verifier, and accepts the connection in any case, so that the
/// rest can be examined too.
#[derive(Debug)]
pub(super) struct Witness {
    usual: Arc<WebPkiServerVerifier>,
    /// Whether its roots are those of --ca.
    are_given: bool,
    seen: Mutex<Option<Seen>>,
}

/// A chain and the verdict on it.
#[derive(Clone, Debug)]
struct Seen {
    /// The server's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// Whether the chain is all that the server sent.
    is_whole: bool,
    verdict: Result<(), Error>,
    /// Whether it was judged by the roots of --ca.
    are_given: bool,
    /// The name that clients ask for.
    asked: String,
    at: UnixTime,
}

impl Witness {
    pub(super) fn new(usual: Arc<WebPkiServerVerifier>, are_given: bool) -> Self {
        Self {
            usual,
            are_given,
            seen: Mutex::new(None),
        }
    }

    /// The finding about the last certificate, as code and sentence.
    pub(super) fn finding(&self) -> Option<(Code, String)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().map(Seen::finding)
    }

    /// Notes a finding where only the server's own certificate is known, as over DTLS: whether its
    /// name and time are right.
    pub(super) fn see_leaf(&self, leaf: &[u8], name: &ServerName<'_>) {
        let leaf = CertificateDer::from(leaf);
        let now = UnixTime::now();
        let mut verdict = self.usual.verify_server_cert(&leaf, &[], name, &[], now);
        if let Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) = verdict
            && !is_self_signed(&leaf)
        {
            verdict = ParsedCertificate::try_from(&leaf)
                .and_then(|parsed| verify_server_name(&parsed, name))
                .map(|()| ServerCertVerified::assertion());
        }
        self.note(Seen {
            chain: vec![leaf.into_owned()],
            is_whole: false,
            verdict: verdict.map(drop),
            are_given: self.are_given,
            asked: name.to_str().into_owned(),
            at: now,
        });
    }

    fn note(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .usual
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        let chain = std::iter::once(end_entity).chain(intermediates);
        let seen = Seen {
            chain: chain
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            is_whole: true,
            verdict: verdict.map(drop),
            are_given: self.are_given,
            asked: name.to_str().into_owned(),
            at: now,
        };
        self.note(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

impl Seen {
    fn finding(&self) -> (Code, String) {
        match &self.verdict {
            Ok(()) => self.good(),
            Err(Error::InvalidCertificate(why)) => self.bad(why),
            Err(why) => unusable(why),
        }
    }

    fn good(&self) -> (Code, String) {
        let judged = match self.is_whole {
            true => "trusted",
            false => "for this name (its chain shows over TLS only)",
        };
        let sentence = format!("the certificate is {judged}");
        let Some(days) = self.days_left() else {
            return (Code::CertificateGood, sentence);
        };
        let sentence = format!("{sentence} and expires in {days} days");
        if days < SOON {
            (Code::CertificateEndsSoon, sentence)
        } else {
            (Code::CertificateGood, sentence)
        }
    }

    fn bad(&self, why: &CertificateError) -> (Code, String) {
        // The library may add kinds of errors; those without a name here are reported in its words.
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is the library's, and open"
        )]
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => self.expired(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let sentence = "the certificate's time has not begun by this host's clock";
                (Code::CertificateTooEarly, sentence.to_owned())
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let (names, asked) = (self.names(), &self.asked);
                (
                    Code::NameMismatch,
                    format!("the certificate is for {names}, and clients ask for {asked}"),
                )
            }
            CertificateError::UnknownIssuer => self.unknown_issuer(),
            // Certificates made by `openssl req -x509` also claim to be authorities, and that is
            // the library's complaint.
            _ if self.chain.first().is_some_and(is_self_signed) => self.unknown_issuer(),
            other => unusable(other),
        }
    }

    /// The finding that no trusted authority issued the chain.
    fn unknown_issuer(&self) -> (Code, String) {
        let last = self.chain.last().map(|last| parse_x509_certificate(last));
        let Some(Ok((_, last))) = last else {
            return unusable("it cannot be read");
        };
        let (subject, issuer) = (last.subject(), last.issuer());
        if subject == issuer && self.chain.len() == 1 {
            if self.are_given && last.is_ca() {
                return unusable(format!(
                    "it is one of an authority ({subject:.200}), which many clients refuse from a server \
                     even if they trust it (--ca). Make one with basicConstraints=CA:FALSE"
                ));
            }
            let sentence = format!("the certificate is self-signed ({subject:.200})");
            return (Code::SelfSigned, sentence);
        }
        let chain = match self.chain.len() {
            1 => "one certificate, which ends".to_owned(),
            several => format!("{several} certificates, which end"),
        };
        let sentence = format!("the server sends {chain} at \"{issuer}\", no trusted root");
        (Code::ChainIncomplete, sentence)
    }

    /// The finding about an expired certificate, which may be another one of the chain.
    fn expired(&self) -> (Code, String) {
        let days: Vec<_> = self
            .chain
            .iter()
            .map(|it| self.days_until_end_of(it))
            .collect();
        let which = days
            .iter()
            .position(|days| days.is_some_and(|days| days < 0));
        let days = which.and_then(|which| days[which]).unwrap_or_default();
        let which = match which {
            None | Some(0) => "the certificate".to_owned(),
            Some(number) => format!("intermediate certificate {number}"),
        };
        let sentence = format!("{which} expired {} days ago", days.unsigned_abs());
        (Code::CertificateExpired, sentence)
    }

    fn days_left(&self) -> Option<i64> {
        self.days_until_end_of(self.chain.first()?)
    }

    fn days_until_end_of(&self, certificate: &CertificateDer<'_>) -> Option<i64> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let end = certificate.validity().not_after.timestamp();
        let now = i64::try_from(self.at.as_secs()).ok()?;
        Some((end - now).div_euclid(DAY))
    }

    fn names(&self) -> String {
        let names = self.chain.first().and_then(|first| {
            let (_, certificate) = parse_x509_certificate(first).ok()?;
            let names = certificate.subject_alternative_name().ok()??;
            let names = names.value.general_names.iter();
            Some(names.map(plain).collect::<Vec<_>>().join(", "))
        });
        names.unwrap_or_else(|| "no name at all".to_owned())
    }
}

fn unusable(why: impl Display) -> (Code, String) {
    let sentence = format!("the certificate cannot be used: {why}");
    (Code::CertificateRefused, sentence)
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(certificate)
        .is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// A name as people write it.
fn plain(name: &GeneralName<'_>) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is the library's, and these two are what servers are named by"
    )]
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).map(IpAddr::from),
            _ => <[u8; 16]>::try_from(*octets).map(IpAddr::from),
        }
        .map_or_else(|_| name.to_string(), |ip| ip.to_string()),
        other => other.to_string(),
    }
}

/// In seconds.
const DAY: i64 = 86_400;

/// In days: programs that renew certificates do so much earlier.
const SOON: i64 = 14;

#[cfg(test)]
mod tests;
