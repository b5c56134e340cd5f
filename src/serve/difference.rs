//! The difference between two configurations: the keys that hold at once, and those that the server
//! keeps as they were when it started.

use std::collections::BTreeMap;

use net::Prepared;

use super::relisten::PASSED;
use crate::config::Config;

/// A key whose value may differ, or several that are one decision.
struct Key {
    /// As sentences and docs/reload.md name it.
    name: &'static str,
    holds: Holds,
    /// Whether the second configuration has another value than the first.
    differs: fn(&Config, &Config) -> bool,
    /// Gives the second the value of the first.
    keep: fn(&Config, &mut Config),
}

/// When a new value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// When the configuration is read again.
    AtOnce,
    /// When the server starts.
    AtRestart,
}

/// Keys by the fields that they fill.
macro_rules! keys {
    ($($holds:ident { $($name:literal => $($field:ident).+,)+ })+) => {
        static KEYS: &[Key] = &[$($(Key {
            name: $name,
            holds: Holds::$holds,
            differs: |old, new| old.$($field).+ != new.$($field).+,
            keep: |old, new| new.$($field).+.clone_from(&old.$($field).+),
        },)+)+];
    };
}

keys! {
    AtOnce {
        "realm" => realm,
        "[[listener]]" => listeners,
        "[advertise] uris" => advertised,
        "[[tls.certificates]]" => tls.certificates,
        "[tls.acme]" => tls.acme,
        "[auth] secrets" => auth.secrets,
        "[auth] users" => auth.users,
        "[auth] failures-per-minute" => auth.failures_per_minute,
        "[auth] nonce-lifetime" => auth.nonce_lifetime,
        "[auth] sha256" => auth.sha256,
        "[[auth.realm]]" => auth.realms,
        "[oauth]" => oauth,
        "[allocation] default-lifetime" => allocation.default_lifetime,
        "[allocation] max-lifetime" => allocation.max_lifetime,
        "[allocation] per-user" => allocation.per_user,
        "[allocation] total" => allocation.total,
        "[allocation] bandwidth" => allocation.bandwidth.allocation,
        "[allocation] per-user-bandwidth" => allocation.bandwidth.user,
        "[allocation] permissions" => allocation.permissions,
        "[allocation] channels" => allocation.channels,
        "[allocation] tcp" => tcp_relay,
        "[allocation] connections" => allocation.connections,
        "[allocation] mobility" => mobility,
        "[allocation] icmp" => icmp,
        "[tcp] data-indication" => allocation.stream_indication,
        "[[redirect]]" => redirects,
        "[clients]" => clients,
        "[unauthenticated]" => unauthenticated,
        "[relay] addresses" => relay.written,
        "[relay] external" => relay.external,
        "[relay] external-from" => relay.tellers,
        "[http] origins" => http.origins,
        "[[http.token]]" => http.tokens,
        "[signal] secrets" => signal.secrets,
        "[signal] token-secrets" => signal.token_secrets,
        "[signal] open" => signal.open,
        "[signal]" => signal.limits,
        "[[cap]]" => caps,
        "[quality]" => quality,
        "[admin] token" => admin.token,
        "[peers]" => peers,
        "[log] level" => log.level,
        "[reload] watch" => watch,
        "[stop] drain" => stop_drain,
    }
    AtRestart {
        "threads" => threads,
        "[tls] minimum-version" => tls.minimum,
        "[dtls] enabled" => dtls,
        "[relay] ports" => relay.ports,
        "[nat-discovery]" => nat_discovery,
        "[auth] nonce-secret-file" => auth.nonce_secret,
        "[tcp]" => tcp,
        "[proxy-protocol]" => proxies,
        "[web]" => web,
        "[http] listen" => http.listen,
        "[http] tls-listeners" => http.tls_listeners,
        "[http] connections" => http.connections,
        "[http] per-prefix" => http.per_prefix,
        "[http] forwarded-from" => http.proxies,
        "[signal] enabled" => signal.enabled,
        "[demo] enabled" => demo,
        "[admin] socket" => admin.socket,
        "[admin] listen" => admin.listen,
        "[metrics]" => metrics,
        "[usage]" => usage,
        "[datapath] offload" => offload,
        "[log] format" => log.format,
        "[log] addresses" => log.addresses,
    }
}

