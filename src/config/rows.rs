//! Every key of the configuration file, as one row each: its place, kind, range, default, help, and
//! coturn's name of it. The reader, the help, the masking of secrets and the test of
//! `turnserver.toml` all follow from these rows.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration as Time;

use net::TlsVersion;
use relay::policy::Mode;
use relay::{IcmpTold, PortRange, Sha256};

use super::form::Form;
use super::{Config, Format, Level, coturn};
use Kind::{
    Bandwidth, Duration, Flag, Number, Ports, Rate, Text, TextOrTexts, Texts, Users, When, Word,
};
use Unwritten::{Is, Missing, Says};

/// A key of the configuration file.
#[derive(Debug)]
pub(crate) struct Row {
    /// The table as a path joined by dots. The top of the file is "".
    pub(crate) table: &'static str,
    /// The table as it is written in the file.
    pub(super) header: &'static str,
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unwritten: Unwritten,
    /// One line for people, without a full stop.
    pub(crate) help: &'static str,
    /// The options of turnserver.conf that this key stands for.
    pub(crate) coturn: &'static [&'static str],
}

/// The meaning of a file without the key.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The same as with this value, which `turnserver.toml` shows.
    Is(&'static str),
    /// What these words say.
    Says(&'static str),
    /// The table cannot do without it; a line such as this one is missing.
    Missing(&'static str),
}

/// The type of a value, its range, and where it goes. Values without a place are read by a review.
#[derive(Debug)]
pub(crate) enum Kind {
    Text(Form),
    /// An array of texts.
    Texts(Form),
    /// One text, or an array of texts.
    TextOrTexts(Form),
    /// A whole number from the first to the second.
    Number(u32, u32, fn(&mut Config, u32)),
    /// A time span, from the first to the second in seconds.
    Duration(u64, u64, fn(&mut Config, Time)),
    /// Bytes per second, or none for no limit.
    Rate(fn(&mut Config, Option<NonZeroU64>)),
    /// The same of data that is relayed, which people count in bits.
    Bandwidth(fn(&mut Config, Option<NonZeroU64>)),
    Flag(fn(&mut Config, bool)),
    /// One of these words.
    Word(&'static [Choice]),
    Ports(fn(&mut Config, PortRange)),
    /// A table of users with their passwords or keys.
    Users,
    /// `"always"`, `"draining"` or `{ allocations = 1000 }`.
    When,
}

/// A word, and its meaning.
type Choice = (&'static str, fn(&mut Config));

/// For words that the review reads, because their table may stand several times.
const REVIEWED: fn(&mut Config) = |_| ();

/// `auto` is every transport, over UDP and over TCP; the first bytes of a client tell which is its own.
const TRANSPORTS: &[Choice] = &[
    ("udp", REVIEWED),
    ("tcp", REVIEWED),
    ("tls", REVIEWED),
    ("dtls", REVIEWED),
    ("auto", REVIEWED),
];

macro_rules! rows {
    ($($table:literal $header:literal {
        $($key:literal: $kind:expr, $unwritten:expr, $help:literal $(, coturn $($theirs:literal)+)?;)+
    })+) => {
        /// The rows, in the order of `turnserver.toml`.
        pub(crate) static ROWS: &[Row] = &[$($(Row {
            table: $table,
            header: $header,
            key: $key,
            kind: $kind,
            unwritten: $unwritten,
            help: $help,
            coturn: &[$($($theirs),+)?],
        }),+),+];
    };
}

rows! {
    "" "" {
        "realm": Text(Form::Realm), Says("the name of this host"),
            "The name of the service in long-term credentials", coturn "realm";
        "threads": Number(0, 1024, |c, n| if n > 0 { c.threads = n as usize }), Is("0"),
            "How many shards move packets, 0 for one per core", coturn "relay-threads";
    }
    "listener" "[[listener]]" {
        "transport": Word(TRANSPORTS), Missing("transport = \"udp\""),
            "The transport that clients come with", coturn "no-udp" "no-tcp" "no-tls" "tls-listening-port";
        "listen": Text(Form::Socket), Missing("listen = \"0.0.0.0:3478\""),
            "The address and port that clients come to",
            coturn "listening-port" "listening-ip";
    }
    "tls" "[tls]" {
        "minimum-version": Word(&[
                ("1.2", |c| c.tls.minimum = TlsVersion::V1_2),
                ("1.3", |c| c.tls.minimum = TlsVersion::V1_3),
            ]), Is("1.2"), "The oldest version of TLS that is taken",
            coturn "no-tlsv1_2";
    }
    "tls.certificates" "[[tls.certificates]]" {
        "cert": Text(Form::Chain), Missing("cert = \"/etc/hairpin/fullchain.pem\""),
            "The file of a certificate and those of its issuers", coturn "cert";
        "key": Text(Form::File), Missing("key = \"/etc/hairpin/privkey.pem\""),
            "The file of its key", coturn "pkey" "pkey-pwd";
    }
    "dtls" "[dtls]" {
        "enabled": Flag(|c, is| c.dtls = is), Is("false"),
            "Whether listeners with transport \"auto\" take clients over DTLS", coturn "no-dtls";
    }
    "advertise" "[advertise]" {
        "uris": Texts(Form::TurnUri), Is("[]"),
            "The URIs that clients are given, where a balancer or a port mapping stands before the listeners";
    }
    "tls.acme" "[tls.acme]" {
        "names": Texts(Form::Certified), Missing("names = [\"turn.example.org\"]"),
            "The names and addresses that a certificate comes for by itself (RFC 8555)";
        "contact": TextOrTexts(Form::Contact), Is("[]"), "Where the authority writes to people";
        "directory": Text(Form::Directory), Is("letsencrypt"),
            "The authority: \"letsencrypt\", \"staging\" or the URL of its directory";
        "ca-file": Text(Form::Chain), Says("the roots that browsers have"),
            "A file with the root by which a directory of your own is believed";
        "profile": Text(Form::Name(64)), Says("\"shortlived\" for addresses where there is one"),
            "The kind of certificate, by the authority's name for it";
        "account-id": Text(Form::Name(255)), Says("no account elsewhere"),
            "The name of the key of an account at the authority (external account binding)";
        "account-key-file": Text(Form::File), Says("no account elsewhere"),
            "A file with that key, in base64";
        "http-01": Text(Form::Socket), Says("TLS-ALPN-01 alone"),
            "Where HTTP-01 is answered, which the world reaches on port 80";
    }
    "relay" "[relay]" {
        "addresses": Texts(Form::Address), Is("[]"),
            "The addresses of allocations, one of each family; none for those of the default routes",
            coturn "relay-ip";
        "external": TextOrTexts(Form::External), Is("[]"),
            "The public addresses of `addresses` behind 1:1 NAT, or \"auto\"", coturn "external-ip";
        "external-from": TextOrTexts(Form::Teller), Is("[]"),
            "What tells the public address where `external` is \"auto\"";
        "ports": Ports(|c, ports| c.relay.ports = ports), Is("49152-65535"),
            "The ports of allocations", coturn "min-port" "max-port";
    }
    "nat-discovery" "[nat-discovery]" {
        "alternate": TextOrTexts(Form::SecondSocket), Is("[]"),
            "A second address of this host, of each family, and a second port (RFC 5780)",
            coturn "alt-listening-port" "rfc5780";
        "external": Texts(Form::Address), Is("[]"),
            "The public addresses of `alternate` behind 1:1 NAT";
        "partner": TextOrTexts(Form::SecondSocket), Is("[]"),
            "Another host with Hairpin that answers from its address for this one";
        "port": Number(1, 65535, |_, _| ()), Is("3480"),
            "The UDP port that partners write to each other on";
        "secret": Text(Form::Secret), Is(""), "The secret that both partners know";
        "secret-file": Text(Form::File), Is(""), "A file with the secret of both partners";
    }
    "auth" "[auth]" {
        "secrets": Texts(Form::Secret), Is("[]"),
            "Shared secrets for time-limited credentials; the first makes new ones",
            coturn "static-auth-secret" "use-auth-secret";
        "secret-files": Texts(Form::File), Is("[]"), "The same, each in a file of its own";
        "failures-per-minute": Number(0, 1_000_000, |c, n| c.auth.failures_per_minute = NonZeroU32::new(n)),
            Is("60"), "How many wrong passwords of one network are answered, 0 for no limit";
        "users-file": Text(Form::File), Says("nobody"),
            "Users in a file of their own, written as in [auth.users]", coturn "userdb";
        "nonce-lifetime": Duration(1, HOUR, |c, span| c.auth.nonce_lifetime = span), Is("1h"),
            "How long a nonce is accepted", coturn "stale-nonce";
        "nonce-secret-file": Text(Form::File), Says("a secret of this process"),
            "A file with the secret of nonces, for servers that send clients to each other";
        "sha256": Word(&[
                ("off", |c| c.auth.sha256 = Sha256::Off),
                ("offer", |c| c.auth.sha256 = Sha256::Offer),
                ("require", |c| c.auth.sha256 = Sha256::Require),
            ]), Is("offer"), "SHA-256 in place of MD5 and SHA-1 (RFC 8489)";
        "users": Users, Says("nobody"),
            "Users with their passwords, or { key = \"MD5 of USER:REALM:PASSWORD\" }",
            coturn "user" "lt-cred-mech";
    }
    "auth.realm" "[[auth.realm]]" {
        "name": Text(Form::Realm), Missing("name = \"example.net\""), "The name of another realm";
        "listeners": Texts(Form::Socket), Is("[]"),
            "The listeners whose clients are asked for this realm";
        "secrets": Texts(Form::Secret), Is("[]"), "As in [auth]";
        "secret-files": Texts(Form::File), Is("[]"), "As in [auth]";
        "users-file": Text(Form::File), Says("nobody"), "As in [auth]";
        "per-user": Number(0, u32::MAX, |_, _| ()), Is("0"),
            "How many allocations one user of the realm may hold, 0 for as in [allocation]";
        "total": Number(0, u32::MAX, |_, _| ()), Is("0"),
            "How many allocations all users of the realm may hold, 0 for no limit";
        "bandwidth": Bandwidth(|_, _| ()), Says("as in [allocation]"),
            "How fast the data of one allocation in the realm may pass, each way";
        "per-user-bandwidth": Bandwidth(|_, _| ()), Says("as in [allocation]"),
            "How fast the data of all allocations of one of its users may pass, each way";
        "users": Users, Says("nobody"), "As [auth.users]";
    }
    "oauth" "[oauth]" {
        "server-name": Text(Form::Name(255)), Says("the realm"),
            "The name of this server to authorization servers", coturn "server-name";
    }
    "oauth.key" "[[oauth.key]]" {
        "id": Text(Form::Name(508)), Missing("id = \"north\""),
            "The user name of clients with tokens of this key", coturn "oauth";
        "key": Text(Form::Secret), Says("see key-file"),
            "The key shared with an authorization server, in base64";
        "key-file": Text(Form::File), Says("see key"), "A file with that key";
        "algorithm": Word(&[("A256GCM", REVIEWED), ("A128GCM", REVIEWED)]), Is("A256GCM"),
            "The algorithm that seals tokens";
        "not-before": Text(Form::Time), Says("always"), "From when the key is good, in UTC";
        "expires": Text(Form::Time), Says("never"), "Until when the key is good, in UTC";
    }
    "allocation" "[allocation]" {
        // More than a month is a slip: nobody would miss the port that it holds.
        "default-lifetime": Duration(1, MONTH, |c, span| c.allocation.default_lifetime = span),
            Is("10m"), "The lifetime of an allocation whose client asks for none, and the shortest";
        "max-lifetime": Duration(1, MONTH, |c, span| c.allocation.max_lifetime = span), Is("1h"),
            "The longest lifetime granted", coturn "max-allocate-lifetime";
        // More than there are ports is no limit.
        "per-user": Number(0, u32::MAX, |c, n| c.allocation.per_user = some(n).or(Some(u32::MAX))),
            Says("a quarter of the ports of one relay address, and at least one"),
            "How many allocations one user may hold, 0 for no limit", coturn "user-quota";
        "total": Number(0, u32::MAX, |c, n| c.allocation.total = some(n)), Is("0"),
            "How many allocations all users may hold, 0 for no limit", coturn "total-quota";
        "bandwidth": Bandwidth(|c, rate| c.allocation.bandwidth.allocation = rate), Is("unlimited"),
            "How fast the data of one allocation may pass, each way", coturn "max-bps";
        "per-user-bandwidth": Bandwidth(|c, rate| c.allocation.bandwidth.user = rate),
            Is("unlimited"), "How fast the data of all allocations of one user may pass, each way";
        "permissions": Number(1, 65536, |c, n| c.allocation.permissions = n as usize), Is("256"),
            "How many peers one allocation may have permissions for";
        // RFC 8656 §12: new clients have 0x4000 to 0x4FFF, there are no more.
        "channels": Number(1, 4096, |c, n| c.allocation.channels = n as usize), Is("256"),
            "How many channels one allocation may bind";
        "tcp": Flag(|c, on| c.tcp_relay = on), Is("false"),
            "Whether clients may exchange TCP with their peers (RFC 6062)", coturn "no-tcp-relay";
        "connections": Number(1, 1024, |c, n| c.allocation.connections = n as usize), Is("32"),
            "How many connections with peers one allocation may have, where TCP is relayed";
        "mobility": Flag(|c, on| c.mobility = on), Is("false"),
            "Whether an allocation may follow its client to another address (RFC 8016)",
            coturn "mobility";
        "icmp": Word(&[
                ("rfc8489", |c| c.icmp = IcmpTold::Rfc8489),
                ("always", |c| c.icmp = IcmpTold::Always),
                ("never", |c| c.icmp = IcmpTold::Never),
            ]), Is("rfc8489"), "Which clients hear ICMP errors of their peers";
    }
    "redirect" "[[redirect]]" {
        "to": Texts(Form::Target), Missing("to = [\"203.0.113.9:3478\"]"),
            "The servers that clients are sent to", coturn "alternate-server";
        "when": When, Missing("when = \"draining\""), "When clients are sent there";
        "realm": Text(Form::Any), Says("every realm"), "The realm whose users are sent there";
        "domain": Text(Form::Domain), Says("clients over TLS and DTLS stay"),
            "The name that the certificates of `to` hold, for clients over TLS and DTLS",
            coturn "tls-alternate-server";
    }
    "redirect.when" "[[redirect]] when" {
        "allocations": Number(1, u32::MAX, |_, _| ()), Missing("when = { allocations = 1000 }"),
            "The allocations from which on clients are sent there";
    }
    "unauthenticated" "[unauthenticated]" {
        "per-prefix": Rate(|c, rate| c.unauthenticated.per_prefix = rate), Is("16KiB"),
            "Bytes per second that strangers of one network hear beyond what they send";
        "total": Rate(|c, rate| c.unauthenticated.total = rate), Is("256KiB"),
            "The same for all networks together";
    }
    "tcp" "[tcp]" {
        "connections": Number(1, 1_000_000, |c, n| c.tcp.connections = n as usize), Is("16384"),
            "How many connections of clients there may be";
        "per-prefix": Number(1, 1_000_000, |c, n| c.tcp.per_prefix = n as usize), Is("1024"),
            "How many of them from one network: an IPv4 /24 or an IPv6 /48";
        "first-frame": Duration(1, HOUR, |c, span| c.tcp.first_frame = span), Is("10s"),
            "How long a client may take until its first request";
        "idle": Duration(1, HOUR, |c, span| c.tcp.idle = span), Is("1m"),
            "How long a client without an allocation may be silent";
        // No more than a day: strangers are many, and the connections few.
        "stranger-lifetime": Duration(1, DAY, |c, span| c.tcp.stranger_lifetime = span), Is("1h"),
            "How long a client may keep its connection without an allocation";
        // The largest frame must fit; a second of video at 1 Gbit/s is as much as makes sense.
        "send-queue": Number(131_072, 134_217_728, |c, n| c.tcp.send_queue = n as usize),
            Is("262144"), "How many bytes may wait for a client that reads too slowly";
        // A packet that every IPv6 link carries must fit; libnice and pion have no room for more
        // than 65,535 bytes.
        "data-indication": Number(1280, 65535, |c, n| c.allocation.stream_indication = n as usize),
            Is("2048"), "The longest Data indication that a client over TCP is sent, in bytes";
    }
    "proxy-protocol" "[proxy-protocol]" {
        "tcp-from": Texts(Form::Hosts), Is("[]"),
            "The proxies whose connections begin with a PROXY header", coturn "tcp-use-proxy";
        "udp-from": Texts(Form::Hosts), Is("[]"),
            "The proxies each of whose datagrams begins with a PROXY header of version 2";
    }
    "web" "[web]" {
        "https-backend": Text(Form::Backend), Says("nobody"),
            "The web server that has the TLS connections for other names and protocols";
        "proxy-protocol": Flag(|c, on| c.web.proxy_protocol = on), Is("false"),
            "Whether `https-backend` is told the addresses of clients (PROXY protocol, version 2)";
        "quic-backend": Text(Form::Backend), Says("nobody"),
            "The HTTP/3 server that has the QUIC of clients without an allocation";
    }
    "http" "[http]" {
        "listen": TextOrTexts(Form::Socket), Is("[]"),
            "The addresses that browsers come to for pages, signaling and credentials";
        "tls-listeners": Flag(|c, is| c.http.tls_listeners = is), Is("false"),
            "Whether browsers come to the relay's listeners for TLS, too";
        "connections": Number(1, 1_000_000, |c, n| c.http.connections = n as usize), Is("8192"),
            "How many connections there may be, WebSockets included";
        "per-prefix": Number(1, 1_000_000, |c, n| c.http.per_prefix = n as usize), Is("1024"),
            "How many of them from one network, and how many requests it may make in a second";
        "forwarded-from": Texts(Form::Hosts), Is("[]"),
            "The proxies that say in X-Forwarded-For who their visitors are";
        "origins": Texts(Form::Origin), Is("[]"),
            "The pages of other servers that may use signaling and credentials";
    }
    "http.token" "[[http.token]]" {
        "id": Text(Form::Name(64)), Missing("id = \"web\""),
            "The name of a token by which credentials are made, in the path of the request";
        "secret": Text(Form::Secret), Says("see secret-file"),
            "The token itself, which a request shows as its bearer";
        "secret-file": Text(Form::File), Says("see secret"), "A file with that token";
        "realm": Text(Form::Realm), Says("the default one"), "The realm of the credentials";
        "max-lifetime": Duration(1, MONTH, |_, _| ()), Is("1day"),
            "The longest lifetime of a credential";
        "per-minute": Number(0, 1_000_000, |_, _| ()), Is("6000"),
            "How many credentials are made in a minute, 0 for no limit";
        "users": Text(Form::Name(400)), Is("*"),
            "The names of their users: a * stands for any text";
    }
    "signal" "[signal]" {
        "enabled": Flag(|c, is| c.signal.enabled = is), Is("false"),
            "Whether browsers find each other in rooms, over WebSocket at /signal of [http] listen";
        "secrets": Texts(Form::Secret), Is("[]"), "Secrets that open every room";
        "secret-files": Texts(Form::File), Is("[]"), "The same, each in a file of its own";
        "token-secrets": Texts(Form::Secret), Is("[]"),
            "Secrets that join tokens are signed with (JWT, HS256)";
        "token-secret-files": Texts(Form::File), Is("[]"), "The same, each in a file of its own";
        "open": Flag(|c, is| c.signal.open = is), Is("false"),
            "Whether the name of a room is enough to enter it";
        "rooms": Number(1, 100_000, |c, n| c.signal.limits.rooms = n as usize), Is("1000"),
            "How many rooms there may be";
        "members": Number(2, 100, |c, n| c.signal.limits.members = n as usize), Is("8"),
            "How many members a room may have";
        "per-prefix": Number(1, 1_000_000, |c, n| c.signal.limits.per_prefix = n as usize), Is("256"),
            "How many members there may be of one network: an IPv4 /24 or an IPv6 /48";
        "message-size": Number(4096, 1_048_576, |c, n| c.signal.limits.message = n as usize), Is("65536"),
            "The longest message, in bytes; as many bytes a second may come of one member";
        "rate": Number(1, 10_000, |c, n| if let Some(n) = NonZeroU32::new(n) { c.signal.limits.messages = n }),
            Is("50"), "How many messages a second may come of one member";
        "memory": Number(1_048_576, 2_147_483_648, |c, n| c.signal.limits.queued = n as usize),
            Is("67108864"), "How many bytes may wait for all members together";
    }
    "demo" "[demo]" {
        "enabled": Flag(|c, is| c.demo = is), Is("false"),
            "Whether the page for calls and the page that tests the relay are served";
    }
    "admin" "[admin]" {
        "socket": Text(Form::Any), Is("auto"),
            "The Unix socket of `hairpin status` and others: a path, \"auto\" for the runtime directory, or \"off\"",
            coturn "cli-ip" "cli-port" "no-cli";
    }
    "metrics" "[metrics]" {
        "listen": TextOrTexts(Form::Socket), Is("[]"),
            "Where metrics are scraped, at /metrics", coturn "prometheus" "prometheus-port";
        "token": Text(Form::Secret), Is(""), "What a scrape has to show (Authorization: Bearer)";
        "token-file": Text(Form::File), Is(""), "A file with that token";
    }
    "peers" "[peers]" {
        "allow": Texts(Form::Network), Is("[]"),
            "Networks that clients may reach although they are not public", coturn "allowed-peer-ip";
        "deny": Texts(Form::Network), Is("[]"),
            "Networks that clients may not reach", coturn "denied-peer-ip";
        "mode": Word(&[
                ("closed", |c| c.peers.mode = Mode::Closed),
                ("allow-list", |c| c.peers.mode = Mode::AllowList),
            ]), Is("closed"), "Whether public addresses are allowed, or only those of `allow`";
    }
    "log" "[log]" {
        "level": Word(&[
                ("error", |c| c.log.level = Level::Error),
                ("warn", |c| c.log.level = Level::Warn),
                ("info", |c| c.log.level = Level::Info),
                ("debug", |c| c.log.level = Level::Debug),
                ("trace", |c| c.log.level = Level::Trace),
            ]), Is("info"), "The least important lines that are logged", coturn "verbose";
        "format": Word(&[
                ("text", |c| c.log.format = Format::Text),
                ("json", |c| c.log.format = Format::Json),
            ]), Is("text"), "How a line is written";
        "addresses": Flag(|c, on| c.log.addresses = on), Is("false"),
            "Whether lines show the addresses of clients";
    }
}

fn some(limit: u32) -> Option<u32> {
    (limit > 0).then_some(limit)
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;

impl Row {
    /// The key with its table, the way sentences name it.
    pub(crate) fn name(&self) -> String {
        if matches!(self.kind, Users) {
            return format!("[{}.{}]", self.table, self.key);
        }
        full_name(self.table, self.key)
    }
}

impl Kind {
    /// Whether values are hidden wherever they could be shown.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Text(Form::Secret) | Texts(Form::Secret) | Users)
    }
}

/// The row of a key.
pub(super) fn find(table: &str, key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.table == table && row.key == key)
}

/// The keys and tables that may stand in a table.
pub(super) fn known(table: &str) -> Vec<&'static str> {
    let mut known = Vec::new();
    for row in ROWS {
        let below = match table {
            "" => Some(row.table),
            _ => row
                .table
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let inner = below.and_then(|path| path.split('.').next());
        let name = if row.table == table {
            Some(row.key)
        } else {
            inner
        };
        known.extend(name.filter(|name| !known.contains(name)));
    }
    known
}

/// How a table is written in the file.
pub(super) fn header(table: &str) -> String {
    let row = ROWS.iter().find(|row| row.table == table);
    row.map_or_else(|| format!("[{table}]"), |row| row.header.to_owned())
}

/// A key with its table.
pub(super) fn full_name(table: &str, key: &str) -> String {
    match header(table) {
        header if header.is_empty() => key.to_owned(),
        header if header.ends_with(']') => format!("{header} {key}"),
        header => format!("{header}.{key}"),
    }
}

/// What the name of a key that `table` does not know may have meant.
pub(super) fn hint(table: &str, name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean `{near}`?");
    }
    let is_coturns = |row: &&Row| row.coturn.contains(&name) && row.key != name;
    if let Some(row) = ROWS.iter().find(is_coturns) {
        return format!("coturn's `{name}` is `{}` here", row.name());
    }
    if coturn::OTHERS.contains(&name) {
        return format!("coturn's `{name}` is not needed here, or not there");
    }
    let homes = ROWS
        .iter()
        .filter(|row| row.key == name && row.table != table);
    let homes: Vec<String> = homes.map(|row| place(row.table)).collect();
    if homes.is_empty() {
        return format!("known here: {}", listed(known));
    }
    format!("`{name}` belongs {}", homes.join(" or "))
}

/// Where a key stands, in words.
pub(super) fn place(table: &str) -> String {
    match table {
        "" => "at the top of the file, before the first table".to_owned(),
        _ => format!("in `{}`", header(table)),
    }
}

/// Words in backticks, separated by commas.
pub(super) fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// The known word that a slip or two of the finger turn into `name`.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |word: &str| strsim::osa_distance(name, word);
    let near = known.iter().copied().min_by_key(|word| distance(word))?;
    (distance(near) <= near.len().max(3) / 3).then_some(near)
}

/// Whether the value of `key` in `table` has to be hidden, or, without a key, what stands below
/// the table's header. A key that nobody knows may be a misspelt one that holds a secret.
pub(super) fn holds_a_secret(table: &str, key: &str) -> bool {
    if key.is_empty() {
        let top = |table: &'static str| table.split('.').next();
        let first = table.split('.').next();
        return ROWS
            .iter()
            .any(|row| row.kind.is_secret() && top(row.table) == first);
    }
    let (table, key) = match key.rsplit_once('.') {
        Some((path, key)) if table.is_empty() => (path, key),
        Some(_) => return true,
        None => (table, key),
    };
    find(table, key).is_none_or(|row| row.kind.is_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        for (slip, meant) in [
            ("prts", "ports"),
            ("lisen", "listen"),
            ("per_user", "per-user"),
            ("chanels", "channels"),
        ] {
            let known: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
            assert_eq!(nearest(slip, &known), Some(meant));
        }
        assert_eq!(
            nearest("bandwidth", &["addresses", "external", "ports"]),
            None
        );
        assert_eq!(nearest("", &["udp", "tcp"]), None);
    }

    #[test]
    fn what_is_not_known_to_be_public_is_secret() {
        for (table, key) in [
            ("", "realm"),
            ("", "auth.nonce-lifetime"),
            ("relay", "ports"),
            ("auth", "secret-files"),
            ("auth", "nonce-secret-file"),
            ("auth.realm", "name"),
            ("oauth.key", "key-file"),
            ("tls.certificates", "cert"),
            ("tls.certificates", "key"),
            ("redirect.when", "allocations"),
        ] {
            assert!(!holds_a_secret(table, key), "{table} {key}");
        }
        for (table, key) in [
            ("auth", "secrets"),
            ("", "auth.secrets"),
            ("auth", "users"),
            ("nat-discovery", "secret"),
            ("auth.users", "realm"),
            ("auth.realm", "secrets"),
            ("", "auth.realm.secrets"),
            ("auth.realm.users", "name"),
            ("oauth.key", "key"),
            ("", "oauth.key.key"),
            ("oauth", ""),
            ("oauth.key", ""),
            ("", "secret"),
            ("relay", "a.b"),
        ] {
            assert!(holds_a_secret(table, key), "{table} {key}");
        }
    }
}
