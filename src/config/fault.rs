//! What can be wrong with a configuration file: one variant per mistake, its
//! sentence naming the key to change, and where it helps, what to write instead.

mod auth;
mod form;
mod nat_discovery;
mod oauth;
mod redirect;

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::ops::Range;

use relay::policy::MalformedNetwork;

use super::caution::Caution;
pub(crate) use super::key_name::KeyName;
pub(crate) use auth::AuthFault;
pub(crate) use form::Form;
pub(crate) use nat_discovery::NatDiscoveryFault;
pub(crate) use oauth::OauthFault;
pub(crate) use redirect::RedirectFault;

/// One remark about a configuration file, and the place it is about.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What is to be said.
    pub remark: Remark,
    /// The offending text, in bytes from the start of the file.
    pub at: Range<usize>,
    /// Another place that explains this one, and what it says.
    pub see: Option<(Range<usize>, &'static str)>,
}

impl Finding {
    /// A remark about the text at `at`.
    pub(crate) fn new(remark: impl Into<Remark>, at: Range<usize>) -> Self {
        Self {
            remark: remark.into(),
            at,
            see: None,
        }
    }
}

/// Faults refuse the file, cautions do not.
#[derive(Debug)]
pub(crate) enum Remark {
    /// The server cannot run with this.
    Fault(Fault),
    /// It can, but the operator may not have meant it.
    Caution(Caution),
}

