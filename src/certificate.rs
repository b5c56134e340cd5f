//! A certificate for TLS, with its chain and its key: read from PEM, and judged as browsers will
//! judge it, so that a mistake is told when the files are read and not by a call that fails.

mod chain;
mod flaw;
mod pem;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpd::Authorities;
use probe::UriHost;
use rustls::{Error, InconsistentKeys};

pub(crate) use flaw::Flaw;

/// The authorities in a file of PEM, of which one has signed the certificate of every client.
///
/// # Errors
/// The flaw, in words that follow the name of the file.
pub(crate) fn authorities(text: &[u8]) -> Result<Authorities, String> {
    let certificates = pem::chain(text).map_err(|flaw| flaw.to_string())?;
    Authorities::new(certificates).map_err(|why| why.to_string())
}

/// A certificate, its chain and its key.
#[derive(Clone)]
pub(crate) struct Certificate {
    shown: net::Certificate,
    names: Vec<Name>,
    algorithm: Algorithm,
    /// Whether nobody but itself has signed it.
    is_self_signed: bool,
    /// When the first of the chain begins or ends, since the Unix epoch.
    begins: Duration,
    ends: Duration,
}

/// A name that clients may have for the server. RFC 5280 §4.2.1.6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// A name of DNS in lower case, whose first label may be `*`.
    Host(String),
    /// An IP address.
    Address(IpAddr),
}

/// The algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rsa,
    Ecdsa,
}

/// The time of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// It begins after this.
    Early(Duration),
    /// It ends after this.
    Good(Duration),
    /// It ended so long ago.
    Expired(Duration),
}

impl Certificate {
    /// The certificate in `chain` with those of its issuers, and the key in `key`. Both may be one
    /// file.
    ///
    /// # Errors
    /// If clients would not take it, whatever the time is.
    pub(crate) fn read(chain: &[u8], key: &[u8]) -> Result<Self, Flaw> {
        let chain = pem::chain(chain)?;
        let key = pem::key(key)?;
        let leaf = chain::examine(&chain)?;
        let names = leaf.names.iter().map(Name::to_string).collect();
        let shown = net::Certificate::new(names, chain, key).map_err(|why| {
            if why == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                Flaw::OtherKey
            } else {
                Flaw::UnusableKey(why.to_string())
            }
        })?;
        Ok(Self {
            shown,
            names: leaf.names,
            algorithm: leaf.algorithm,
            is_self_signed: leaf.is_self_signed,
            begins: leaf.begins,
            ends: leaf.ends,
        })
    }

    /// The certificate as clients are shown it.
    pub(crate) fn shown(&self) -> net::Certificate {
        self.shown.clone()
    }

    /// Its public key as SubjectPublicKeyInfo. RFC 5280 §4.1.2.7.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = self.shown.certified.key.public_key();
        key.map(|key| key.to_vec()).unwrap_or_default()
    }

    /// The names that clients may have for the server. Never empty.
    pub(crate) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Whether a client that comes by this name finds it here.
    pub(crate) fn is_for(&self, host: &UriHost) -> bool {
        self.names.iter().any(|name| match (name, host) {
            (Name::Address(own), UriHost::Address(ip)) => own == ip,
            (Name::Host(own), UriHost::Name(name)) => {
                let (own, name) = (own.as_str(), name.to_ascii_lowercase());
                let below = name.split_once('.').map(|(_, parent)| parent);
                own == name || own.strip_prefix("*.").is_some_and(|own| below == Some(own))
            }
            (Name::Address(_), UriHost::Name(_)) | (Name::Host(_), UriHost::Address(_)) => false,
        })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether nobody but itself has signed it.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.is_self_signed
    }

    /// Its time as it is now.
    pub(crate) fn validity(&self, now: SystemTime) -> Validity {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if now < self.begins {
            Validity::Early(self.begins - now)
        } else if now < self.ends {
            Validity::Good(self.ends - now)
        } else {
            Validity::Expired(now - self.ends)
        }
    }

    /// When it begins.
    pub(crate) fn begins(&self) -> SystemTime {
        UNIX_EPOCH + self.begins
    }

    /// Its last second.
    pub(crate) fn last_second(&self) -> SystemTime {
        UNIX_EPOCH + self.ends.saturating_sub(Duration::from_secs(1))
    }

    /// The names in words: all, unless they are very many.
    pub(crate) fn listed_names(&self) -> String {
        let shown = self.names.iter().take(MOST_LISTED);
        let mut names: Vec<String> = shown.map(Name::to_string).collect();
        if let Some(more) = self.names.len().checked_sub(MOST_LISTED)
            && more > 0
        {
            names.push(format!("{more} more"));
        }
        names.join(", ")
    }
}

/// The same chain has the same key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.shown.certified.cert == other.shown.certified.cert
    }
}

impl Eq for Certificate {}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("algorithm", &self.algorithm)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// The first name and the algorithm, which tell it from the others of a server.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.names.first() {
            write!(f, "{first} ")?;
        }
        f.write_str(self.algorithm.name())
    }
}

impl Algorithm {
    /// The name that people use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// Authorities put up to a hundred names into one certificate.
const MOST_LISTED: usize = 10;
