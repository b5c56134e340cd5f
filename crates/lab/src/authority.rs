//! A certificate authority for one test: a root, an intermediate, and certificates that they sign.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;

/// The authority and the files it wrote.
pub struct Authority {
    intermediate: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

/// The properties of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The only name.
    pub name: Name,
    /// Whether its time is over.
    pub is_expired: bool,
    /// Whether the server sends the intermediate certificate.
    pub is_complete: bool,
}

/// The name in a certificate.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// An IP address.
    Address(IpAddr),
    /// A name of DNS.
    Host(&'static str),
}

impl Authority {
    /// An authority that nobody knows yet.
    pub fn make() -> Self {
        let root = CertifiedIssuer::self_signed(of_authority("a root of this test"), key())
            .expect("a certificate");
        let params = of_authority("an intermediate of this test");
        let intermediate = CertifiedIssuer::signed_by(params, key(), &root).expect("a certificate");
        let files = TempDir::new().expect("a temporary directory");
        fs::write(files.path().join("root.pem"), root.pem()).expect("the directory is ours");
        Self {
            intermediate,
            files,
        }
    }

    /// The file of the root, for `--ca`.
    pub fn root(&self) -> String {
        self.file("root.pem")
    }

    /// Signs a certificate; returns the files of the chain and of its key.
    pub fn issue(&self, wish: Wish) -> (String, String) {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "a server");
        params.subject_alt_names = vec![match wish.name {
            Name::Address(ip) => SanType::IpAddress(ip),
            Name::Host(name) => SanType::DnsName(name.try_into().expect("a name of ASCII")),
        }];
        if wish.is_expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = key();
        let certificate = params
            .signed_by(&key, &self.intermediate)
            .expect("a certificate");
        let mut chain = certificate.pem();
        if wish.is_complete {
            chain += &self.intermediate.pem();
        }
        let (chain_file, key_file) = (self.file("chain.pem"), self.file("key.pem"));
        fs::write(&chain_file, chain).expect("the directory is ours");
        fs::write(&key_file, key.serialize_pem()).expect("the directory is ours");
        (chain_file, key_file)
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.files.path().join(name);
        path.to_str().expect("a path of ASCII").to_owned()
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// ECDSA on P-256, which all servers take.
fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
