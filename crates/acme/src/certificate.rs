//! A certificate with its chain and key: what it is for, and whether it is what was ordered.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::CertificateIdentifier;
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::Name;

/// A certificate with its chain and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The names and addresses that it is for.
    pub names: Vec<Name>,
    /// When clients believe it.
    pub validity: Range<SystemTime>,
    /// The certificate itself, and those that lead to a root, as PEM.
    pub chain: String,
    /// The key as PEM.
    pub key: String,
    leaf: CertificateDer<'static>,
}

impl Certificate {
    /// Reads chain and key as PEM.
    ///
    /// # Errors
    /// If it is none, or chain and key do not belong together.
    pub(crate) fn read(chain: String, key: String) -> Result<Self, Unfit> {
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes());
        let certificates: Vec<_> = certificates
            .collect::<Result<_, _>>()
            .map_err(|_| Unfit::NoPem)?;
        let secret = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Unfit::NoPem)?;
        let leaf = certificates.first().ok_or(Unfit::NoPem)?.clone();
        let (_, parsed) = parse_x509_certificate(&leaf).map_err(|_| Unfit::NoCertificate)?;
        let (names, validity) = (names(&parsed)?, validity(&parsed)?);
        CertifiedKey::from_der(certificates, secret, &default_provider())
            .map_err(|_| Unfit::OtherKey)?;
        Ok(Self {
            names,
            validity,
            chain,
            key,
            leaf,
        })
    }

    /// Whether it is good for these names at this time.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn is_for(&self, names: &[Name], now: SystemTime) -> Result<(), Unfit> {
        if let Some(missing) = names.iter().find(|name| !self.names.contains(name)) {
            return Err(Unfit::Without(missing.to_string()));
        }
        if self.validity.end <= now {
            return Err(Unfit::Over);
        }
        // Clocks differ by minutes; more is a clock that was never set.
        if now + SKEW < self.validity.start {
            return Err(Unfit::NotYet);
        }
        Ok(())
    }

    /// The name by which the authority knows it. RFC 9773 §4.1. `None` if it does not say which key
    /// signed it.
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let identifier = CertificateIdentifier::try_from(&self.leaf).ok()?;
        Some(identifier.into_owned())
    }

    /// A number from 0 to 1 that is always the same for this certificate, and another for the next:
    /// the serial number is random.
    pub(crate) fn chance(&self) -> f64 {
        let digest = digest(&SHA256, &self.leaf);
        let mut first = [0; 4];
        first.copy_from_slice(&digest.as_ref()[..4]);
        f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used. The sentence follows its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Chain or key are no PEM.
    #[error("is not written as PEM")]
    NoPem,
    /// The first certificate cannot be read.
    #[error("is no certificate of X.509")]
    NoCertificate,
    /// The key belongs to another certificate, or is of a kind that TLS does not know.
    #[error("does not belong to its key")]
    OtherKey,
    /// It lacks a name.
    #[error("is not for {0}")]
    Without(String),
    /// It has expired.
    #[error("has expired")]
    Over,
    /// It holds from a time that has not come.
    #[error("is not valid yet: is the clock of this host right?")]
    NotYet,
}

fn names(leaf: &X509Certificate<'_>) -> Result<Vec<Name>, Unfit> {
    let names = leaf.subject_alternative_name();
    let Ok(Some(names)) = names else {
        return Err(Unfit::NoCertificate);
    };
    let known = names.value.general_names.iter().filter_map(|name| {
        if let GeneralName::DNSName(name) = name {
            return Some(Name::Host(name.to_ascii_lowercase()));
        }
        let GeneralName::IPAddress(octets) = name else {
            return None;
        };
        let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
        let v6 = || <[u8; 16]>::try_from(*octets).map(IpAddr::from);
        v4.or_else(|_| v6()).ok().map(Name::Address)
    });
    Ok(known.collect())
}

fn validity(leaf: &X509Certificate<'_>) -> Result<Range<SystemTime>, Unfit> {
    let point = |seconds: i64| {
        let seconds = Duration::from_secs(seconds.try_into().ok()?);
        UNIX_EPOCH.checked_add(seconds)
    };
    let validity = leaf.validity();
    let start = point(validity.not_before.timestamp());
    let end = point(validity.not_after.timestamp());
    start
        .zip(end)
        .map(|(start, end)| start..end)
        .ok_or(Unfit::NoCertificate)
}

const SKEW: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{HOUR, issued};

    #[test]
    fn a_certificate_is_read_with_its_names_and_times() {
        let (chain, key) = issued(&["turn.example.org", "2001:db8::7"], HOUR);
        let certificate = Certificate::read(chain, key).unwrap();
        let names = ["turn.example.org", "2001:db8::7"].map(|name| name.parse().unwrap());
        assert_eq!(certificate.names, names);
        let now = SystemTime::now();
        assert_eq!(certificate.is_for(&names, now), Ok(()));
        let others = ["other.example.org".parse().unwrap()];
        assert_eq!(
            certificate.is_for(&others, now),
            Err(Unfit::Without("other.example.org".to_owned()))
        );
        assert_eq!(certificate.is_for(&names, now + 2 * HOUR), Err(Unfit::Over));
        let before = certificate.validity.start - 2 * HOUR;
        assert_eq!(certificate.is_for(&names, before), Err(Unfit::NotYet));
    }

    #[test]
    fn what_is_no_certificate_is_told_apart() {
        let (chain, key) = issued(&["turn.example.org"], HOUR);
        let (_, other) = issued(&["turn.example.org"], HOUR);
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, why) in [
            ("", &key, Unfit::NoPem),
            ("<html>", &key, Unfit::NoPem),
            (junk, &key, Unfit::NoCertificate),
            (&chain, &other, Unfit::OtherKey),
            (&chain, &chain, Unfit::NoPem),
        ] {
            assert_eq!(
                Certificate::read(chain.to_owned(), key.to_owned()).unwrap_err(),
                why
            );
        }
    }

    #[test]
    fn chance_belongs_to_the_certificate() {
        let read = || {
            let (chain, key) = issued(&["turn.example.org"], HOUR);
            Certificate::read(chain, key).unwrap()
        };
        let (one, other) = (read(), read());
        assert!((0.0..=1.0).contains(&one.chance()));
        assert_eq!(one.chance().to_bits(), one.clone().chance().to_bits());
        assert_ne!(one.chance().to_bits(), other.chance().to_bits());
    }
}
