//! Certificates and wishes for the tests of this crate.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::store::{Held, Renewal};
use crate::{Certificate, Wanted};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A certificate for these names that holds from now for so long, and its key, as PEM.
pub(crate) fn issued(names: &[&str], lifetime: Duration) -> (String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + lifetime).into();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The same as it is held.
pub(crate) fn held(names: &[&str], lifetime: Duration) -> Held {
    let (chain, key) = issued(names, lifetime);
    Held {
        certificate: Certificate::read(chain, key).unwrap(),
        ordered: wanted(names).ordered(),
        renewal: Renewal::default(),
    }
}

pub(crate) fn wanted(names: &[&str]) -> Wanted {
    Wanted {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        directory: "https://acme.example/directory".to_owned(),
        roots: Vec::new(),
        contact: Vec::new(),
        profile: None,
        external_account: None,
        http_01: None,
    }
}
