//! The offer of the targets' servers to clients over TLS and DTLS, and a client who trusts them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use net::fuzzing::Offered;
use net::{Certificate, Certificates, StreamLimits, TlsOptions, TlsVersion};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

/// The name in the certificate.
pub(crate) const NAME: &str = "turn.example.org";

/// The bounds: those of the server, but that a client may be silent for as long as a trial takes.
pub(crate) fn limits() -> StreamLimits {
    StreamLimits {
        idle: Duration::from_secs(3_600),
        ..StreamLimits::default()
    }
}

static LEAF: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a name");
    (made.cert.der().clone(), made.signing_key.serialize_der())
});

/// One certificate, both versions of TLS, and DTLS.
pub(crate) static OFFERED: LazyLock<Offered> = LazyLock::new(|| {
    let (leaf, key) = &*LEAF;
    let key = PrivateKeyDer::try_from(key.clone()).expect("a key that was just made");
    let names = vec![NAME.to_owned()];
    let certificate = Certificate::new(names, vec![leaf.clone()], key).expect("a pair");
    let tls = TlsOptions {
        certificates: Certificates::new(vec![certificate]),
        minimum: TlsVersion::V1_2,
        dtls: true,
        tickets: rustls::crypto::ring::Ticketer::new().expect("random bytes"),
        tell: Arc::new(|_| ()),
    };
    Offered::new(tls, limits()).expect("it is offered in every test")
});

/// Clients of TLS 1.2 and 1.3, each of which remembers its sessions.
pub(crate) static CLIENTS: LazyLock<[Arc<ClientConfig>; 2]> = LazyLock::new(|| {
    [&TLS12, &TLS13].map(|version| {
        let mut roots = RootCertStore::empty();
        roots.add(LEAF.0.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("the provider has both");
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    })
});
