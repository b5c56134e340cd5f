//! The proofs that this host has a name, for as long as an authority looks for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SanType};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::{Failure, Name};

/// The certificates of TLS-ALPN-01, by the server name that an authority asks for.
pub(crate) type Shown = HashMap<String, Arc<CertifiedKey>>;

/// The proofs of one order. They vanish with this value.
pub(crate) struct Challenges {
    show: Arc<dyn Fn(Shown) + Send + Sync>,
    shown: Shown,
    tokens: Tokens,
}

/// Answers of HTTP-01 by token, for those who serve them. RFC 8555 §8.3.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<String, String>>>);

impl Challenges {
    pub(crate) fn new(show: Arc<dyn Fn(Shown) + Send + Sync>) -> Self {
        Self {
            show,
            shown: Shown::new(),
            tokens: Tokens::default(),
        }
    }

    /// Shows a certificate that proves this host to have the name. RFC 8737 §3.
    pub(crate) fn prove_by_tls(&mut self, name: &Name, digest: &[u8]) -> Result<(), Failure> {
        let certificate = certificate(name, digest)
            .map_err(|why| Failure::unheard(format!("no certificate for TLS-ALPN-01: {why}")))?;
        self.shown.insert(name.server_name(), certificate);
        (self.show)(self.shown.clone());
        Ok(())
    }

    /// Has a token answered.
    pub(crate) fn prove_by_http(&self, token: String, answer: String) {
        self.tokens.lock(|tokens| tokens.insert(token, answer));
    }

    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }
}

impl Drop for Challenges {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            (self.show)(Shown::new());
        }
        self.tokens.lock(HashMap::clear);
    }
}

impl Tokens {
    pub(crate) fn answer(&self, token: &str) -> Option<String> {
        self.lock(|tokens| tokens.get(token).cloned())
    }

    fn lock<T>(&self, with: impl FnOnce(&mut HashMap<String, String>) -> T) -> T {
        // Nothing panics under it.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.shown.keys().collect();
        f.debug_struct("Challenges")
            .field("shown", &names)
            .finish_non_exhaustive()
    }
}

/// A certificate that nobody but the authority is shown: self-signed, for this name alone, with the
/// digest of the key authorization.
fn certificate(name: &Name, digest: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    if digest.len() != DIGEST {
        return Err("the digest is none of SHA-256".to_owned());
    }
    let words = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![match name {
        Name::Host(name) => SanType::DnsName(name.as_str().try_into().map_err(words)?),
        Name::Address(ip) => SanType::IpAddress(*ip),
    }];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(words)?;
    let certificate = params.self_signed(&key).map_err(words)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let chain = vec![certificate.der().clone()];
    let key = any_ecdsa_type(&key.into()).map_err(|error| error.to_string())?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Bytes of SHA-256.
const DIGEST: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use x509_parser::extensions::GeneralName;
    use x509_parser::oid_registry::Oid;
    use x509_parser::parse_x509_certificate;

    use super::*;

    #[test]
    fn the_proof_has_one_name_and_the_digest_in_a_critical_extension() {
        let ip: IpAddr = "203.0.113.7".parse().unwrap();
        for name in [Name::Host("turn.example.org".to_owned()), Name::Address(ip)] {
            let proof = certificate(&name, &[7; 32]).unwrap();
            let (_, parsed) = parse_x509_certificate(&proof.cert[0]).unwrap();
            let names = parsed.subject_alternative_name().unwrap().unwrap();
            let expected = match &name {
                Name::Host(name) => GeneralName::DNSName(name),
                Name::Address(_) => GeneralName::IPAddress(&[203, 0, 113, 7]),
            };
            assert_eq!(names.value.general_names, [expected]);
            // id-pe-acmeIdentifier, an OCTET STRING of 32 bytes. RFC 8737 §3.
            let oid = Oid::from(&[1, 3, 6, 1, 5, 5, 7, 1, 31]).unwrap();
            let extension = parsed.get_extension_unique(&oid).unwrap().unwrap();
            assert!(extension.critical);
            assert_eq!(extension.value, [&[0x04, 0x20][..], &[7; 32]].concat());
        }
        certificate(&Name::Address(ip), &[7; 31]).unwrap_err();
    }

    #[test]
    fn proofs_vanish_with_their_order() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let show = {
            let shown = Arc::clone(&shown);
            move |proofs: Shown| {
                let mut names: Vec<_> = proofs.into_keys().collect();
                names.sort();
                shown.lock().unwrap().push(names);
            }
        };
        let mut challenges = Challenges::new(Arc::new(show));
        let tokens = challenges.tokens();
        challenges.prove_by_http("token".to_owned(), "answer".to_owned());
        assert_eq!(tokens.answer("token").as_deref(), Some("answer"));
        assert_eq!(tokens.answer("other"), None);
        for name in ["turn.example.org", "203.0.113.7"] {
            challenges
                .prove_by_tls(&name.parse().unwrap(), &[7; 32])
                .unwrap();
        }
        drop(challenges);
        assert_eq!(tokens.answer("token"), None);
        let (host, address) = ("turn.example.org", "7.113.0.203.in-addr.arpa");
        assert_eq!(
            *shown.lock().unwrap(),
            [vec![host], vec![address, host], vec![]]
        );
    }
}
