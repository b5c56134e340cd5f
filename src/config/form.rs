//! Texts as values: whether one can be read as what its key stands for, and what to write instead.

mod origin;
mod rate;
mod size;
mod template;
mod uri;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use relay::policy::Network;
use relay::{Target, Transport};

use origin::origin;
pub(super) use rate::bandwidth;
pub(super) use rate::{percent, rate};
pub(crate) use rate::{spelled, spelled_bandwidth};
pub(super) use size::size;
pub(crate) use size::spelled_size;
pub(super) use template::{FILL_IN, TEMPLATE, has_template, is_blank, is_template};
pub(super) use uri::webhook;
pub(super) use uri::{BROWSERS_PORTS, directory, teller, turn_uri};
use uri::{directory_help, is_mailbox};

/// The meaning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Reviewed elsewhere.
    Any,
    /// A realm that clients can send back.
    Realm,
    /// A name of DNS.
    Domain,
    /// A name of at most so many bytes.
    Name(usize),
    /// An IP address and a port.
    Socket,
    /// The same where all addresses of a family are no choice.
    SecondSocket,
    /// The same of a server that this one passes its clients to.
    Backend,
    /// The same, of one transport or of both.
    Target,
    /// An address that one host could have.
    Address,
    /// The same, or the word for one that is found out.
    External,
    /// The source of an external address.
    Teller,
    /// A `turn:` or `turns:` URI that browsers take.
    TurnUri,
    Network,
    /// The hosts of a network, or one.
    Hosts,
    /// The scheme, host and port of pages, or all of them.
    Origin,
    /// A point in time, in UTC.
    Time,
    /// Hidden.
    Secret,
    /// The name of a file that holds a secret.
    File,
    /// The name of a file that holds certificates.
    Chain,
    /// A name or an address that an authority gives certificates to.
    Certified,
    /// A URL that an authority writes to.
    Contact,
    /// The directory of an authority.
    Directory,
    /// A number of bytes.
    Size,
    /// Where events are posted to.
    Webhook,
}

/// A fault of a value: words after the name of its key, and what to write instead.
pub(super) type Flaw = (String, Option<String>);

/// A flaw without a way out, or with one.
pub(super) fn flaw<T>(words: impl Into<String>, help: &str) -> Result<T, Flaw> {
    Err((words.into(), (!help.is_empty()).then(|| help.to_owned())))
}

impl Form {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Any => "text",
            Self::Realm => "the name of a realm",
            Self::Domain => "a name of DNS",
            Self::Name(_) => "a name",
            Self::Socket | Self::SecondSocket | Self::Backend => "an IP address and a port",
            Self::Target => "an IP address and a port, alone or with /udp, /tcp, /tls or /dtls",
            Self::Address => "an IP address",
            Self::External => "an IP address, or \"auto\"",
            Self::Teller => "\"metadata\" or the URI of a STUN server",
            Self::TurnUri => "a TURN URI that browsers take",
            Self::Network => "a network, alone or with ports",
            Self::Hosts => "a network or an IP address",
            Self::Origin => "the origin of a page",
            Self::Time => "a time in UTC",
            Self::Secret => "a secret",
            Self::File => "the name of a file that holds a secret",
            Self::Chain => "the name of a file that holds certificates",
            Self::Certified => "a name of DNS or an IP address",
            Self::Contact => "a URL such as mailto:",
            Self::Directory => "\"letsencrypt\", \"staging\" or an https:// URL",
            Self::Size => "a number of bytes",
            Self::Webhook => "an https:// or http:// URL",
        }
    }

    pub(super) fn check(self, text: &str) -> Result<(), Flaw> {
        match self {
            Self::Any | Self::Secret | Self::File | Self::Chain => Ok(()),
            Self::Certified => match text.parse::<acme::Name>() {
                Ok(acme::Name::Address(ip)) => unicast(ip),
                Ok(acme::Name::Host(_)) => Ok(()),
                Err(why) => flaw(format!("holds an entry that {why}"), CERTIFIED),
            },
            Self::Contact if is_mailbox(text) => Ok(()),
            Self::Contact => flaw("is not the URL of one mailbox", CONTACT),
            Self::Directory => match directory(text) {
                Some(_) => Ok(()),
                None => flaw(format!("is not {}", self.words()), directory_help(text)),
            },
            Self::Size => match size(text) {
                Some(1..) => Ok(()),
                Some(0) | None => flaw("is not a number of bytes", SIZE),
            },
            Self::Webhook => match webhook(text) {
                Some(_) => Ok(()),
                None => flaw(format!("is not {}", self.words()), WEBHOOK),
            },
            Self::Realm => match realm_flaw(text) {
                Some(reason) => flaw(reason, REALM),
                None => Ok(()),
            },
            Self::Domain if is_domain(text) => Ok(()),
            Self::Domain => flaw("is not a name of DNS", DOMAIN),
            Self::Name(most) => name(text, most),
            Self::Socket => match text.parse::<SocketAddr>() {
                Ok(_) => Ok(()),
                Err(_) => flaw("is not an IP address and a port", SOCKET),
            },
            Self::SecondSocket => match text.parse::<SocketAddr>() {
                Ok(socket) => of_one_host(socket, "3479 is usual beside 3478"),
                Err(_) => flaw("is not an IP address and a port", SECOND_SOCKET),
            },
            Self::Backend => match text.parse::<SocketAddr>() {
                Ok(socket) => of_one_host(socket, "8443 is usual behind 443"),
                Err(_) => flaw("is not an IP address and a port", BACKEND),
            },
            Self::Hosts => match network(text) {
                Some(_) => Ok(()),
                None => flaw(
                    format!("holds an entry that is not {}", self.words()),
                    HOSTS,
                ),
            },
            Self::Target => match target(text) {
                Some(target) => of_one_host(target.address, "3478 is the usual one"),
                None => flaw(format!("is not {}", self.words()), TARGET),
            },
            Self::External if text == AUTO => Ok(()),
            Self::Teller => match teller(text) {
                Some(_) => Ok(()),
                None => flaw(format!("is not {}", self.words()), TELLER),
            },
            Self::TurnUri => turn_uri(text).map(drop),
            Self::Address | Self::External => match text.parse() {
                Ok(address) => unicast(address),
                Err(_) => flaw("is not an IP address", ADDRESS),
            },
            Self::Network => match text.parse::<Network>() {
                Ok(_) => Ok(()),
                Err(why) => flaw(format!("holds an entry that is not a network: {why}"), ""),
            },
            Self::Origin => origin(text),
            Self::Time => match time(text) {
                Some(_) => Ok(()),
                None => flaw(
                    "is not a time",
                    "write it in UTC, such as \"2027-01-01T00:00:00Z\"",
                ),
            },
        }
    }
}

