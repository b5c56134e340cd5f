//! Every key of the configuration file, as one row each: its place, kind, range, default, help, and
//! coturn's name of it. The reader, the help, the masking of secrets and the test of
//! `turnserver.toml` all follow from these rows.

use std::num::NonZeroU32;

use net::{Offload, TlsVersion};
use relay::policy::Mode;
use relay::{IcmpTold, Sha256};

use super::form::Form;
use super::kind::{Choice, Kind};
use super::row::{Row, Unwritten};
use super::{Config, Format, Level};
use Kind::{
    Bandwidth, Duration, Flag, Milliseconds, Number, Percent, Ports, Rate, Text, TextOrTexts,
    Texts, Users, When, Word,
};
use Unwritten::{Is, Missing, Says};

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
            "The number of shards that move packets; 0 is one per core", coturn "relay-threads";
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
            "Serve DTLS on listeners with transport \"auto\"", coturn "no-dtls";
    }
    "advertise" "[advertise]" {
        "uris": Texts(Form::TurnUri), Is("[]"),
            "URIs to give to clients in place of the listeners' own, behind a balancer or a port mapping";
    }
    "tls.acme" "[tls.acme]" {
        "names": Texts(Form::Certified), Missing("names = [\"turn.example.org\"]"),
            "Names and addresses to get a certificate for automatically (ACME, RFC 8555)";
        "contact": TextOrTexts(Form::Contact), Is("[]"), "The address for messages of the certificate authority";
        "directory": Text(Form::Directory), Is("letsencrypt"),
            "The authority: \"letsencrypt\", \"staging\" or the URL of its directory";
        "ca-file": Text(Form::Chain), Says("the roots that browsers have"),
            "A file with the root certificate of an ACME directory of your own";
        "profile": Text(Form::Name(64)), Says("\"shortlived\" for addresses where there is one"),
            "The kind of certificate, by the authority's name for it";
        "account-id": Text(Form::Name(255)), Says("no account elsewhere"),
            "The name of the key of an account at the authority (external account binding)";
        "account-key-file": Text(Form::File), Says("no account elsewhere"),
            "A file with that key, in base64";
        "http-01": Text(Form::Socket), Says("TLS-ALPN-01 alone"),
            "The address that answers HTTP-01 challenges; it must be reachable on port 80";
    }
    "relay" "[relay]" {
        "addresses": Texts(Form::Address), Is("[]"),
            "The addresses of allocations, one of each family; none for those of the default routes",
            coturn "relay-ip";
        "external": TextOrTexts(Form::External), Is("[]"),
            "The public addresses of `addresses` behind 1:1 NAT, or \"auto\"", coturn "external-ip";
        "external-from": TextOrTexts(Form::Teller), Is("[]"),
            "The source of the public address if `external` is \"auto\"";
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
        "generated-secret-file": Text(Form::File), Says("none is generated"),
            "The file of one more secret, which the server generates when it starts and there is none";
        "failures-per-minute": Number(0, 1_000_000, |c, n| c.auth.failures_per_minute = NonZeroU32::new(n)),
            Is("60"), "The most wrong passwords of one network that are answered per minute; 0 is no limit";
        "users-file": Text(Form::File), Says("nobody"),
            "Users in a file of their own, written as in [auth.users]", coturn "userdb";
        "nonce-lifetime": Duration(1, HOUR, |c, span| c.auth.nonce_lifetime = span), Is("1h"),
            "The time for which a nonce is accepted", coturn "stale-nonce";
        "nonce-secret-file": Text(Form::File), Says("a secret of this process"),
            "A file with the secret of nonces, shared by servers that redirect clients to each other";
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
            "The listeners that ask for this realm";
        "secrets": Texts(Form::Secret), Is("[]"), "As in [auth]";
        "secret-files": Texts(Form::File), Is("[]"), "As in [auth]";
        "users-file": Text(Form::File), Says("nobody"), "As in [auth]";
        "per-user": Number(0, u32::MAX, |_, _| ()), Is("0"),
            "The most allocations of one user of the realm; 0 takes the value of [allocation]";
        "total": Number(0, u32::MAX, |_, _| ()), Is("0"),
            "The most allocations of all users of the realm; 0 is no limit";
        "bandwidth": Bandwidth(|_, _| ()), Says("as in [allocation]"),
            "The bandwidth of one allocation in the realm, each way";
        "per-user-bandwidth": Bandwidth(|_, _| ()), Says("as in [allocation]"),
            "The bandwidth of all allocations of one user of the realm, each way";
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
        "not-before": Text(Form::Time), Says("always"), "The time at which the key becomes good, in UTC";
        "expires": Text(Form::Time), Says("never"), "The time at which the key expires, in UTC";
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
            "The most allocations of one user; 0 is no limit", coturn "user-quota";
        "total": Number(0, u32::MAX, |c, n| c.allocation.total = some(n)), Is("0"),
            "The most allocations of all users; 0 is no limit", coturn "total-quota";
        "bandwidth": Bandwidth(|c, rate| c.allocation.bandwidth.allocation = rate), Is("unlimited"),
            "The bandwidth of one allocation, each way", coturn "max-bps";
        "per-user-bandwidth": Bandwidth(|c, rate| c.allocation.bandwidth.user = rate),
            Is("unlimited"), "The bandwidth of all allocations of one user, each way";
        "permissions": Number(1, 65536, |c, n| c.allocation.permissions = n as usize), Is("256"),
            "The most permissions of one allocation";
        // RFC 8656 §12: new clients have 0x4000 to 0x4FFF, there are no more.
        "channels": Number(1, 4096, |c, n| c.allocation.channels = n as usize), Is("256"),
            "The most channels of one allocation";
        "tcp": Flag(|c, on| c.tcp_relay = on), Is("false"),
            "Let clients exchange TCP with their peers (RFC 6062)", coturn "no-tcp-relay";
        "connections": Number(1, 1024, |c, n| c.allocation.connections = n as usize), Is("32"),
            "The most peer connections of one TCP allocation";
        "mobility": Flag(|c, on| c.mobility = on), Is("false"),
            "Let an allocation follow its client to another address (RFC 8016)",
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
        "when": When, Missing("when = \"draining\""), "The condition for sending clients there";
        "realm": Text(Form::Any), Says("every realm"), "The realm whose users are sent there";
        "domain": Text(Form::Domain), Says("clients over TLS and DTLS stay"),
            "The name that the certificates of `to` hold, for clients over TLS and DTLS",
            coturn "tls-alternate-server";
    }
    "redirect.when" "[[redirect]] when" {
        "allocations": Number(1, u32::MAX, |_, _| ()), Missing("when = { allocations = 1000 }"),
            "The number of allocations at which the redirect begins";
    }
    "unauthenticated" "[unauthenticated]" {
        "per-prefix": Rate(|c, rate| c.unauthenticated.per_prefix = rate), Is("16KiB"),
            "Limit on replies to unauthenticated clients of one network (anti-amplification): bytes per second beyond those received";
        "total": Rate(|c, rate| c.unauthenticated.total = rate), Is("256KiB"),
            "The same limit for all networks together";
    }
    "tcp" "[tcp]" {
        "connections": Number(1, 1_000_000, |c, n| c.tcp.connections = n as usize), Is("16384"),
            "The most connections of clients";
        "per-prefix": Number(1, 1_000_000, |c, n| c.tcp.per_prefix = n as usize), Is("1024"),
            "The most connections of one network (IPv4 /24, IPv6 /48)";
        "first-frame": Duration(1, HOUR, |c, span| c.tcp.first_frame = span), Is("10s"),
            "Time limit for a client's first request";
        "idle": Duration(1, HOUR, |c, span| c.tcp.idle = span), Is("1m"),
            "Time limit for silence of a client without an allocation";
        // No more than a day: strangers are many, and the connections few.
        "stranger-lifetime": Duration(1, DAY, |c, span| c.tcp.stranger_lifetime = span), Is("1h"),
            "Time limit for a connection without an allocation";
        // The largest frame must fit; a second of video at 1 Gbit/s is as much as makes sense.
        "send-queue": Number(131_072, 134_217_728, |c, n| c.tcp.send_queue = n as usize),
            Is("262144"), "The most bytes that wait for a slow client";
        // A packet that every IPv6 link carries must fit; libnice and pion have no room for more
        // than 65,535 bytes.
        "data-indication": Number(1280, 65535, |c, n| c.allocation.stream_indication = n as usize),
            Is("2048"), "The longest Data indication that a client over TCP is sent, in bytes";
    }
    "proxy-protocol" "[proxy-protocol]" {
        "tcp-from": Texts(Form::Hosts), Is("[]"),
            "The proxies whose connections begin with a PROXY header", coturn "tcp-use-proxy";
        "udp-from": Texts(Form::Hosts), Is("[]"),
            "Proxies whose datagrams begin with a PROXY header of version 2";
    }
    "clients" "[clients]" {
        "allow": Texts(Form::Hosts), Is("[]"),
            "Networks of clients to serve; without any, all networks";
        "deny": Texts(Form::Hosts), Is("[]"),
            "Networks of clients not to serve, even if `allow` names them";
        "ban-after": Number(0, 1_000_000, |c, n| c.clients.ban_after = NonZeroU32::new(n)), Is("0"),
            "Number of failed authentications that bans a network; 0 never bans";
        "ban-within": Duration(1, MONTH, |c, span| c.clients.ban_within = span), Is("10m"),
            "The period in which these failures are counted";
        "ban-for": Duration(1, MONTH, |c, span| c.clients.ban_for = span), Is("1h"),
            "Duration of a ban";
    }
    "web" "[web]" {
        "https-backend": Text(Form::Backend), Says("nobody"),
            "The web server that receives TLS connections for other names and protocols";
        "proxy-protocol": Flag(|c, on| c.web.proxy_protocol = on), Is("false"),
            "Tell `https-backend` the addresses of clients (PROXY protocol, version 2)";
        "quic-backend": Text(Form::Backend), Says("nobody"),
            "The HTTP/3 server that receives QUIC from clients without an allocation";
    }
    "http" "[http]" {
        "listen": TextOrTexts(Form::Socket), Is("[]"),
            "Addresses for browsers: pages, signaling and credentials";
        "tls-listeners": Flag(|c, is| c.http.tls_listeners = is), Is("false"),
            "Serve browsers on the relay's TLS listeners, too";
        "connections": Number(1, 1_000_000, |c, n| c.http.connections = n as usize), Is("8192"),
            "The most connections, WebSockets included";
        "per-prefix": Number(1, 1_000_000, |c, n| c.http.per_prefix = n as usize), Is("1024"),
            "The most connections of one network, and its most requests per second";
        "forwarded-from": Texts(Form::Hosts), Is("[]"),
            "Proxies whose X-Forwarded-For header is believed";
        "origins": Texts(Form::Origin), Is("[]"),
            "Origins of other servers whose pages may use signaling and credentials";
    }
    "http.token" "[[http.token]]" {
        "id": Text(Form::Name(64)), Missing("id = \"web\""),
            "The name of a token for making credentials, as in the path of the request";
        "secret": Text(Form::Secret), Says("see secret-file"),
            "The bearer token of the request";
        "secret-file": Text(Form::File), Says("see secret"), "A file with that token";
        "realm": Text(Form::Realm), Says("the default one"), "The realm of the credentials";
        "max-lifetime": Duration(1, MONTH, |_, _| ()), Is("1day"),
            "The longest lifetime of a credential";
        "per-minute": Number(0, 1_000_000, |_, _| ()), Is("6000"),
            "The most credentials per minute; 0 is no limit";
        "users": Text(Form::Name(400)), Is("*"),
            "Allowed user names; * stands for any text";
    }
    "signal" "[signal]" {
        "enabled": Flag(|c, is| c.signal.enabled = is), Is("false"),
            "Rooms for browsers, over WebSocket at /signal of [http] listen";
        "secrets": Texts(Form::Secret), Is("[]"), "Secrets that open every room";
        "secret-files": Texts(Form::File), Is("[]"), "The same, each in a file of its own";
        "token-secrets": Texts(Form::Secret), Is("[]"),
            "Secrets for signing join tokens (JWT, HS256)";
        "token-secret-files": Texts(Form::File), Is("[]"), "The same, each in a file of its own";
        "open": Flag(|c, is| c.signal.open = is), Is("false"),
            "Let everybody enter a room by its name alone";
        "rooms": Number(1, 100_000, |c, n| c.signal.limits.rooms = n as usize), Is("1000"),
            "The most rooms";
        "members": Number(2, 100, |c, n| c.signal.limits.members = n as usize), Is("8"),
            "The most members of a room";
        "per-prefix": Number(1, 1_000_000, |c, n| c.signal.limits.per_prefix = n as usize), Is("256"),
            "The most members of one network (IPv4 /24, IPv6 /48)";
        "message-size": Number(4096, 1_048_576, |c, n| c.signal.limits.message = n as usize), Is("65536"),
            "The longest message in bytes, and the most bytes per second of one member";
        "rate": Number(1, 10_000, |c, n| if let Some(n) = NonZeroU32::new(n) { c.signal.limits.messages = n }),
            Is("50"), "The most messages per second of one member";
        "memory": Number(1_048_576, 2_147_483_648, |c, n| c.signal.limits.queued = n as usize),
            Is("67108864"), "The most bytes that wait for all members together";
    }
    "demo" "[demo]" {
        "enabled": Flag(|c, is| c.demo = is), Is("false"),
            "Serve the page for calls and the page that tests the relay";
    }
    "admin" "[admin]" {
        "socket": Text(Form::Any), Is("auto"),
            "The Unix socket of `hairpin status` and others: a path, \"auto\" for the runtime directory, or \"off\"",
            coturn "no-cli";
        "listen": TextOrTexts(Form::Socket), Is("[]"),
            "The address of the same API over HTTPS (on loopback over HTTP), for operators with the token",
            coturn "cli-ip" "cli-port" "web-admin" "web-admin-ip" "web-admin-port";
        "token": Text(Form::Secret), Is(""),
            "The token of requests to [admin] listen (Authorization: Bearer)", coturn "cli-password";
        "token-file": Text(Form::File), Is(""), "A file with that token";
    }
    "metrics" "[metrics]" {
        "listen": TextOrTexts(Form::Socket), Is("[]"),
            "The address where metrics are scraped, at /metrics", coturn "prometheus" "prometheus-port";
        "token": Text(Form::Secret), Is(""), "The token of a scrape (Authorization: Bearer)";
        "token-file": Text(Form::File), Is(""), "A file with that token";
        "client-ca": Text(Form::Chain), Is(""),
            "A file with the authorities of scrapers' certificates: a scrape shows one of theirs, over HTTPS";
    }
    "usage" "[usage]" {
        // More often would fill a disk with what hardly changed.
        "every": Duration(5, DAY, |c, span| c.usage.every = span), Is("1m"),
            "The interval of usage events of an allocation";
        "file": Text(Form::Any), Is(""), "A file that usage events are added to, as lines of JSON";
        "webhook": Text(Form::Webhook), Says("nobody"), "The URL that usage events are posted to";
        "secret": Text(Form::Secret), Is(""),
            "The key that signs webhook posts (Standard Webhooks): whsec_ and base64";
        "secret-file": Text(Form::File), Says("see secret"), "A file with that secret";
        "ca-file": Text(Form::Chain), Says("the roots that browsers have"),
            "A file with the root certificate of the webhook's server";
        "spool": Text(Form::Any), Says("`usage` in the state directory"),
            "The directory for counts and for events that wait for the webhook";
        "spool-size": Text(Form::Size), Is("64 MiB"), "The most bytes of events that wait there";
        "addresses": Flag(|c, on| c.usage.addresses = on), Is("false"),
            "Include addresses of clients in events";
    }
    "cap" "[[cap]]" {
        "realm": Text(Form::Realm), Says("every realm"), "The realm that a cap of data is for";
        "user": Text(Form::Name(400)), Says("all users of the realm together"),
            "User names, each counted by itself; * stands for any text";
        "month": Text(Form::Size), Missing("month = \"500 GB\""),
            "The most bytes in a calendar month, both ways together";
        "then": Word(&[("warn", REVIEWED), ("throttle", REVIEWED), ("refuse", REVIEWED)]),
            Missing("then = \"warn\""), "The consequence of a reached cap";
        "throttle": Bandwidth(|_, _| ()), Says("see then"),
            "The bandwidth of a user over the cap, each way";
    }
    "quality" "[quality]" {
        "enabled": Flag(|c, is| c.quality.off = !is), Is("true"),
            "Measure the quality of calls on both sides of this server";
        "bad-loss": Percent(|c, share| c.quality.bad.loss = share), Is("3%"),
            "The share of lost media at which a side is called bad";
        "bad-round-trip": Milliseconds(1, 60_000, |c, span| c.quality.bad.round_trip = span),
            Is("300ms"), "The round trip from which on a side is called bad";
        "bad-jitter": Milliseconds(1, 60_000, |c, span| c.quality.bad.jitter = span), Is("30ms"),
            "The jitter of media at which a side is called bad";
    }
    "datapath" "[datapath]" {
        "offload": Word(&[
                ("auto", |c| c.offload = Offload::Auto),
                ("off", |c| c.offload = Offload::Off),
            ]), Is("auto"),
            "Whether neighbours of one flow are received and sent in one call (GRO, GSO)";
    }
    "peers" "[peers]" {
        "allow": Texts(Form::Network), Is("[]"),
            "Networks that clients may reach although they are not public", coturn "allowed-peer-ip";
        "deny": Texts(Form::Network), Is("[]"),
            "Networks that clients may not reach", coturn "denied-peer-ip";
        "mode": Word(&[
                ("closed", |c| c.peers.mode = Mode::Closed),
                ("allow-list", |c| c.peers.mode = Mode::AllowList),
            ]), Is("closed"), "Allow public addresses, or only those of `allow`";
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
                ("auto", |c| c.log.format = Format::Auto),
                ("text", |c| c.log.format = Format::Text),
                ("json", |c| c.log.format = Format::Json),
                ("journal", |c| c.log.format = Format::Journal),
            ]), Is("auto"), "The format of a line";
        "addresses": Flag(|c, on| c.log.addresses = on), Is("false"),
            "Show addresses of clients in the log";
    }
    "reload" "[reload]" {
        "watch": Flag(|c, on| c.watch = on), Is("false"),
            "Follow a change of this file without a signal";
    }
    "stop" "[stop]" {
        "drain": Duration(0, DAY, |c, time| c.stop_drain = time), Is("0s"),
            "Time to wait for the last session when the server is told to stop";
    }
}

fn some(limit: u32) -> Option<u32> {
    (limit > 0).then_some(limit)
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
