//! `--dev`: TLS without a certificate of one's own. The server makes one, and says how a browser for
//! tests comes to trust it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use relay::{RelayAddress, Transport};
use ring::digest::{SHA256, digest};
use tracing::{debug, info};

use super::state;
use crate::certificate::{Certificate, Name, Validity};
use crate::config::{Config, Listener, Machine};

/// A certificate that was made here.
pub(super) struct Made {
    pub(super) certificate: Certificate,
    /// The digest by which Chromium is told to take it: base64 of SHA-256 of its public key.
    spki: String,
    /// The file of the root that has signed it, if there is a place for one.
    root: Option<PathBuf>,
}

/// Why none was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    /// The library has its reasons.
    #[error(transparent)]
    Library(#[from] rcgen::Error),
    /// The outcome is not good.
    #[error("it {0}")]
    Flaw(#[from] crate::certificate::Flaw),
}

/// Adds a listener for TLS at the usual port to the listeners that there are without any written.
pub(super) fn listen(config: &mut Config, host: &Machine) {
    if config.listeners != Listener::defaults(host) {
        return;
    }
    let mut secure = config.listeners.clone();
    secure.retain(|listener| listener.transports.has(Transport::Tcp));
    for listener in &mut secure {
        listener.transports = Transport::Tls.into();
        listener.listen.set_port(TLS_PORT);
    }
    config.listeners.extend(secure);
}

/// The certificate for this host, made anew unless the one of the last run is still good: a browser
/// that was told to trust it once does so after a restart.
pub(super) fn certificate(
    config: &Config,
    host: &Machine,
    directory: Option<&Path>,
) -> Result<Made, NotMade> {
    let names = names(config, host);
    let files = directory.map(|directory| (directory.join(WHOLE), directory.join(ROOT)));
    if let Some((whole, root)) = &files
        && let Some(kept) = kept(whole, &names)
    {
        let root = root.exists().then(|| root.clone());
        return Ok(Made::of(kept, root));
    }
    let Pem { whole, root } = make(&names)?;
    let certificate = Certificate::read(whole.as_bytes(), whole.as_bytes())?;
    let kept = files.and_then(|(whole_file, root_file)| {
        let write = || -> io::Result<()> {
            state::replace(&whole_file, whole.as_bytes())?;
            state::replace(&root_file, root.as_bytes())
        };
        // Without a place it lives as long as the process.
        write().ok().map(|()| root_file)
    });
    Ok(Made::of(certificate, kept))
}

impl Made {
    fn of(certificate: Certificate, root: Option<PathBuf>) -> Self {
        let digest = digest(&SHA256, &certificate.public_key());
        Self {
            spki: STANDARD.encode(digest),
            certificate,
            root,
        }
    }

    /// Logs how browsers for tests trust it, where that is wanted; otherwise that it is there.
    pub(super) fn say(&self, is_for_tests: bool) {
        if !is_for_tests {
            debug!(names = self.certificate.listed_names(), "certificate.made");
            return;
        }
        info!(
            names = self.certificate.listed_names(),
            spki = self.spki,
            root = self
                .root
                .as_ref()
                .map(|root| tracing::field::display(root.display())),
            "certificate.made: no client trusts it by itself. Chromium for tests does with \
             --ignore-certificate-errors-spki-list and this `spki` (beside --user-data-dir), Firefox in a \
             profile that has the file `root` imported as an authority"
        );
    }
}

/// The way of a browser for tests to trust it, for the person who started the server.
impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spki, root, .. } = self;
        writeln!(
            f,
            "TLS has a certificate that was made here, for tests only. Chromium takes it with\n  \
             chromium --user-data-dir=/tmp/turn --ignore-certificate-errors-spki-list={spki}"
        )?;
        if let Some(root) = root {
            writeln!(
                f,
                "Firefox takes it in a profile for tests that has {} imported (Settings, Certificates, \
                 Authorities: for websites), and under a name only: turns:localhost:{TLS_PORT}.",
                root.display()
            )?;
        }
        Ok(())
    }
}