/// Why clients could not send this realm back. RFC 8489 §14.9: fewer than 128
/// characters, and in the end a quoted string.
pub(crate) fn realm_flaw(realm: &str) -> Option<&'static str> {
    if realm.is_empty() {
        return Some("is empty");
    }
    if realm.chars().count() > 127 {
        return Some("has more than 127 characters");
    }
    if realm.contains(['"', '\\']) {
        return Some("holds a quote or a backslash");
    }
    if realm.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    // Clients prepare it before they hash it, and would hash something else.
    (!relay::is_opaque(realm)).then_some("has characters that RFC 8265 writes otherwise or forbids")
}

/// Whether a text is a name of DNS in ASCII (RFC 1123 §2.1) and no address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(is_bare)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label) && text.parse::<IpAddr>().is_err()
}

fn name(text: &str, most: usize) -> Result<(), Flaw> {
    if text.is_empty() {
        return flaw("is empty", "");
    }
    if text.len() > most {
        return flaw(format!("has more than {most} bytes"), "");
    }
    if text.chars().any(char::is_control) {
        return flaw("holds a control character", "");
    }
    Ok(())
}

fn of_one_host(socket: SocketAddr, port: &str) -> Result<(), Flaw> {
    unicast(socket.ip())?;
    if socket.port() == 0 {
        return flaw("has port 0, which no client can send to", port);
    }
    Ok(())
}

fn unicast(address: IpAddr) -> Result<(), Flaw> {
    let address = address.to_canonical();
    let kind = if address.is_unspecified() {
        "the unspecified"
    } else if address.is_multicast() {
        "a multicast"
    } else if address == Ipv4Addr::BROADCAST {
        "the broadcast"
    } else {
        return Ok(());
    };
    flaw(format!("cannot be {address}: that is {kind} address"), "")
}

/// An address and a port, and the transport behind it if there is one.
pub(super) fn target(written: &str) -> Option<Target> {
    let (address, transport) = match written.rsplit_once('/') {
        Some((address, "udp")) => (address, Some(Transport::Udp)),
        Some((address, "tcp")) => (address, Some(Transport::Tcp)),
        Some((address, "tls")) => (address, Some(Transport::Tls)),
        Some((address, "dtls")) => (address, Some(Transport::Dtls)),
        Some(_) => return None,
        None => (written, None),
    };
    let address: SocketAddr = address.parse().ok()?;
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    Some(Target { address, transport })
}

/// The hosts of a network, or one alone.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let alone = || text.parse().ok().map(|ip: IpAddr| ip.to_canonical().into());
    text.parse().ok().or_else(alone)
}

/// Since the Unix epoch.
pub(super) fn time(text: &str) -> Option<Duration> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()
}

const REALM: &str = "the domain of the service does well, such as \"turn.example.org\"";
const SOCKET: &str = "write \"0.0.0.0:3478\" for every IPv4 address, \"[::]:3478\" for every IPv6 \
                      address, or one address and port";
const SECOND_SOCKET: &str =
    "write one address and port, such as \"203.0.113.8:3479\" or \"[2001:db8::8]:3479\"";
const BACKEND: &str = "write one address and port, such as \"127.0.0.1:8443\"";
const HOSTS: &str = "write \"10.0.0.0/8\", \"2001:db8::/32\" or one address";
const TARGET: &str = "write \"203.0.113.9:3478\" for clients over UDP and TCP, \
                      \"203.0.113.9:3478/udp\", \"203.0.113.9:443/tcp\" or \"203.0.113.9:443/tls\" \
                      for those of one";
/// The external address is found out.
pub(super) const AUTO: &str = "auto";
const TELLER: &str = "write \"metadata\", or a server such as \"stun:stun.example.org\"";
const CERTIFIED: &str = "write single names and addresses, such as \"turn.example.org\" or \
                         \"203.0.113.7\", without port and brackets";
const CONTACT: &str = "write it such as \"mailto:admin@example.org\"";
const ADDRESS: &str =
    "write it without port and brackets, such as \"192.0.2.7\" or \"2001:db8::7\"";
const DOMAIN: &str = "write it in ASCII and without a dot at the end, such as \"b.example.org\"";
const SIZE: &str = "write a number and a unit in quotes, such as \"500 GB\" or \"64 MiB\"";
const WEBHOOK: &str =
    "write it such as \"https://billing.example.org/usage\", without user and password";