/// All fields are named, so that a new one is not forgotten above.
const fn all_have_keys(config: &Config) {
    let Config {
        realm: _,
        threads: _,
        listeners: _,
        advertised: _,
        tls: _,
        dtls: _,
        relay: _,
        nat_discovery: _,
        auth: _,
        oauth: _,
        allocation: _,
        mobility: _,
        tcp_relay: _,
        icmp: _,
        redirects: _,
        unauthenticated: _,
        tcp: _,
        proxies: _,
        clients: _,
        web: _,
        http: _,
        signal: _,
        demo: _,
        admin: _,
        metrics: _,
        usage: _,
        caps: _,
        quality: _,
        offload: _,
        peers: _,
        log: _,
        watch: _,
        stop_drain: _,
    } = config;
}

/// Keys whose values differ, as sentences name them. Values are not shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Those that hold at once.
    pub(super) live: Vec<&'static str>,
    /// Those that a restart is needed for.
    pub(super) fixed: Vec<&'static str>,
}

impl Difference {
    /// From what is in effect to a new configuration.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        all_have_keys(new);
        let mut difference = Self::default();
        for key in KEYS {
            if !(key.differs)(old, new) || key.name == OAUTH && is_oauth_untouched(old, new) {
                continue;
            }
            match key.holds {
                Holds::AtOnce if key.name == LISTENER && !may_relisten(old, new) => {
                    difference.fixed.push(key.name);
                }
                Holds::AtOnce => difference.live.push(key.name),
                Holds::AtRestart => difference.fixed.push(key.name),
            }
        }
        difference
    }
}

impl Difference {
    /// Notes that sockets which another process bound are served until a restart.
    pub(super) fn note_passed(&mut self, prepared: &Prepared, old: &Config, effective: &Config) {
        if prepared.passed().is_empty() {
            return;
        }
        self.fixed.push(PASSED);
        let mut listeners = effective.listeners.iter();
        if effective.listeners.len() == old.listeners.len()
            && listeners.all(|listener| old.listeners.contains(listener))
        {
            self.live.retain(|key| *key != LISTENER);
        }
    }
}

const OAUTH: &str = "[oauth]";
const LISTENER: &str = "[[listener]]";

/// Whether listeners may come and go: NAT discovery has some of them, and begins with the server.
fn may_relisten(old: &Config, new: &Config) -> bool {
    old.nat_discovery == new.nat_discovery
}

/// Whether `[oauth]` differs by the name of this server only, which follows the realm.
fn is_oauth_untouched(old: &Config, new: &Config) -> bool {
    let follows = |config: &Config| config.oauth.server_name == config.realm;
    follows(old) && follows(new) && old.oauth.keys == new.oauth.keys
}

/// The realms whose users are all gone, and how many there were. A file that is written anew may be
/// empty by mistake.
pub(super) fn emptied(old: &Config, new: &Config) -> Vec<(String, usize)> {
    let users = |config: &Config| {
        let realms = config.auth.realms.iter();
        let mut counts: BTreeMap<String, usize> = realms
            .map(|realm| (realm.name.clone(), realm.users.len()))
            .collect();
        counts.insert(config.realm.clone(), config.auth.users.len());
        counts
    };
    let now = users(new);
    let gone = |(realm, count): &(String, usize)| *count > 0 && now.get(realm) == Some(&0);
    users(old).into_iter().filter(gone).collect()
}