/// The names that clients for tests may have for this host.
fn names(config: &Config, host: &Machine) -> Vec<Name> {
    let mut names = vec![Name::Host("localhost".to_owned())];
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    if host.name.chars().all(is_bare) {
        names.push(Name::Host(host.name.to_ascii_lowercase()));
    }
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let relays = config.relay.addresses.iter();
    let relays = relays.flat_map(|&RelayAddress { local, external }| [local, external]);
    let listeners = config.listeners.iter().map(|listener| listener.listen);
    let listeners = listeners.map(|listen: SocketAddr| listen.ip());
    for ip in loopback.into_iter().chain(relays).chain(listeners) {
        let name = Name::Address(ip);
        if !ip.is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The certificate of the last run, if it is good for these names and for some time.
fn kept(path: &Path, names: &[Name]) -> Option<Certificate> {
    let text = std::fs::read(path).ok()?;
    let kept = Certificate::read(&text, &text).ok()?;
    let is_lasting =
        matches!(kept.validity(SystemTime::now()), Validity::Good(left) if left > MONTH);
    let has_all = names.iter().all(|name| kept.names().contains(name));
    (is_lasting && has_all).then_some(kept)
}

/// The texts of the files.
struct Pem {
    /// Certificate, root and key.
    whole: String,
    root: String,
}

/// A root that signs this one certificate and whose key is then gone: whoever trusts it trusts
/// nothing else by that.
fn make(names: &[Name]) -> Result<Pem, rcgen::Error> {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    let common = "Hairpin, for tests on one machine";
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = ((now - DAY).into(), (now + YEAR).into());
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "hairpin --dev");
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Host(name) => SanType::DnsName(name.as_str().try_into()?),
            Name::Address(ip) => SanType::IpAddress(*ip),
        });
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = ((now - DAY).into(), (now + YEAR).into());
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &root)?;
    let whole = [certificate.pem(), root.pem(), key.serialize_pem()].concat();
    Ok(Pem {
        whole,
        root: root.pem(),
    })
}

/// The port of TURN over TLS. RFC 8656 §18.
const TLS_PORT: u16 = 5349;
/// Certificate, root and key.
const WHOLE: &str = "dev.pem";
/// For browsers to import.
const ROOT: &str = "dev-root.pem";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(host: &Machine) -> Config {
        let mut config = Config::defaults(host);
        listen(&mut config, host);
        config
    }

    fn host() -> Machine {
        Machine {
            name: "Laptop".to_owned(),
            has_ipv6: true,
            routed: vec!["192.0.2.7".parse().unwrap()],
            ..Machine::anywhere()
        }
    }

    #[test]
    fn the_listeners_that_nobody_wrote_get_tls_beside_them() {
        let config = configuration(&host());
        let secure = config.listeners.iter().filter(|it| it.is_secure());
        let at: Vec<String> = secure.map(|it| it.listen.to_string()).collect();
        assert_eq!(at, ["0.0.0.0:5349", "[::]:5349"]);
        let mut again = config.clone();
        listen(&mut again, &host());
        assert_eq!(again, config);
    }

    #[test]
    fn the_certificate_is_for_this_host_and_the_same_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let (host, place) = (host(), Some(home.path()));
        let config = configuration(&host);
        let first = certificate(&config, &host, place).unwrap();
        assert_eq!(
            first.certificate.listed_names(),
            "localhost, laptop, 127.0.0.1, ::1, 192.0.2.7"
        );
        assert!(first.root.as_ref().is_some_and(|root| root.exists()));
        let second = certificate(&config, &host, place).unwrap();
        assert_eq!(first.spki, second.spki);
        // Another address is another name, which a certificate for all needs.
        let moved = Machine {
            routed: vec!["192.0.2.8".parse().unwrap()],
            ..host
        };
        let third = certificate(&configuration(&moved), &moved, place).unwrap();
        assert_ne!(first.spki, third.spki);
    }

    #[test]
    fn without_a_place_it_is_made_all_the_same() {
        let host = host();
        let made = certificate(&configuration(&host), &host, None).unwrap();
        assert!(made.root.is_none());
        assert!(made.to_string().contains(&made.spki));
    }
}
