//! The meaning of files, the remarks about them, and that both agree with `turnserver.toml`.

mod acme;
mod addresses;
mod admin;
mod advertise;
mod clients;
mod dtls;
mod environment;
mod faults;
mod http;
mod instead;
mod metrics;
mod nat_discovery;
mod oauth;
mod realms;
mod redirects;
mod secrets;
mod shipped;
mod signal;
mod tls;
mod usage;
mod users_file;
mod values;
mod web;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::access::Access;
use super::environment::Environment;
use super::machine::Machine;
use super::{Config, Unusable, read};

/// One remark as the operator sees it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// "error: …" or "warning: …".
    sentence: String,
    /// File, line and column.
    place: String,
    /// The text underlined.
    underlined: String,
    help: Option<String>,
}

/// A host with two addresses of each family.
fn host() -> Machine {
    Machine {
        name: "host.example.org".to_owned(),
        cores: 4,
        has_ipv6: true,
        routed: addresses(&["10.0.0.5", "2001:db8::5"]),
        addresses: addresses(HERE),
        networks: Vec::new(),
        gateways: vec![],
        bind: |ip| {
            if ip.is_unspecified() || addresses(HERE).contains(&ip) {
                Ok(())
            } else {
                Err(io::ErrorKind::AddrNotAvailable.into())
            }
        },
        read_secret,
        access: |path| Access {
            is_public: path.ends_with("public"),
            is_shut: path.ends_with("shut"),
        },
        environment: Environment::default(),
        is_for_trying: false,
        generates_secrets: false,
        certificates: Vec::new(),
    }
}

const HERE: &[&str] = &[
    "127.0.0.1",
    "10.0.0.5",
    "10.0.0.6",
    "2001:db8::5",
    "2001:db8::6",
];

/// The files of that host.
fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let text = match path.to_str() {
        Some("/etc/hairpin/secret") => "Zm9yIG9uZSBmaWxlIG9ubHkK",
        Some("/var/lib/hairpin/secret") => "Z2VuZXJhdGVkIGF0IHRoZSBzdGFydA==",
        Some("/etc/hairpin/public" | "/etc/hairpin/shut") => "Zm9yIGFueW9uZSB0byByZWFk",
        Some("/run/credentials/turn") => "Zm9yIHRoaXMgc2VydmljZQo=",
        Some("/etc/hairpin/north.key" | "/etc/hairpin/eab.key") => {
            "8F1oQO0gkNXyzTqVvrw+bzgjQ9y3yKDmJwN3Dpvq5Hs="
        }
        Some("/etc/hairpin/web.token") => "d2hvIGFza3MgZm9yIGNyZWRlbnRpYWxzCg==",
        Some("/etc/hairpin/webhook.secret") => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        Some("/etc/hairpin/nonce.secret") => "bm9uY2VzIG9mIGFsbCBub2Rlcwo=",
        Some("/etc/hairpin/sixteen") => "c2l4dGVlbiBieXRlcyE/IQ==",
        Some("/etc/hairpin/short") => "correct horse b",
        Some("/etc/hairpin/weak") => "changeme",
        Some("/etc/hairpin/users.toml") => "carol = \"tweedledum and tweedledee\"\n",
        Some("/etc/hairpin/users-of-example.net.toml") => "dave = \"jabberwocky\"\n",
        // The name is the text, with semicolons for line ends.
        Some(name) if name.starts_with("/etc/hairpin/inline:") => {
            let text = name["/etc/hairpin/inline:".len()..].replace(';', "\n");
            return Ok(text.into());
        }
        Some("/etc/hairpin/fullchain.pem" | "/etc/hairpin/root.pem") => {
            return Ok(tls::FILES[0].clone().into_bytes());
        }
        Some("/etc/hairpin/privkey.pem") => return Ok(tls::FILES[1].clone().into_bytes()),
        Some("/etc/hairpin/forbidden") => return Err(io::ErrorKind::PermissionDenied.into()),
        Some("/etc/hairpin/blank") => " \n",
        Some("/etc/hairpin/binary") => return Ok(vec![0xFF]),
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(text.into())
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn path() -> &'static Path {
    Path::new("/etc/hairpin/turnserver.toml")
}

/// The configuration of a file about which there is nothing to say.
fn config(text: &str) -> Config {
    let loaded = read(text, path(), &host()).unwrap();
    assert_eq!(told(&loaded.remarks.to_string()), []);
    loaded.config
}

/// The remarks about a file that is refused.
fn refused(text: &str) -> Vec<Told> {
    match read(text, path(), &host()) {
        Err(Unusable::Faulty(remarks, _)) => told(&remarks.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The remarks about a file that is accepted.
fn warned(text: &str) -> Vec<Told> {
    told(&read(text, path(), &host()).unwrap().remarks.to_string())
}

/// The only thing said about a file that is refused.
fn fault(text: &str) -> Told {
    let mut told = refused(text);
    assert_eq!(told.len(), 1, "{told:#?}");
    told.remove(0)
}

/// Reads a report back: what counts is what the operator sees. The addresses in tests are private
/// and of documents; only the tests of the cautions about these ask for all.
fn told(report: &str) -> Vec<Told> {
    let of_addresses = [
        "which only its own network reaches",
        "an example of documents",
    ];
    let is_other = |told: &Told| !of_addresses.iter().any(|it| told.sentence.contains(it));
    all_told(report).into_iter().filter(is_other).collect()
}

fn all_told(report: &str) -> Vec<Told> {
    let remarks = report.trim_end().split("\n\n");
    let said = remarks.filter(|remark| !remark.is_empty());
    said.map(remark).collect()
}

fn remark(block: &str) -> Told {
    let mut lines = block.lines();
    let sentence = lines.next().unwrap().to_owned();
    let rest: Vec<&str> = lines.collect();
    let place = rest
        .iter()
        .find_map(|line| line.trim().strip_prefix("--> "));
    let place = place
        .unwrap_or_default()
        .trim_start_matches("/etc/hairpin/");
    let place = place.to_owned();
    let help = rest
        .iter()
        .find_map(|line| line.trim().strip_prefix("= help: "))
        .map(str::to_owned);
    let Some(carets) = rest.iter().position(|line| line.contains('^')) else {
        return Told {
            sentence,
            place,
            underlined: String::new(),
            help,
        };
    };
    let marked = rest[carets]
        .char_indices()
        .filter(|(_, letter)| *letter == '^');
    let columns: Vec<usize> = marked.map(|(column, _)| column).collect();
    let source: Vec<char> = rest[carets - 1].chars().collect();
    let underlined = source
        .get(columns[0]..=columns[columns.len() - 1])
        .unwrap_or_default();
    Told {
        sentence,
        place,
        underlined: underlined.iter().collect(),
        help,
    }
}

impl Told {
    fn is(&self, sentence: &str, place: &str, underlined: &str, help: &str) {
        let expected = Self {
            sentence: sentence.to_owned(),
            place: format!("turnserver.toml:{place}"),
            underlined: underlined.to_owned(),
            help: (!help.is_empty()).then(|| help.to_owned()),
        };
        assert_eq!(*self, expected);
    }
}

/// How long this thread has had a processor, whatever others did meanwhile. proc_pid_schedstat(5)
pub(crate) fn time_on_processors() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = told.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}
