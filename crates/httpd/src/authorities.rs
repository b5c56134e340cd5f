//! The authorities of clients: whoever connects shows a certificate that one of them has signed.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

/// The authorities of which one has signed the certificate of every client.
#[derive(Clone)]
pub struct Authorities {
    certificates: Arc<[CertificateDer<'static>]>,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

/// Why certificates are none of authorities. The sentence follows the name of their file.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthority {
    /// One of them is nothing that could have signed.
    #[error("whose certificate number {place} cannot be read: {source}")]
    Unreadable {
        /// Which one, from 1.
        place: usize,
        /// The objection to it.
        source: rustls::Error,
    },
    /// They are no list to trust.
    #[error("whose certificates cannot be used: {0}")]
    Unusable(VerifierBuilderError),
}

impl Authorities {
    /// Those with these certificates.
    ///
    /// # Errors
    /// If there is none, or one of them cannot be read.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, NoAuthority> {
        let mut roots = RootCertStore::empty();
        for (place, certificate) in (1..).zip(&certificates) {
            let added = roots.add(certificate.clone());
            added.map_err(|source| NoAuthority::Unreadable { place, source })?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            certificates: certificates.into(),
            verifier: verifier.build().map_err(NoAuthority::Unusable)?,
        })
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("count", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_and_no_certificate_at_all_are_no_authorities() {
        let broken = vec![CertificateDer::from(vec![0x30, 0])];
        let told = Authorities::new(broken).unwrap_err().to_string();
        assert!(
            told.starts_with("whose certificate number 1 cannot be read: "),
            "{told}"
        );
        let told = Authorities::new(Vec::new()).unwrap_err().to_string();
        assert!(
            told.starts_with("whose certificates cannot be used: "),
            "{told}"
        );
    }
}