impl From<Fault> for Remark {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Caution> for Remark {
    fn from(caution: Caution) -> Self {
        Self::Caution(caution)
    }
}

/// A mistake that refuses the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The text is not TOML.
    #[error("this is not TOML: {message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// A key or table nobody reads. Silence here is how settings from old guides go dead.
    #[error("unknown {kind} `{name}`{place}")]
    Unknown {
        /// "key" or "table".
        kind: &'static str,
        /// As written.
        name: String,
        /// The table it stands in, in words after a space.
        place: String,
        /// What was probably meant.
        hint: String,
    },
    /// A word that is not among the choices of its key.
    #[error("`{key}` cannot be `{value}`")]
    Choice {
        /// The key.
        key: String,
        /// As written.
        value: String,
        /// What was probably meant, or all choices.
        hint: String,
    },
    /// A value of another TOML type.
    #[error("{key} is {found}, expected {expected}")]
    Type {
        /// The key in backticks, or "an entry of" it.
        key: String,
        /// The type found, with its article.
        found: &'static str,
        /// The type expected, with its article.
        expected: String,
    },
    /// A table without a key it cannot do without.
    #[error("this `{table}` has no `{key}`")]
    Missing {
        /// The table's header.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// A line that would do.
        example: &'static str,
    },
    /// Text that cannot be read as what it stands for.
    #[error("{key} is not {form}")]
    Form {
        /// The key.
        key: KeyName,
        /// What it stands for.
        form: Form,
    },
    /// An entry of a peer list that is not a network.
    #[error("{key} holds an entry that is not a network: {source}")]
    Network {
        /// The key.
        key: KeyName,
        /// Why not.
        source: MalformedNetwork,
    },
    /// A number or duration outside what the server or the protocol can do.
    #[error("{key} must be from {least} to {most}")]
    Range {
        /// The key.
        key: KeyName,
        /// The smallest possible value.
        least: String,
        /// The largest possible value.
        most: String,
    },
    /// The same entry twice.
    #[error("{key} is given twice")]
    Duplicate {
        /// The key.
        key: KeyName,
    },
    /// Allocations of one family all live on one address.
    #[error("{key} names a second {family} address: one of each family is used")]
    SecondOfFamily {
        /// The key.
        key: KeyName,
        /// IPv4 or IPv6.
        family: &'static str,
    },
    /// Nobody could send to this address, or answer from it.
    #[error("{key} cannot be {address}: that is {kind} address")]
    NotUnicast {
        /// The key.
        key: KeyName,
        /// The address.
        address: IpAddr,
        /// Which sort of address, with its article.
        kind: &'static str,
    },
    /// A socket cannot be bound to this address.
    #[error("{key} holds {address}, which this host cannot use: {source}")]
    NotOnHost {
        /// The key.
        key: KeyName,
        /// The address.
        address: IpAddr,
        /// What the kernel said.
        source: io::Error,
        /// The addresses that would have worked.
        here: Vec<IpAddr>,
    },
    /// `external` pairs with `addresses`, but the lists differ in length.
    #[error("`[relay] external` has {external} and `[relay] addresses` has {addresses}")]
    ExternalCount {
        /// Entries in `external`, in words.
        external: String,
        /// Entries in `addresses`, in words.
        addresses: String,
    },
    /// A pair of an IPv4 and an IPv6 address.
    #[error("`[relay] external` {external} cannot stand for {local}: the families differ")]
    ExternalFamily {
        /// The address peers see.
        external: IpAddr,
        /// The address of this host.
        local: IpAddr,
    },
    /// `external` alone names a family for which this host has no address.
    #[error("`[relay] external` {external} has no address of its family on this host to pair with")]
    ExternalAlone {
        /// The address peers see.
        external: IpAddr,
    },
    /// A range that ends before it starts.
    #[error("`[relay] ports` starts at {first} and ends at {last}")]
    PortsReversed {
        /// As written first.
        first: u16,
        /// As written last.
        last: u16,
    },
    /// Port 0 cannot be asked for.
    #[error("`[relay] ports` contains port 0, which no peer can send to")]
    PortZero,
    /// One user may hold more than all users together.
    #[error("{key} is {per_user}, more than `total` with {total}")]
    PerUserOverTotal {
        /// The key.
        key: KeyName,
        /// The quota of one.
        per_user: u32,
        /// The quota of all.
        total: u32,
    },
    /// A quota that runs out of ports first.
    #[error("{key} is {quota}, but `[relay] ports` has room for {ports} allocations")]
    QuotaOverPorts {
        /// The key.
        key: KeyName,
        /// As written.
        quota: u32,
        /// Ports, on all relay addresses.
        ports: u32,
    },
    /// One source prefix may hear more than all of them together.
    #[error("`[unauthenticated] per-prefix` is more than `total`")]
    PrefixOverTotal,
    /// In a realm, or with who is in it.
    #[error(transparent)]
    Auth(#[from] AuthFault),
    /// In an `[[oauth.key]]`.
    #[error(transparent)]
    Oauth(#[from] OauthFault),
    /// In a `[[redirect]]`.
    #[error(transparent)]
    Redirect(#[from] RedirectFault),
    /// In `[nat-discovery]`.
    #[error(transparent)]
    NatDiscovery(#[from] NatDiscoveryFault),
    /// The default is not allowed by the maximum.
    #[error("`[allocation] default-lifetime` is longer than `max-lifetime`")]
    DefaultOverMax,
}

impl Fault {
    /// What to write instead, where that is known.
    pub(crate) fn help(&self) -> Option<Cow<'static, str>> {
        let help: Cow<'static, str> = match self {
            Self::Unknown { hint, .. } | Self::Choice { hint, .. } => hint.clone().into(),
            Self::Type {
                key,
                found,
                expected,
            } => type_help(key, found, expected)?.into(),
            Self::Missing { example, .. } => format!("add a line such as `{example}`").into(),
            Self::Form { form, .. } => form.help().into(),
            Self::NotOnHost { key, here, .. } => not_on_host_help(key, here).into(),
            Self::ExternalCount { .. } => PAIRWISE.into(),
            Self::ExternalFamily { .. } => SAME_FAMILY.into(),
            Self::ExternalAlone { .. } => NAME_LOCAL.into(),
            Self::PortsReversed { first, last } => format!("write \"{last}-{first}\"").into(),
            Self::PortZero => "start at 1024 or above, such as \"49152-65535\"".into(),
            Self::PerUserOverTotal { .. } => LOWER_ONE.into(),
            Self::QuotaOverPorts { .. } => LOWER_QUOTA.into(),
            Self::Auth(fault) => fault.help()?,
            Self::Oauth(fault) => fault.help()?,
            Self::Redirect(fault) => fault.help(),
            Self::NatDiscovery(fault) => fault.help(),
            Self::PrefixOverTotal => "lower `per-prefix` or raise `total`".into(),
            Self::DefaultOverMax => "lower `default-lifetime` or raise `max-lifetime`".into(),
            Self::Syntax { .. }
            | Self::Network { .. }
            | Self::Range { .. }
            | Self::Duplicate { .. }
            | Self::SecondOfFamily { .. }
            | Self::NotUnicast { .. } => return None,
        };
        Some(help)
    }
}

fn type_help(key: &str, found: &str, expected: &str) -> Option<&'static str> {
    match (found, expected) {
        ("an array", "a string") if key == "`realm`" => Some(REALMS),
        ("a string", "an array") => match key {
            "`[auth] realm`" => Some(REALMS),
            "`[oauth] key`" => Some("a key has a table of its own, [[oauth.key]], with an `id`"),
            _ => Some("put it in brackets: [\"…\"]"),
        },
        ("a table", "an array") => match key {
            "`listener`" => Some("write [[listener]] in double brackets, once per entry"),
            "`redirect`" => Some("write [[redirect]] in double brackets, once per entry"),
            "`[auth] realm`" => Some("write [[auth.realm]] in double brackets, once per entry"),
            "`[oauth] key`" => Some("write [[oauth.key]] in double brackets, once per entry"),
            _ => None,
        },
        ("a string", "a whole number") => Some("remove the quotes"),
        ("a string", "true or false") => Some("write true or false, without quotes"),
        (_, "a string") => Some("put it in quotes"),
        _ => None,
    }
}

fn not_on_host_help(key: &KeyName, here: &[IpAddr]) -> String {
    let here: Vec<String> = here.iter().map(IpAddr::to_string).collect();
    let local = match key.key() {
        "[nat-discovery] alternate" => "`alternate`",
        _ => "`[relay] addresses`",
    };
    let mut help =
        format!("behind 1:1 NAT, {local} holds the local address and `external` the public one");
    if !here.is_empty() {
        help.push_str("; this host has ");
        help.push_str(&here.join(", "));
    }
    help
}

const PAIRWISE: &str = "give one external address per relay address, in the same order; \
                        repeat an address that needs no mapping";
const SAME_FAMILY: &str = "pair IPv4 with IPv4 and IPv6 with IPv6, in the same order";
const NAME_LOCAL: &str = "name the address it stands for in `[relay] addresses`";
const REALMS: &str =
    "the default realm is `realm` at the top of the file, others are [[auth.realm]]";
const LOWER_ONE: &str = "lower `per-user` or raise `total` (0 = no limit)";
const LOWER_QUOTA: &str = "lower the quota, widen `[relay] ports`, or write 0 for no limit";
