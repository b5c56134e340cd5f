//! The difference between two configurations: the keys that hold at once, and those that the server
//! keeps as they were when it started.

use std::collections::BTreeMap;

use crate::config::{Auth, Config, Http, Log, RelayPool, Signal, Tls};

/// Keys whose values differ, as sentences name them. Values are not shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Those that hold at once.
    pub(super) live: Vec<&'static str>,
    /// Those that a restart is needed for.
    pub(super) fixed: Vec<&'static str>,
}

/// The keys whose values, by their fields, differ.
macro_rules! rows {
    ($old:ident, $new:ident, $($key:literal => $($field:ident).+,)+) => {
        [$(($key, $new.$($field).+ != $old.$($field).+)),+]
            .into_iter()
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    };
}

impl Difference {
    /// From what is in effect to a new configuration.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        // All fields are named, so that a new one is not forgotten below.
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
            web: _,
            http: _,
            signal: _,
            demo: _,
            admin: _,
            metrics: _,
            peers: _,
            log: _,
        } = new;
        let mut live: Vec<&'static str> = rows!(old, new,
            "realm" => realm,
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
            "[peers]" => peers,
            "[log] level" => log.level,
        );
        let fixed = rows!(old, new,
            "threads" => threads,
            "[[listener]]" => listeners,
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
            "[admin] socket" => admin,
            "[metrics]" => metrics,
            "[log] format" => log.format,
            "[log] addresses" => log.addresses,
        );
        if is_oauth_untouched(old, new) {
            live.retain(|key| *key != "[oauth]");
        }
        Self { live, fixed }
    }
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
pub(super) fn in_effect(old: &Config, new: Config) -> Config {
    Config {
        threads: old.threads,
        listeners: old.listeners.clone(),
        dtls: old.dtls,
        tls: Tls {
            minimum: old.tls.minimum,
            ..new.tls
        },
        relay: RelayPool {
            ports: old.relay.ports,
            ..new.relay
        },
        nat_discovery: old.nat_discovery.clone(),
        auth: Auth {
            nonce_secret: old.auth.nonce_secret.clone(),
            ..new.auth
        },
        tcp: old.tcp,
        proxies: old.proxies.clone(),
        web: old.web,
        http: Http {
            origins: new.http.origins,
            tokens: new.http.tokens,
            ..old.http.clone()
        },
        signal: Signal {
            enabled: old.signal.enabled,
            ..new.signal
        },
        demo: old.demo,
        admin: old.admin.clone(),
        metrics: old.metrics.clone(),
        log: Log {
            level: new.log.level,
            ..old.log
        },
        ..new
    }
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
                None,
                Some("[[listener]]"),
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
}