/// The new configuration with the old values of what is fixed at the start.
pub(super) fn in_effect(old: &Config, mut new: Config) -> Config {
    if !may_relisten(old, &new) {
        new.listeners.clone_from(&old.listeners);
    }
    for key in KEYS {
        if key.holds == Holds::AtRestart {
            (key.keep)(old, &mut new);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Machine};

    fn configuration(text: &str) -> Config {
        let loaded = config::read(text, Path::new("turnserver.toml"), &Machine::anywhere());
        loaded.unwrap().config
    }

    #[test]
    fn a_realm_that_loses_all_its_users_is_named_with_their_number() {
        let users = configuration(
            "realm = \"a.example\"\n[auth.users]\nalice = \"wonderland\"\nbob = \"builder's\"\n",
        );
        let one = configuration("realm = \"a.example\"\n[auth.users]\nbob = \"builder's\"\n");
        let none = configuration("realm = \"a.example\"\n");
        assert_eq!(emptied(&users, &none), [("a.example".to_owned(), 2)]);
        assert_eq!(emptied(&users, &one), []);
        assert_eq!(emptied(&none, &none), []);
        assert_eq!(emptied(&none, &users), []);
    }

    #[test]
    fn each_key_that_differs_is_named_and_only_what_is_fixed_stays_as_it_was() {
        let old = configuration("");
        for (text, live, fixed) in [
            ("", None, None),
            ("realm = \"example.org\"\n", Some("realm"), None),
            ("threads = 63\n", None, Some("threads")),
            (
                "[[listener]]\ntransport = \"udp\"\nlisten = \"127.0.0.1:5\"\n",
                Some("[[listener]]"),
                None,
            ),
            ("[dtls]\nenabled = true\n", None, Some("[dtls] enabled")),
            (
                "[advertise]\nuris = [\"turn:turn.example.org\"]\n",
                Some("[advertise] uris"),
                None,
            ),
            (
                "[relay]\naddresses = [\"10.9.8.7\"]\n",
                Some("[relay] addresses"),
                None,
            ),
            (
                "[relay]\nports = \"50000-50099\"\n",
                None,
                Some("[relay] ports"),
            ),
            (
                "[auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n",
                Some("[auth] secrets"),
                None,
            ),
            (
                "[auth.users]\nalice = \"wonderland\"\n",
                Some("[auth] users"),
                None,
            ),
            (
                "[allocation]\ntotal = 5\n",
                Some("[allocation] total"),
                None,
            ),
            (
                "[allocation]\nper-user-bandwidth = \"10Mbit/s\"\n",
                Some("[allocation] per-user-bandwidth"),
                None,
            ),
            (
                "[auth]\nfailures-per-minute = 7\n",
                Some("[auth] failures-per-minute"),
                None,
            ),
            (
                "[tls]\nminimum-version = \"1.3\"\n",
                None,
                Some("[tls] minimum-version"),
            ),
            ("[tcp]\nidle = \"2m\"\n", None, Some("[tcp]")),
            (
                "[tcp]\ndata-indication = 1500\n",
                Some("[tcp] data-indication"),
                None,
            ),
            (
                "[proxy-protocol]\ntcp-from = [\"10.0.0.1\"]\n",
                None,
                Some("[proxy-protocol]"),
            ),
            (
                "[signal]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n",
                Some("[signal] secrets"),
                None,
            ),
            ("[signal]\nrooms = 7\n", Some("[signal]"), None),
            (
                "[[cap]]\nmonth = \"1 GB\"\nthen = \"warn\"\n",
                Some("[[cap]]"),
                None,
            ),
            ("[usage]\nfile = \"a\"\n", None, Some("[usage]")),
            ("[peers]\ndeny = [\"1.2.3.4\"]\n", Some("[peers]"), None),
            ("[log]\nlevel = \"warn\"\n", Some("[log] level"), None),
            ("[log]\naddresses = true\n", None, Some("[log] addresses")),
        ] {
            let new = configuration(text);
            let expected = Difference {
                live: live.into_iter().collect(),
                fixed: fixed.into_iter().collect(),
            };
            assert_eq!(Difference::between(&old, &new), expected, "{text}");
            let effective = in_effect(&old, new);
            let left = Difference::between(&old, &effective);
            assert_eq!((left.live, left.fixed), (expected.live, vec![]), "{text}");
        }
    }

    const DOCUMENT: &str = include_str!("../../docs/reload.md");

    /// The rows of the document: the keys of its first cell, and when they hold.
    fn documented() -> impl Iterator<Item = (&'static str, &'static str)> {
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let mut cells = row.trim_start_matches("| ").split(" | ");
            (cells.next().unwrap(), cells.next().unwrap())
        })
    }

    #[test]
    fn the_document_says_of_each_key_when_it_holds() {
        let first =
            |(keys, holds): (&'static str, &'static str)| (keys.split('`').nth(1).unwrap(), holds);
        let documented: Vec<_> = documented().map(first).collect();
        let holds = |key: &Key| match key.holds {
            Holds::AtOnce => "at once",
            Holds::AtRestart => "at a restart",
        };
        let keys: Vec<_> = KEYS.iter().map(|key| (key.name, holds(key))).collect();
        assert_eq!(documented, keys);
    }

    #[test]
    fn the_document_has_every_key_that_may_be_written() {
        for row in config::ROWS {
            let key = format!("`{}`", row.key);
            let whole = format!("{} {}", row.header, row.key);
            let tables = row.table.split('.').scan(String::new(), |path, part| {
                let dot = if path.is_empty() { "" } else { "." };
                *path += &format!("{dot}{part}");
                Some(path.clone())
            });
            let tables: Vec<_> = tables
                .flat_map(|table| [format!("`[{table}]`"), format!("`[[{table}]]`")])
                .collect();
            let is_in = |(keys, _): (&str, &str)| {
                let is_beside = keys.contains(row.header) && keys.contains(&key);
                let is_whole = tables.iter().any(|table| keys == table);
                is_beside || is_whole || keys.starts_with(&format!("`{}`", whole.trim_start()))
            };
            assert!(documented().any(is_in), "{whole}");
        }
    }
}
