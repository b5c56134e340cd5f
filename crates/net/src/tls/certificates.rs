//! The certificates that clients are shown, which may be replaced while they are served.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::dtls;

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The names and addresses that it is for, in lower case; a name may begin with `*.`.
    pub names: Vec<String>,
    /// Chain and key as rustls has them.
    pub certified: Arc<CertifiedKey>,
    /// The key, for what does not go by rustls.
    pub key: Arc<PrivateKeyDer<'static>>,
}

impl Certificate {
    /// The chain begins with the certificate itself.
    ///
    /// # Errors
    /// If the key is of no kind that TLS knows, or belongs to another certificate.
    pub fn new(
        names: Vec<String>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &provider)?;
        Ok(Self {
            names: names.iter().map(|name| name.to_lowercase()).collect(),
            certified: Arc::new(certified),
            key: Arc::new(key),
        })
    }

    /// Whether it can be shown over DTLS, whose library takes ECDSA keys alone, of two curves.
    pub fn suits_dtls(&self) -> bool {
        dtls::takes_key(self.key.secret_der())
    }

    /// Whether it is for a name. RFC 6125 §6.4: a `*` stands for one label.
    pub fn is_for(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(own) => parent == Some(own),
            None => *own == name,
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The certificates that clients over TLS and DTLS are shown. Clones are the same certificates.
#[derive(Clone, Debug)]
pub struct Certificates {
    shown: Arc<ArcSwap<Vec<Certificate>>>,
    challenges: Arc<Challenges>,
}

impl Certificates {
    /// The first of each kind of key is for clients that name nobody, an address, or a name that no
    /// certificate is for.
    pub fn new(certificates: Vec<Certificate>) -> Self {
        Self {
            shown: Arc::new(ArcSwap::from_pointee(certificates)),
            challenges: Arc::default(),
        }
    }

    /// Shows others from now on. Sessions go on.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        self.shown.store(Arc::new(certificates));
    }

    /// All of them.
    pub fn all(&self) -> Arc<Vec<Certificate>> {
        self.shown.load_full()
    }

    /// Whether one of them is for a name.
    pub fn has(&self, name: &str) -> bool {
        self.shown.load().iter().any(|own| own.is_for(name))
    }

    /// The certificates that prove to an authority that this host has a name, by the name that the
    /// authority asks for. RFC 8737 §3.
    pub fn set_challenges(&self, challenges: HashMap<String, Arc<CertifiedKey>>) {
        self.challenges.0.store(Arc::new(challenges));
    }

    pub(crate) fn challenges(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.challenges) as Arc<dyn ResolvesServerCert>
    }

    /// Whether an authority is about to ask for a name.
    pub(crate) fn are_challenged(&self) -> bool {
        !self.challenges.0.load().is_empty()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.load();
        let takes = |own: &&Certificate| {
            let schemes = hello.signature_schemes();
            own.certified.key.choose_scheme(schemes).is_some()
        };
        let named = hello.server_name().and_then(|name| {
            let mut named = shown.iter().filter(|own| own.is_for(name));
            named.find(takes)
        });
        let one = named.or_else(|| shown.iter().find(takes))?;
        Some(Arc::clone(&one.certified))
    }
}

/// The certificates for authorities, by name.
#[derive(Default)]
struct Challenges(ArcSwap<HashMap<String, Arc<CertifiedKey>>>);

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_lowercase();
        self.0.load().get(&name).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let challenges = self.0.load();
        f.debug_set().entries(challenges.keys()).finish()
    }
}
