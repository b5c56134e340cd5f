//! Certificate authorities for tests: a root, an intermediate, and certificates that they sign.

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use tempfile::NamedTempFile;

use crate::{
    program::{Program, here},
    world::{SERVER_V4, SERVER_V6},
};

/// A root that nobody knows yet, and the intermediate that it has signed.
pub struct Authority {
    root: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// The properties of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Its names.
    pub names: &'a [Name<'a>],
    /// The kind of its key.
    pub key: Key,
    /// The days that it is still good for; negative ones have passed since its end.
    pub days: i32,
    /// Whether the server sends the intermediate certificate.
    pub is_complete: bool,
}

/// A name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// An IP address.
    Address(IpAddr),
    /// A name of DNS.
    Host(&'a str),
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256, which all clients take.
    P256,
    /// RSA of 2,048 bits.
    Rsa,
}

/// A certificate with its chain, and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, and the intermediate's after it.
    pub chain: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// An authority of its own.
    pub fn make() -> Self {
        let root = of_authority("a root of this test");
        let root = CertifiedIssuer::self_signed(root, Key::P256.make()).expect("a certificate");
        let intermediate = of_authority("an intermediate of this test");
        let intermediate = CertifiedIssuer::signed_by(intermediate, Key::P256.make(), &root);
        Self {
            root: root.pem(),
            intermediate: intermediate.expect("a certificate"),
        }
    }

    /// The authority that the lab's clients trust, and that signs the certificates of its servers.
    pub fn lab() -> &'static Self {
        LAB.get_or_init(Self::make)
    }

    /// The same, if it has signed anything yet: most tests have no use for it.
    pub fn lab_if_any() -> Option<&'static Self> {
        LAB.get()
    }

    /// The certificate of the root, in PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root in a file, for clients that read it from one. The file goes with this value.
    pub fn root_file(&self) -> NamedTempFile {
        let file = NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), &self.root).expect("the file is ours");
        file
    }

    /// Signs a certificate of a server.
    pub fn issue(&self, wish: Wish<'_>) -> Issued {
        self.sign(wish, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Signs a certificate that a client shows a server.
    pub fn issue_for_client(&self, wish: Wish<'_>) -> Issued {
        self.sign(wish, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, wish: Wish<'_>, purpose: ExtendedKeyUsagePurpose) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a test");
        params.subject_alt_names = wish.names.iter().map(Name::entry).collect();
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        let end = if wish.days < 0 {
            now - DAY * wish.days.unsigned_abs()
        } else {
            now + DAY * wish.days.unsigned_abs()
        };
        params.not_before = (end.min(now) - DAY).into();
        params.not_after = end.into();
        let key = wish.key.make();
        let certificate = params.signed_by(&key, &self.intermediate);
        let mut chain = certificate.expect("a certificate").pem();
        if wish.is_complete {
            chain += &self.intermediate.pem();
        }
        Issued {
            chain,
            key: key.serialize_pem(),
        }
    }
}

impl Wish<'static> {
    /// A certificate that is right, for all addresses of the lab's servers and for `SERVER_NAME`.
    pub const RIGHT: Self = Self {
        names: &[
            Name::Host(SERVER_NAME),
            Name::Address(IpAddr::V4(SERVER_V4)),
            Name::Address(IpAddr::V6(SERVER_V6)),
            Name::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ],
        key: Key::P256,
        days: 90,
        is_complete: true,
    };
}

impl Name<'_> {
    fn entry(&self) -> SanType {
        match *self {
            Name::Address(ip) => SanType::IpAddress(ip),
            Name::Host(name) => SanType::DnsName(name.try_into().expect("a name of ASCII")),
        }
    }
}

impl Key {
    fn make(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            // The library signs with RSA, and makes no such keys.
            Self::Rsa => {
                let mut openssl = here("openssl");
                openssl.args(["genpkey", "-quiet", "-algorithm", "RSA"]);
                openssl.args(["-pkeyopt", "rsa_keygen_bits:2048"]);
                KeyPair::from_pem(&Program::succeed(openssl))
            }
        }
        .expect("a key")
    }
}

impl Issued {
    /// Writes both into a directory, under a name; returns the files of the chain and of the key.
    pub fn write(&self, directory: &Path, name: &str) -> [String; 2] {
        let chain = write(directory, &format!("{name}.pem"), &self.chain);
        let key = write(directory, &format!("{name}.key"), &self.key);
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the file is ours");
        [chain, key]
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Writes a file; returns its path.
fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("the directory is ours");
    path.to_str().expect("a path of ASCII").to_owned()
}

static LAB: OnceLock<Authority> = OnceLock::new();
/// The name of the lab's servers in their certificate; a test that uses it makes it known.
pub const SERVER_NAME: &str = "turn.example";
const DAY: Duration = Duration::from_secs(86_400);
