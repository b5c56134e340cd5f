//! The certificate that is wanted, and who is asked for it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rustls_pki_types::{CertificateDer, DnsName};

/// The directory of Let's Encrypt.
pub const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its directory for trying, whose certificates no client believes and whose limits are wide.
pub const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The certificate that is wanted, and who is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// All of them stand in the certificate. Never empty.
    pub names: Vec<Name>,
    /// The URL of the authority's directory, which begins with `https://`. RFC 8555 §7.1.1.
    pub directory: String,
    /// The certificates that a directory of one's own is believed by; those that browsers know if
    /// there are none.
    pub roots: Vec<CertificateDer<'static>>,
    /// Where the authority writes to people: URLs such as `mailto:admin@example.org`.
    pub contact: Vec<String>,
    /// The kind of certificate, by the directory's name for it. `None` is the directory's own
    /// choice; for names that are addresses it is [`Wanted::SHORT_LIVED`] where the directory has it.
    pub profile: Option<String>,
    /// The account at the authority that this one belongs to. RFC 8555 §7.3.4.
    pub external_account: Option<ExternalAccount>,
    /// Where HTTP-01 is answered, which the world reaches on port 80. RFC 8555 §8.3.
    pub http_01: Option<SocketAddr>,
}

impl Wanted {
    /// The profile by which Let's Encrypt issues for addresses.
    pub const SHORT_LIVED: &str = "shortlived";

    /// Whether a certificate that was ordered by `other` is as good as one by this.
    pub(crate) fn is_same_order(&self, other: &Ordered) -> bool {
        let mut names: Vec<String> = self.names.iter().map(Name::to_string).collect();
        names.sort();
        names.dedup();
        let mut others = other.names.clone();
        others.sort();
        names == others && self.directory == other.directory && self.profile == other.profile
    }

    pub(crate) fn ordered(&self) -> Ordered {
        let mut names: Vec<String> = self.names.iter().map(Name::to_string).collect();
        names.sort();
        names.dedup();
        Ordered {
            names,
            directory: self.directory.clone(),
            profile: self.profile.clone(),
        }
    }

    /// Whether any of the names is an address.
    pub(crate) fn has_address(&self) -> bool {
        self.names
            .iter()
            .any(|name| matches!(name, Name::Address(_)))
    }
}

/// The parts of an order by which its certificate is known as the one that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ordered {
    pub(crate) names: Vec<String>,
    pub(crate) directory: String,
    pub(crate) profile: Option<String>,
}

/// The name of a host in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// A name of DNS in lower case, as it stands in a hello; no wildcard, which neither challenge
    /// proves.
    Host(String),
    /// An address. RFC 8738.
    Address(IpAddr),
}

impl Name {
    /// The server name that an authority sends when it looks whether this host has the name.
    /// RFC 8737 §3, and for addresses RFC 8738 §6: the name under which DNS would look for it.
    pub(crate) fn server_name(&self) -> String {
        match self {
            Self::Host(name) => name.clone(),
            Self::Address(IpAddr::V4(ip)) => {
                let [a, b, c, d] = ip.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Address(IpAddr::V6(ip)) => {
                let octets = ip.octets();
                let nibbles = octets
                    .iter()
                    .rev()
                    .flat_map(|octet| [octet & 0xF, octet >> 4]);
                let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
                format!("{labels}ip6.arpa")
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// Why a text is no [`Name`]. The sentence follows what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoName {
    /// A wildcard.
    #[error("is a wildcard, which needs DNS-01: TLS-ALPN-01 and HTTP-01 prove single names")]
    Wildcard,
    /// Neither a name of DNS nor an address.
    #[error("is neither a name of DNS nor an IP address")]
    Neither,
    /// A name without a dot, which nobody but its own network knows.
    #[error("has no dot: no authority gives certificates to such names")]
    NoDot,
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address(ip.to_canonical()));
        }
        if text.starts_with("*.") {
            return Err(NoName::Wildcard);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        DnsName::try_from(name.as_str()).map_err(|_| NoName::Neither)?;
        let last = name.rsplit('.').next().unwrap_or_default();
        // 192.0.2 and 1.2.3.4.5 are slips of addresses.
        if last.bytes().all(|letter| letter.is_ascii_digit()) {
            return Err(NoName::Neither);
        }
        if !name.contains('.') {
            return Err(NoName::NoDot);
        }
        Ok(Self::Host(name))
    }
}

/// An account at the authority that was opened elsewhere, and the key that proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The authority's name for the key.
    pub id: String,
    /// The key of HMAC-SHA-256.
    pub key: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_dns_or_an_address() {
        let host = |name: &str| Ok(Name::Host(name.to_owned()));
        let address = |ip: &str| Ok(Name::Address(ip.parse().unwrap()));
        for (text, expected) in [
            ("turn.example.org", host("turn.example.org")),
            ("TURN.Example.org.", host("turn.example.org")),
            ("203.0.113.7", address("203.0.113.7")),
            ("2001:DB8::7", address("2001:db8::7")),
            ("::ffff:203.0.113.7", address("203.0.113.7")),
            ("*.example.org", Err(NoName::Wildcard)),
            ("localhost", Err(NoName::NoDot)),
            ("203.0.113", Err(NoName::Neither)),
            ("1.2.3.4.5", Err(NoName::Neither)),
            ("[2001:db8::7]", Err(NoName::Neither)),
            ("turn.example.org:443", Err(NoName::Neither)),
            ("türn.example.org", Err(NoName::Neither)),
            ("turn..org", Err(NoName::Neither)),
            ("", Err(NoName::Neither)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    /// The samples of RFC 8738 §6 and RFC 3596 §2.5.
    #[test]
    fn an_address_is_asked_for_by_its_name_in_the_reverse_tree() {
        for (text, expected) in [
            ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
            (
                "4321:0:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa",
            ),
            ("turn.example.org", "turn.example.org"),
        ] {
            let name: Name = text.parse().unwrap();
            assert_eq!(name.server_name(), expected);
        }
    }

    #[test]
    fn debug_does_not_show_the_key_of_an_account() {
        let account = ExternalAccount {
            id: "kid-1".to_owned(),
            key: vec![0xAB; 32],
        };
        let shown = format!("{account:?}");
        assert!(shown.contains("kid-1") && !shown.contains("171"), "{shown}");
    }
}
