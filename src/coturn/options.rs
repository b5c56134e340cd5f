//! Every option of coturn's configuration file, and what becomes of it here.
//!
//! The options are those of coturn 4.6.1, which Debian 12 has, those of later versions up to 4.17, and
//! those that guides copy from older ones or make up. The table of `docs/coming-from-coturn.md` is made
//! of these rows, and a test holds the one to the other.

use Fate::{Decide, Default, Dropped, Key, Unsafe};

/// An option that some coturn knows, or many guides have.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
    /// The versions that have it.
    pub(crate) known_to: KnownTo,
    notes: &'static [Note],
}

#[derive(Debug, PartialEq, Eq)]
enum Note {
    /// It is on or off.
    Flag,
    /// Its value may hold a secret.
    Secret,
    /// Each of its lines counts, not the last one alone.
    List,
}

/// The fate of an option here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This key takes its place.
    Key(&'static str),
    /// It is so anyway; why.
    Default(&'static str),
    /// There is no such thing here and nothing is lost; why, or what takes its place.
    Dropped(&'static str),
    /// There is no such thing here, and somebody has to decide; what to do.
    Decide(&'static str),
    /// It is not carried over; what it would open.
    Unsafe(&'static str),
}

/// The versions of coturn that have an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownTo {
    /// 4.6.1, and most others.
    This,
    /// Later versions only: 4.6.1 passes it over with a warning.
    Later,
    /// Older versions only, or guides alone: likewise.
    Guides,
}

macro_rules! options {
    ($($known_to:ident { $($name:literal $(($($note:ident),+))?: $fate:expr;)+ })+) => {
        /// The rows, by subject.
        pub(crate) static OPTIONS: &[Known] = &[$($(Known {
            name: $name,
            fate: $fate,
            known_to: KnownTo::$known_to,
            notes: &[$($(Note::$note),+)?],
        },)+)+];
    };
}

options! {
    This {
        "listening-port": Key("[[listener]] listen");
        "tls-listening-port": Key("[[listener]] listen");
        "listening-ip" (List): Key("[[listener]] listen, and [relay] addresses where there is no `relay-ip`");
        "listening-device": Decide("a listener has an address here: name that of the interface in [[listener]] listen");
        "alt-listening-port": Key("[nat-discovery] alternate, where there are two `listening-ip`");
        "alt-tls-listening-port": Dropped("NAT discovery asks over UDP, and TLS has no part in it");
        "tcp-proxy-port": Decide("[proxy-protocol] tcp-from has to name the proxies; coturn believed everybody");
        "aux-server" (List): Key("[[listener]] listen");
        "udp-self-balance" (Flag): Dropped("the shards share the listeners' load by themselves");
        "no-udp" (Flag): Key("[[listener]] transport");
        "no-tcp" (Flag): Key("[[listener]] transport");
        "no-tls" (Flag): Key("[[listener]] transport");
        "no-dtls" (Flag): Key("[dtls] enabled");
        "relay-ip" (List): Key("[relay] addresses");
        "relay-device": Decide("name the address of the interface in [relay] addresses");
        "external-ip" (List): Key("[relay] external");
        "min-port": Key("[relay] ports");
        "max-port": Key("[relay] ports");
        "relay-threads": Key("threads");
        "allocation-default-address-family": Default("a client that asks for no family is given IPv4 (RFC 8656)");
        "keep-address-family" (Flag): Dropped("a client that asks for no family is given IPv4 (RFC 8656), whichever family it comes by");
        "no-udp-relay" (Flag): Decide("UDP is always relayed here");
        "no-tcp-relay" (Flag): Default("[allocation] tcp is off");
        "no-rfc5780": Default("[nat-discovery] is off unless it is configured");
        "no-stun-backward-compatibility" (Flag): Dropped("old STUN clients (RFC 3489) are answered; their answers are no longer than others");
        "response-origin-only-with-rfc5780" (Flag): Default("RESPONSE-ORIGIN is sent with [nat-discovery] alone");
        "lt-cred-mech" (Flag): Key("[auth.users]");
        "use-auth-secret": Key("[auth] secrets");
        "static-auth-secret" (Secret, List): Key("[auth] secrets");
        "user" (Secret, List): Key("[auth.users]");
        "no-auth" (Flag): Unsafe("everybody on the Internet would relay through this server: there is no mode without authentication here");
        "realm": Key("realm");
        "userdb": Key("[auth.users] and [auth] secrets: the database is read once, now");
        "db": Key("[auth.users] and [auth] secrets: the database is read once, now");
        "psql-userdb" (Secret): Decide("no database of users is asked here: write users to [auth] users-file, or let your service make credentials (POST of [http])");
        "sql-userdb" (Secret): Decide("no database of users is asked here: write users to [auth] users-file, or let your service make credentials (POST of [http])");
        "mysql-userdb" (Secret): Decide("no database of users is asked here: write users to [auth] users-file, or let your service make credentials (POST of [http])");
        "mongo-userdb" (Secret): Decide("no database of users is asked here: write users to [auth] users-file, or let your service make credentials (POST of [http])");
        "redis-userdb" (Secret): Decide("no database of users is asked here: write users to [auth] users-file, or let your service make credentials (POST of [http])");
        "redis-statsdb" (Secret): Decide("nothing is written to Redis: [usage] tells what allocations use, [metrics] what the server does");
        "secret-key-file": Dropped("it decrypts passwords of databases, and none is asked here");
        "rest-api-separator": Default("the separator in names of time-limited credentials is `:`");
        "secret-ts-exp-time": Dropped("it has no effect in coturn, either");
        "no-auth-pings": Dropped("it is about databases, and none is asked here");
        "no-dynamic-ip-list": Dropped("the lists of peers stand in the configuration alone");
        "no-dynamic-realms": Dropped("realms stand in the configuration alone");
        "check-origin-consistency" (Flag): Dropped("no realm is chosen by ORIGIN here; realms have listeners or stand in user names");
        "oauth" (Flag): Key("[[oauth.key]]");
        "server-name": Key("[oauth] server-name");
        "stale-nonce": Key("[auth] nonce-lifetime");
        "secure-stun" (Flag): Decide("a Binding is answered without a password here, within [unauthenticated]");
        "stun-only" (Flag): Key("[auth] without secrets and users");
        "no-stun" (Flag): Decide("STUN Binding requests are always answered; an answer counts 12 bytes against [unauthenticated]");
        "user-quota": Key("[allocation] per-user");
        "total-quota": Key("[allocation] total");
        "max-bps": Key("[allocation] bandwidth, in bytes as well: a number and `B/s`");
        "bps-capacity": Decide("there is no limit for all allocations together: [allocation] per-user-bandwidth is the nearest");
        "max-allocate-lifetime": Key("[allocation] max-lifetime");
        "channel-lifetime": Dropped("RFC 8656 says 10 minutes, and clients count on it");
        "permission-lifetime": Dropped("RFC 8656 says 5 minutes, and clients count on it");
        "max-allocate-timeout": Dropped("[tcp] first-frame and idle close connections of clients that do not allocate");
        "mobility" (Flag): Key("[allocation] mobility");
        "server-relay" (Flag): Unsafe("peers could send to clients that have no permission for them");
        "allowed-peer-ip" (List): Key("[peers] allow");
        "denied-peer-ip" (List): Key("[peers] deny");
        "no-multicast-peers" (Flag): Default("multicast is never a peer");
        "allow-loopback-peers" (Flag): Unsafe("every client could reach services of this host that listen on loopback alone: databases, administration");
        "alternate-server" (List): Key("[[redirect]]");
        "tls-alternate-server" (List): Decide("a [[redirect]] of clients over TLS needs the `domain` of the other certificate");
        "cert": Key("[[tls.certificates]] cert");
        "pkey": Key("[[tls.certificates]] key");
        "pkey-pwd" (Secret): Decide("a key with a password is not read here: write it without one, with `openssl pkey`");
        "CA-file": Decide("clients over TLS are not asked for certificates here");
        "cipher-list": Default("all ciphers on offer are strong ones with forward secrecy");
        "dh-file": Default("key exchange is by elliptic curves alone");
        "dh566" (Flag): Default("key exchange is by elliptic curves alone");
        "dh1066" (Flag): Default("key exchange is by elliptic curves alone");
        "ec-curve-name": Default("X25519, P-256 and P-384 are on offer");
        "no-sslv2": Default("TLS 1.2 is the oldest version");
        "no-sslv3": Default("TLS 1.2 is the oldest version");
        "no-tlsv1" (Flag): Default("TLS 1.2 is the oldest version");
        "no-tlsv1_1" (Flag): Default("TLS 1.2 is the oldest version");
        "no-tlsv1_2" (Flag): Key("[tls] minimum-version");
        "acme-redirect": Dropped("[tls.acme] gets certificates by itself");
        "prometheus": Key("[metrics] listen");
        "prometheus-port": Key("[metrics] listen");
        "prometheus-username-labels": Dropped("no user is in a metric: [usage] tells what each has used");
        "no-cli" (Flag): Default("there is no telnet: `hairpin status` and others speak to a socket of the host, [admin]");
        "cli-ip": Dropped("`hairpin status`, `sessions` and `end` take the place of telnet");
        "cli-port": Dropped("`hairpin status`, `sessions` and `end` take the place of telnet");
        "cli-password" (Secret): Dropped("`hairpin status`, `sessions` and `end` take the place of telnet");
        "cli-max-output-sessions": Dropped("`hairpin sessions` has options of its own");
        "web-admin" (Flag): Decide("the dashboard and the API are at [admin] listen, for those who show a token; `hairpin top` is the same in a terminal");
        "web-admin-ip": Dropped("see web-admin");
        "web-admin-port": Dropped("see web-admin");
        "web-admin-listen-on-workers" (Flag): Dropped("see web-admin");
        "verbose" (Flag): Default("[log] level \"info\" tells of each allocation");
        "Verbose" (Flag): Key("[log] level");
        "log-file": Dropped("the log goes to standard error, and under systemd to the journal");
        "syslog" (Flag): Default("under systemd the log goes to the journal");
        "syslog-facility": Dropped("the journal has fields in place of facilities");
        "no-stdout-log" (Flag): Dropped("the log goes to standard error, and under systemd to the journal");
        "simple-log" (Flag): Default("there is no log file to rotate");
        "new-log-timestamp": Default("lines begin with the time in UTC");
        "new-log-timestamp-format": Dropped("lines begin with the time in UTC");
        "log-binding" (Flag): Dropped("a Binding is logged at [log] level \"trace\" alone");
        "fingerprint" (Flag): Default("a client that sends FINGERPRINT is answered with it");
        "no-software-attribute" (Flag): Default("strangers hear no SOFTWARE, and nobody hears the version");
        "prod" (Flag): Default("strangers hear no SOFTWARE, and nobody hears the version");
        "daemon" (Flag): Default("systemd runs the server (packaging/systemd)");
        "pidfile": Default("systemd knows the process");
        "proc-user": Default("systemd has the user of the service");
        "proc-group": Default("systemd has the group of the service");
        "ne": Dropped("there is one network engine");
        "version": Dropped("`hairpin --version` says it");
    }
    Later {
        "cli" (Flag): Dropped("`hairpin status`, `sessions` and `end` take the place of telnet");
        "cpus": Key("threads");
        "drain-min-allocations": Dropped("`hairpin drain` waits for the last allocation, [stop] drain for so long");
        "drop-invalid-packets": Default("packets that are no STUN are dropped in silence");
        "drop-invalid-packets-log": Dropped("drops are counted by cause in [metrics]");
        "dtls" (Flag): Key("[dtls] enabled");
        "include-reason-string": Dropped("errors have the reason phrases of the RFCs");
        "log-min-level": Dropped("[log] level is the same");
        "multiplex-peer": Dropped("each allocation has a port of its own, as RFC 8656 has it");
        "multiplex-peer-port": Dropped("see multiplex-peer");
        "multiplex-peer-max-peers": Dropped("see multiplex-peer");
        "prometheus-address": Key("[metrics] listen");
        "prometheus-path": Dropped("the path is /metrics");
        "prometheus-tls": Default("[metrics] listen takes HTTPS as well, with the certificates of [tls]");
        "prometheus-cert": Dropped("[metrics] has the certificates of [tls]");
        "prometheus-key": Dropped("[metrics] has the certificates of [tls]");
        "raw-public-keys": Dropped("no client asks for TLS without certificates");
        "respond-http-unsupported": Dropped("[web] and [http] serve browsers that come to a port of TURN");
        "rfc3489-compatibility": Default("clients of RFC 3489 are answered");
        "rfc5766-channel-numbers": Default("channels from 0x4000 to 0x7FFF are taken");
        "rfc5780" (Flag): Key("[nat-discovery] alternate, where there are two `listening-ip`");
        "sock-buf-size": Dropped("2 MiB are asked for, and the log says if the kernel grants less");
        "software-attribute" (Flag): Dropped("strangers hear no SOFTWARE, and nobody hears the version");
        "stateless-nonce" (Flag): Default("a nonce costs no memory: it is a time and a MAC");
        "stateless-nonce-secret" (Secret): Decide("[auth] nonce-secret-file, a file of its own, for servers that send clients to each other");
        "stun-backward-compatibility" (Flag): Default("clients of RFC 3489 are answered");
        "tcp-alternate-server": Decide("as tls-alternate-server");
        "udp-alternate-server": Decide("as tls-alternate-server");
        "tlsv1" (Flag): Dropped("TLS 1.2 is the oldest version, and all browsers know it");
        "tlsv1_1" (Flag): Dropped("TLS 1.2 is the oldest version, and all browsers know it");
        "udp-gso": Default("equal datagrams leave in one call");
        "udp-recvmmsg": Default("datagrams come in batches");
        "udp-recvmmsg-log": Dropped("[metrics] counts packets");
        "udp-sendmmsg-log": Dropped("[metrics] counts packets");
        "unauthorized-ratelimit" (Flag): Default("[unauthenticated] bounds what strangers hear");
        "unauthorized-ratelimit-rps": Default("[unauthenticated] bounds what strangers hear");
    }
    Guides {
        "no-loopback-peers" (Flag): Default("loopback is no peer, unless [peers] allow names it");
        "dh2066": Default("key exchange is by elliptic curves alone");
        "tcp-use-proxy": Decide("[proxy-protocol] tcp-from has to name the proxies");
        "no-sslv23": Default("TLS 1.2 is the oldest version");
        "no-tlsv1_0": Default("TLS 1.2 is the oldest version");
        "no-dynamic-ip": Dropped("the lists of peers stand in the configuration alone");
        "st-cred-mech": Dropped("short-term credentials are not for TURN (RFC 8489)");
        "lt-cred-mech-hmac": Dropped("[auth.users] take passwords and keys alike");
        "sha256": Default("[auth] sha256 is on offer");
        "stale-nonce-lifetime": Dropped("[auth] nonce-lifetime is the same");
        "TURNSERVER_ENABLED": Dropped("it belongs into /etc/default/coturn; enabling the service is the same");
    }
}

impl Known {
    /// Whether its value may hold a secret.
    pub(crate) fn is_secret(&self) -> bool {
        self.notes.contains(&Note::Secret)
    }

    /// Whether its value is on or off.
    pub(crate) fn is_flag(&self) -> bool {
        self.notes.contains(&Note::Flag)
    }

    /// Whether each of its lines counts, not the last one alone.
    pub(crate) fn is_list(&self) -> bool {
        self.notes.contains(&Note::List)
    }
}

/// The option of this name.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// The option that coturn knows and a slip or two of the finger turn into `name`.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    // Guides write underscores, and names in the plural.
    let name = name.replace('_', "-").to_lowercase();
    let distance = |other: &str| strsim::osa_distance(&name, &other.to_lowercase());
    let names = OPTIONS.iter().filter(|it| it.known_to == KnownTo::This);
    let near = names
        .map(|it| it.name)
        .min_by_key(|other| distance(other))?;
    (distance(near) <= near.len() / 4).then_some(near)
}

/// No option, misspelt or not, has a longer name, in bytes.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    impl Fate {
        /// Its name in tables, and the key or the reason.
        fn words(self) -> (&'static str, &'static str) {
            match self {
                Key(words) => ("mapped", words),
                Default(words) => ("already the default", words),
                Dropped(words) => ("dropped", words),
                Decide(words) => ("to decide", words),
                Unsafe(words) => ("unsafe", words),
            }
        }
    }

    #[test]
    fn no_option_stands_twice() {
        let mut names: Vec<_> = OPTIONS.iter().map(|option| option.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_table_of_the_document_is_that_of_the_code() {
        let rows = |known_to| {
            let options = OPTIONS.iter().filter(move |it| it.known_to == known_to);
            options.fold(String::new(), |rows, option| {
                let (fate, words) = option.fate.words();
                rows + &format!(
                    "| `{}` | {fate} | {} |\n",
                    option.name,
                    words.replace('|', "\\|")
                )
            })
        };
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coming-from-coturn.md");
        let document = std::fs::read_to_string(path).unwrap_or_default();
        for known_to in [KnownTo::This, KnownTo::Later, KnownTo::Guides] {
            let table = format!(
                "| option | here | key or reason |\n|---|---|---|\n{}",
                rows(known_to)
            );
            assert!(
                document.contains(&table),
                "docs/coming-from-coturn.md lacks:\n{table}"
            );
        }
    }

    #[test]
    fn a_slip_in_a_name_is_recognised() {
        for (slip, meant) in [
            ("external_ip", "external-ip"),
            ("denied-peer-ips", "denied-peer-ip"),
            ("listening-ips", "listening-ip"),
            ("Realm", "realm"),
        ] {
            assert_eq!(nearest(slip), Some(meant), "{slip}");
        }
        assert_eq!(nearest("nothing-of-the-kind"), None);
    }
}
