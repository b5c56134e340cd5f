//! The configuration file as TOML sees it: every key optional, every value with
//! its place, nothing judged yet.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::{Format, Level};

pub(super) type Text = Spanned<String>;
pub(super) type Number = Spanned<i64>;
pub(super) type Texts = Spanned<Vec<Text>>;
/// `"text"` or `["text", "text"]`.
pub(super) type OneOrMore = Spanned<Several>;
/// Users by name: a table of this file, or all of a file of users.
pub(super) type Users = BTreeMap<Text, Spanned<UserEntry>>;

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) realm: Option<Text>,
    pub(super) threads: Option<Number>,
    pub(super) listener: Vec<Spanned<ListenerTable>>,
    pub(super) relay: RelayTable,
    pub(super) nat_discovery: NatDiscoveryTable,
    pub(super) auth: AuthTable,
    pub(super) oauth: OauthTable,
    pub(super) allocation: AllocationTable,
    pub(super) redirect: Vec<Spanned<RedirectTable>>,
    pub(super) unauthenticated: UnauthenticatedTable,
    pub(super) tcp: TcpTable,
    pub(super) peers: PeersTable,
    pub(super) log: LogTable,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ListenerTable {
    pub(super) transport: Option<TransportName>,
    pub(super) listen: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RelayTable {
    pub(super) addresses: Option<Texts>,
    pub(super) external: Option<Texts>,
    pub(super) ports: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct NatDiscoveryTable {
    pub(super) alternate: Option<OneOrMore>,
    pub(super) external: Option<Texts>,
    pub(super) partner: Option<OneOrMore>,
    pub(super) port: Option<Number>,
    pub(super) secret: Option<Text>,
    pub(super) secret_file: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AuthTable {
    pub(super) secrets: Vec<Text>,
    pub(super) secret_files: Vec<Text>,
    pub(super) users_file: Option<Text>,
    pub(super) nonce_lifetime: Option<Text>,
    pub(super) nonce_secret_file: Option<Text>,
    pub(super) sha256: Option<Spanned<Sha256Policy>>,
    pub(super) users: Users,
    pub(super) realm: Vec<Spanned<RealmTable>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RealmTable {
    pub(super) name: Option<Text>,
    pub(super) listeners: Vec<Text>,
    pub(super) secrets: Vec<Text>,
    pub(super) secret_files: Vec<Text>,
    pub(super) users_file: Option<Text>,
    pub(super) per_user: Option<Number>,
    pub(super) total: Option<Number>,
    pub(super) users: Users,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct OauthTable {
    pub(super) server_name: Option<Text>,
    pub(super) key: Vec<Spanned<OauthKeyTable>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct OauthKeyTable {
    pub(super) id: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) not_before: Option<Text>,
    pub(super) expires: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AllocationTable {
    pub(super) default_lifetime: Option<Text>,
    pub(super) max_lifetime: Option<Text>,
    pub(super) per_user: Option<Number>,
    pub(super) total: Option<Number>,
    pub(super) permissions: Option<Number>,
    pub(super) channels: Option<Number>,
    pub(super) mobility: Option<bool>,
    pub(super) icmp: Option<IcmpPolicy>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RedirectTable {
    pub(super) to: Option<Vec<Text>>,
    pub(super) when: Option<Spanned<WhenEntry>>,
    pub(super) realm: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct UnauthenticatedTable {
    pub(super) per_prefix: Option<Text>,
    pub(super) total: Option<Text>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct TcpTable {
    pub(super) connections: Option<Number>,
    pub(super) per_prefix: Option<Number>,
    pub(super) first_frame: Option<Text>,
    pub(super) idle: Option<Text>,
    pub(super) stranger_lifetime: Option<Text>,
    pub(super) send_queue: Option<Number>,
    pub(super) data_indication: Option<Number>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct PeersTable {
    pub(super) allow: Vec<Text>,
    pub(super) deny: Vec<Text>,
    pub(super) mode: Option<Spanned<PeerMode>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct LogTable {
    pub(super) level: Option<Level>,
    pub(super) format: Option<Format>,
    pub(super) addresses: Option<bool>,
}

/// The spelling of [`relay::keys::Encryption`] in the file, which is that of RFC 7518.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum Algorithm {
    #[serde(rename = "A256GCM")]
    A256Gcm,
    #[serde(rename = "A128GCM")]
    A128Gcm,
}

/// The spelling of [`relay::Sha256`] in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sha256Policy {
    Off,
    Offer,
    Require,
}

/// The spelling of [`relay::Transport`] in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub(super) enum TransportName {
    Udp,
    Tcp,
}

impl From<TransportName> for relay::Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Udp => Self::Udp,
            TransportName::Tcp => Self::Tcp,
        }
    }
}

/// The spelling of [`relay::IcmpTold`] in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub(super) enum IcmpPolicy {
    Rfc8489,
    Always,
    Never,
}

/// The spelling of [`relay::policy::Mode`] in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerMode {
    Closed,
    AllowList,
}

/// `"password"` or `{ key = "32 hexadecimal digits" }`.
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum UserEntry {
    Password(String),
    Key(Option<Text>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    key: Option<Text>,
}

/// `"always"`, `"draining"` or `{ allocations = 1000 }`.
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum WhenEntry {
    Always,
    Draining,
    Allocations(Option<Number>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllocationsTable {
    allocations: Option<Number>,
}

/// How [`WhenEntry`] is written.
const WHEN: &[&str] = &["always", "draining", "{ allocations = 1000 }"];

/// By hand, as [`UserEntry`].
impl<'de> Deserialize<'de> for WhenEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrLoad;

        impl<'de> Visitor<'de> for WordOrLoad {
            type Value = WhenEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"always\", \"draining\" or { allocations = … }")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<WhenEntry, E> {
                match word {
                    "always" => Ok(WhenEntry::Always),
                    "draining" => Ok(WhenEntry::Draining),
                    _ => Err(E::unknown_variant(word, WHEN)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WhenEntry, A::Error> {
                let table = AllocationsTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(WhenEntry::Allocations(table.allocations))
            }
        }

        deserializer.deserialize_any(WordOrLoad)
    }
}

/// By hand, because an untagged enum would lose the place of what is wrong inside.
impl<'de> Deserialize<'de> for UserEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PasswordOrKey;

        impl<'de> Visitor<'de> for PasswordOrKey {
            type Value = UserEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a password in quotes or { key = \"…\" }")
            }

            fn visit_str<E>(self, password: &str) -> Result<UserEntry, E> {
                Ok(UserEntry::Password(password.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UserEntry, A::Error> {
                let table = KeyTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(UserEntry::Key(table.key))
            }
        }

        deserializer.deserialize_any(PasswordOrKey)
    }
}

/// What [`OneOrMore`] holds.
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum Several {
    One(String),
    List(Vec<Text>),
}

impl Several {
    /// Each text and its place.
    pub(super) fn texts(list: &OneOrMore) -> Vec<(&str, Range<usize>)> {
        match list.get_ref() {
            Self::One(text) => vec![(text, list.span())],
            Self::List(texts) => texts
                .iter()
                .map(|text| (text.get_ref().as_str(), text.span()))
                .collect(),
        }
    }
}

/// By hand for the same reason.
impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTexts;

        impl<'de> Visitor<'de> for TextOrTexts {
            type Value = Several;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array")
            }

            fn visit_str<E>(self, text: &str) -> Result<Several, E> {
                Ok(Several::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, texts: A) -> Result<Several, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(texts)).map(Several::List)
            }
        }

        deserializer.deserialize_any(TextOrTexts)
    }
}
