//! `stun:` and `turn:` URIs. RFC 7064, RFC 7065.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The host of a server, and the transport to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// STUN alone, or TURN.
    pub service: Service,
    /// Whether inside TLS (or, over UDP, DTLS): `stuns:`, `turns:`.
    pub is_secure: bool,
    /// A name or an address.
    pub host: UriHost,
    /// The port, if the URI has one.
    pub port: Option<u16>,
    /// The `transport` parameter, if it is there.
    pub transport: Option<Transport>,
}

/// The service that a URI promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `stun:` and `stuns:`. RFC 7064.
    Stun,
    /// `turn:` and `turns:`. RFC 7065.
    Turn,
}

/// The transport of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

/// A host, by name or by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriHost {
    /// A DNS name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no such URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAUri {
    /// The scheme is another one.
    #[error("the scheme must be stun, stuns, turn or turns")]
    Scheme,
    /// The host cannot be read.
    #[error("expected a host name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The host is written as in the URL of a page.
    #[error(
        "there is no // in such a URI, and neither user nor password: write turn:HOST, and give both by options"
    )]
    Slashes,
    /// The port cannot be read.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// The query cannot be read.
    #[error("the only query is ?transport=udp or ?transport=tcp, and only turn and turns have it")]
    Query,
}

impl Uri {
    /// The port of the URI, or the scheme's own. RFC 8489 §18.6, RFC 8656 §19.
    pub fn port_or_default(&self) -> u16 {
        self.port
            .unwrap_or(if self.is_secure { 5349 } else { 3478 })
    }
}

impl FromStr for Uri {
    type Err = NotAUri;

    /// Also takes a bare host, with or without a port, as `stun:`.
    fn from_str(text: &str) -> Result<Self, NotAUri> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return format!("stun:[{address}]").parse();
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if !is_port(rest) && !text.starts_with('[') => (scheme, rest),
            Some(_) | None => ("stun", text),
        };
        let (service, is_secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (Service::Stun, false),
            "stuns" => (Service::Stun, true),
            "turn" => (Service::Turn, false),
            "turns" => (Service::Turn, true),
            _ => return Err(NotAUri::Scheme),
        };
        let (authority, transport) = match rest.split_once('?') {
            None => (rest, None),
            Some((authority, query)) if service == Service::Turn => {
                (authority, Some(transport(query)?))
            }
            Some(_) => return Err(NotAUri::Query),
        };
        if authority.starts_with("//") {
            return Err(NotAUri::Slashes);
        }
        let (host, port) = authority_parts(authority)?;
        Ok(Self {
            service,
            is_secure,
            host,
            port,
            transport,
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.service, self.is_secure) {
            (Service::Stun, false) => "stun",
            (Service::Stun, true) => "stuns",
            (Service::Turn, false) => "turn",
            (Service::Turn, true) => "turns",
        };
        write!(f, "{scheme}:{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            None => Ok(()),
            Some(Transport::Udp) => f.write_str("?transport=udp"),
            Some(Transport::Tcp) => f.write_str("?transport=tcp"),
        }
    }
}

impl fmt::Display for UriHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Whether `host:rest` was meant, and not `scheme:rest`.
fn is_port(rest: &str) -> bool {
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn authority_parts(authority: &str) -> Result<(UriHost, Option<u16>), NotAUri> {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        let port = port(&address.port().to_string())?;
        return Ok((UriHost::Address(address.ip()), Some(port)));
    }
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed {
        let address = address.parse().map_err(|_| NotAUri::Host)?;
        return Ok((UriHost::Address(IpAddr::V6(address)), None));
    }
    if let Ok(address) = authority.parse::<IpAddr>() {
        return Ok((UriHost::Address(address), None));
    }
    let (name, text) = match authority.split_once(':') {
        Some((name, text)) => (name, Some(text)),
        None => (authority, None),
    };
    // A text that a resolver would take for a number is no name, and spaces only hide a mistake.
    let is_bare = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '.' | '_');
    if name.is_empty() || name.len() > 253 || !name.chars().all(is_bare) {
        return Err(NotAUri::Host);
    }
    let port = text.map(port).transpose()?;
    match name.parse() {
        Ok(address) => Ok((UriHost::Address(IpAddr::V4(address)), port)),
        Err(_) => Ok((UriHost::Name(name.to_owned()), port)),
    }
}

fn port(text: &str) -> Result<u16, NotAUri> {
    match text.parse() {
        Ok(0) | Err(_) => Err(NotAUri::Port),
        Ok(port) => Ok(port),
    }
}

fn transport(query: &str) -> Result<Transport, NotAUri> {
    match query.to_ascii_lowercase().as_str() {
        "transport=udp" => Ok(Transport::Udp),
        "transport=tcp" => Ok(Transport::Tcp),
        _ => Err(NotAUri::Query),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn the_uris_of_the_rfcs_are_read_and_written_again() {
        for text in [
            "stun:example.org",
            "stuns:example.org",
            "stun:example.org:8000",
            "stun:192.0.2.7:3478",
            "stun:[2001:db8::7]:3478",
            "stun:[2001:db8::7]",
            "turn:example.org",
            "turns:example.org",
            "turn:example.org:8000",
            "turn:example.org?transport=udp",
            "turn:example.org?transport=tcp",
            "turns:example.org:443?transport=tcp",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
        assert_eq!(uri("STUNS:example.org").to_string(), "stuns:example.org");
    }

    #[test]
    fn a_bare_host_is_a_stun_server() {
        for (text, meant) in [
            ("stun.example.org", "stun:stun.example.org"),
            ("stun.example.org:19302", "stun:stun.example.org:19302"),
            ("192.0.2.7", "stun:192.0.2.7"),
            ("192.0.2.7:3479", "stun:192.0.2.7:3479"),
            ("2001:db8::7", "stun:[2001:db8::7]"),
            ("[2001:db8::7]:3479", "stun:[2001:db8::7]:3479"),
        ] {
            assert_eq!(uri(text).to_string(), meant);
        }
    }

    #[test]
    fn the_port_is_the_schemes_own_unless_it_is_said() {
        assert_eq!(uri("stun:example.org").port_or_default(), 3478);
        assert_eq!(uri("turns:example.org").port_or_default(), 5349);
        assert_eq!(uri("turns:example.org:443").port_or_default(), 443);
    }

    #[test]
    fn what_is_no_such_uri_is_refused_with_the_reason() {
        for (text, why) in [
            ("http:example.org", NotAUri::Scheme),
            ("stun:", NotAUri::Host),
            ("", NotAUri::Host),
            ("stun://example.org", NotAUri::Slashes),
            (
                "turn://alice:pw@example.org:3478?transport=udp",
                NotAUri::Slashes,
            ),
            ("stun:exa mple.org", NotAUri::Host),
            ("stun:[2001:db8::7", NotAUri::Host),
            ("stun:example.org:0", NotAUri::Port),
            ("stun:192.0.2.7:0", NotAUri::Port),
            ("stun:example.org:65536", NotAUri::Port),
            ("stun:example.org:http", NotAUri::Port),
            ("stun:example.org?transport=udp", NotAUri::Query),
            ("turn:example.org?transport=sctp", NotAUri::Query),
            ("turn:example.org?", NotAUri::Query),
        ] {
            assert_eq!(text.parse::<Uri>(), Err(why), "{text}");
        }
    }
}
