//! The configuration in effect, in words.

mod control;
mod listeners;
mod realms;

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use net::{Offload, Together};
use relay::policy::{Mode, Network};
use relay::{
    Allowance, Bandwidth, IcmpTold, Partner, Redirect, SecondAddress, Sha256, Target, When,
};

use crate::config::{Config, Format, Level, Listener, Teller, spelled, spelled_bandwidth};
use crate::serve::buffers::UdpMemory;
use control::beside;
use listeners::{listeners, proxies, served, tcp, tls, uris, web};
use realms::{other_realm, token_clients};

/// The configuration in effect, in words.
pub(super) struct Summary<'c> {
    pub(super) config: &'c Config,
    /// Whether there is a file; without one `serve` makes a secret of its own.
    pub(super) has_file: bool,
    /// The file of a secret that the server generates when it starts.
    pub(super) ungenerated: Option<&'c Path>,
    /// The part of `[datapath] offload` that this host can do.
    pub(super) together: Together,
    /// The memory that this host gives to UDP.
    pub(super) memory: UdpMemory,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config;
        line(f, "realm", &config.realm)?;
        line(f, "shards", config.threads)?;
        line(f, "datapath", self.datapath())?;
        line(f, "buffers", self.memory.summary(config))?;
        line(f, "listeners", listeners(config))?;
        if config.listeners.iter().any(Listener::is_secure) {
            line(f, "tls", tls(config))?;
        }
        line(f, "uris", uris(config))?;
        line(f, "relay addresses", relay_addresses(config))?;
        line(f, "relay ports", relay_ports(config))?;
        line(f, "clients", self.clients())?;
        for realm in &config.auth.realms {
            line(f, "other realm", other_realm(realm))?;
        }
        if !config.oauth.keys.is_empty() {
            line(f, "token clients", token_clients(config))?;
        }
        line(f, "allocations", allocations(config))?;
        for redirect in &config.redirects {
            line(f, "redirect", redirected(redirect))?;
        }
        line(f, "replies", replies_to_strangers(config))?;
        line(f, "nat discovery", nat_discovery(config))?;
        line(f, "tcp clients", tcp(config))?;
        for (name, value) in [
            ("served", served(config)),
            ("proxies", proxies(config)),
            ("web server", web(config)),
        ] {
            if let Some(value) = value {
                line(f, name, value)?;
            }
        }
        for (name, value) in beside(config) {
            line(f, name, value)?;
        }
        line(f, "peers", peers(config))?;
        line(f, "log", log(config))
    }
}

impl Summary<'_> {
    fn datapath(&self) -> &'static str {
        if self.config.offload == Offload::Off {
            return "one datagram a call, as `[datapath] offload` says";
        }
        match (self.together.received, self.together.sent) {
            (true, true) => "neighbours of one flow are received and sent in one call (GRO, GSO)",
            (true, false) => {
                "neighbours of one flow are received in one call (GRO), and sent one by one: this kernel has no GSO"
            }
            (false, true) => {
                "neighbours of one flow are sent in one call (GSO), and received one by one: this kernel has no GRO"
            }
            (false, false) => {
                "one datagram a call: this kernel has neither GRO nor GSO, or no loopback to try them on"
            }
        }
    }

    /// Whether there is a file, and no client that could allocate.
    pub(super) fn serves_nobody(&self) -> bool {
        self.has_file && self.ungenerated.is_none() && self.config.is_stun_only()
    }

    fn clients(&self) -> String {
        let auth = &self.config.auth;
        if let (true, Some(file)) = (self.config.is_stun_only(), self.ungenerated) {
            return format!(
                "one secret, which the server generates in {} when it starts",
                file.display()
            );
        }
        if self.config.is_stun_only() {
            return if self.has_file {
                "none: this is a STUN server only; `[auth] secrets` or `[auth.users]` make it relay"
                    .to_owned()
            } else {
                "one secret, which `serve` makes and keeps in its state directory".to_owned()
            };
        }
        format!(
            "{}, {} for time-limited credentials; wrong passwords of a network are answered {}; a nonce is \
             valid for {}{}; SHA-256 is {}",
            counted(auth.users.len(), "user"),
            counted(auth.secrets.len(), "secret"),
            auth.failures_per_minute.map_or_else(
                || "without limit".to_owned(),
                |most| format!("{most} times a minute")
            ),
            span(auth.nonce_lifetime),
            match auth.nonce_secret {
                Some(_) => " at every server with the same nonce secret",
                None => "",
            },
            match auth.sha256 {
                Sha256::Off => "off",
                Sha256::Offer => "offered",
                Sha256::Require => "required",
            },
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<16} {value}")
}

fn relay_addresses(config: &Config) -> String {
    if config.relay.addresses.is_empty() {
        return "none until this host has an address beside loopback, or `[relay] addresses` names one"
            .to_owned();
    }
    let names = config.relay.addresses.iter().map(|address| {
        if address.local == address.external {
            address.local.to_string()
        } else {
            format!("{}, which peers see as {}", address.local, address.external)
        }
    });
    let mut names: Vec<_> = names.collect();
    if config.relay.written.is_empty() {
        names.push("following the default routes".to_owned());
    }
    if let Some(tellers) = &config.relay.tellers {
        let tellers: Vec<_> = tellers.iter().map(Teller::to_string).collect();
        let found = format!("what peers see is found out from {}", tellers.join(" or "));
        names.extend((!tellers.is_empty()).then_some(found));
    }
    names.join("; ")
}

/// An address of this host, and the external one if it is behind 1:1 NAT.
fn faces(local: IpAddr, external: IpAddr) -> String {
    if local == external {
        local.to_string()
    } else {
        format!("{local} (seen as {external})")
    }
}

fn relay_ports(config: &Config) -> String {
    let ports = config.relay.ports;
    let allocations = counted(ports.count(), "allocation");
    format!(
        "{}-{}, room for {allocations} on each address",
        ports.first(),
        ports.last()
    )
}

fn allocations(config: &Config) -> String {
    let limits = &config.allocation;
    format!(
        "live {}, at most {}; {} per user{}, {} in all; {} and {} each; {}; {}; {}; {}",
        span(limits.default_lifetime),
        span(limits.max_lifetime),
        match limits.per_user {
            None => quota(Some(config.relay.ports.quarter())),
            Some(limit) => quota(Some(limit).filter(|limit| *limit < u32::MAX)),
        },
        if limits.per_user.is_none() {
            " (a quarter of the ports)"
        } else {
            ""
        },
        quota(limits.total),
        counted(limits.permissions, "permission"),
        counted(limits.channels, "channel"),
        if config.tcp_relay {
            format!(
                "may relay TCP, over {} each",
                counted(limits.connections, "connection")
            )
        } else {
            "relay no TCP".to_owned()
        },
        if config.mobility {
            "may follow their clients to other addresses"
        } else {
            "may not follow their clients to other addresses"
        },
        match config.icmp {
            IcmpTold::Rfc8489 => "clients that sign with an algorithm of RFC 8489 hear ICMP errors",
            IcmpTold::Always => "all clients hear ICMP errors",
            IcmpTold::Never => "no client hears ICMP errors",
        },
        fast(limits.bandwidth),
    )
}

/// How fast data may pass.
fn fast(Bandwidth { allocation, user }: Bandwidth) -> String {
    let most = |rate, of| Some(format!("{} per {of}", spelled_bandwidth(rate)?));
    let limits = [most(allocation, "allocation"), most(user, "user")];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        "data passes without limit".to_owned()
    } else {
        format!("data passes at most at {} each way", limits.join(" and "))
    }
}

fn redirected(redirect: &Redirect) -> String {
    let whose = match &redirect.realm {
        Some(realm) => format!("users of {realm}"),
        None => "everyone".to_owned(),
    };
    let when = match redirect.when {
        When::Always => String::new(),
        When::Draining => " while the server drains".to_owned(),
        When::Allocations(limit) => format!(" while there are {limit} allocations or more"),
    };
    let to: Vec<_> = redirect.to.iter().map(Target::to_string).collect();
    let name = match &redirect.domain {
        Some(domain) => format!(" (over TLS by the name {domain}, which no browser follows)"),
        None => String::new(),
    };
    format!("{whose}{when}, to {}{name}", to.join(" or "))
}

fn replies_to_strangers(config: &Config) -> String {
    let Allowance { per_prefix, total } = config.unauthenticated;
    if per_prefix.or(total).is_none() {
        return "to unauthenticated clients are not limited: this server can be used to attack others"
            .to_owned();
    }
    let words =
        |rate| spelled(rate).map_or_else(|| "any amount".to_owned(), |rate| rate + " per second");
    format!(
        "to unauthenticated clients are limited (anti-amplification); beyond the bytes received: {} to one network, {} in all",
        words(per_prefix),
        words(total),
    )
}

fn nat_discovery(config: &Config) -> String {
    if config.nat_discovery.is_empty() {
        return "off: clients see one address of this server".to_owned();
    }
    let corners = config.nat_discovery.iter().map(|discovery| {
        let [first, second] = discovery.ports;
        let primary = faces(discovery.primary.local, discovery.primary.external);
        let alternate = match &discovery.alternate {
            SecondAddress::Here(address) => faces(address.local, address.external),
            SecondAddress::Partner(Partner { address, port, .. }) => {
                format!("the partner {address} (udp {port} between both)")
            }
        };
        format!("{primary} and {alternate}, each on ports {first} and {second}")
    });
    corners.collect::<Vec<_>>().join("; ")
}

fn peers(config: &Config) -> String {
    let peers = &config.peers;
    let mut words = match peers.mode {
        Mode::Closed => {
            "Public addresses are allowed. Private and special addresses and those of this \
             host are denied. Clients of this server reach each other."
                .to_owned()
        }
        Mode::AllowList => "Only what is named is allowed.".to_owned(),
    };
    if !peers.allow.is_empty() {
        let _ = write!(words, " Allowed by name: {}.", listed(&peers.allow));
    }
    if !peers.deny.is_empty() {
        let _ = write!(
            words,
            " Denied by name, also where allowed: {}.",
            listed(&peers.deny)
        );
    }
    words.push_str(" The server's own listeners are always denied.");
    words
}

fn log(config: &Config) -> String {
    let level = match config.log.level {
        Level::Error => "errors",
        Level::Warn => "warnings",
        Level::Info => "events",
        Level::Debug => "events and decisions",
        Level::Trace => "everything, down to packets",
    };
    let format = match config.log.format {
        Format::Auto => "text, or under systemd fields of the journal",
        Format::Text => "text",
        Format::Json => "JSON",
        Format::Journal => "fields of the journal",
    };
    let addresses = if config.log.addresses {
        "with"
    } else {
        "without"
    };
    format!("{level} as {format}, {addresses} client addresses")
}

fn span(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

fn quota(limit: Option<u32>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {limit}"))
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn listed(networks: &[Network]) -> String {
    networks
        .iter()
        .map(Network::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::config::Machine;
    use net::{ProxyOptions, WebOptions};

    fn summary(text: &str) -> String {
        let host = Machine {
            name: "host.example.org".to_owned(),
            cores: 1,
            routed: vec!["10.0.0.5".parse().unwrap()],
            read_secret: |_| Ok(b"bm9uY2VzIG9mIGFsbCBub2Rlcwo=".into()),
            ..Machine::anywhere()
        };
        let config = config::read(text, Path::new("turnserver.toml"), &host)
            .unwrap()
            .config;
        Summary {
            config: &config,
            has_file: true,
            ungenerated: None,
            together: Together {
                received: true,
                sent: false,
            },
            memory: UdpMemory::default(),
        }
        .to_string()
    }

    #[test]
    fn proxies_and_the_web_server_stand_in_the_summary_where_there_are_any() {
        let mut config = Config::default();
        assert_eq!((proxies(&config), web(&config)), (None, None));
        let hosts = |hosts: &[&str]| hosts.iter().map(|it| it.parse().unwrap()).collect();
        config.proxies = ProxyOptions {
            tcp: hosts(&["10.0.0.0/8", "2001:db8::7/128"]),
            udp: hosts(&["10.0.0.1/32"]),
        };
        config.web = WebOptions {
            https: Some("127.0.0.1:8443".parse().unwrap()),
            proxy_protocol: true,
            quic: Some("127.0.0.1:8443".parse().unwrap()),
        };
        assert_eq!(
            proxies(&config).unwrap(),
            "begin with a PROXY header: connections of 10.0.0.0/8, 2001:db8::7/128; datagrams of \
             10.0.0.1/32"
        );
        assert_eq!(
            web(&config).unwrap(),
            "TLS for other names and protocols goes to 127.0.0.1:8443, with a PROXY header; QUIC goes \
             to 127.0.0.1:8443"
        );
    }

    #[test]
    fn a_file_by_which_nobody_can_allocate_is_one_and_a_secret_to_come_makes_it_another() {
        let config = Config::default();
        let of = |ungenerated| Summary {
            config: &config,
            has_file: true,
            ungenerated,
            together: Together {
                received: true,
                sent: true,
            },
            memory: UdpMemory::default(),
        };
        assert!(of(None).serves_nobody());
        assert!(of(None).clients().starts_with("none"));
        let to_come = of(Some(Path::new("/var/lib/hairpin/secret")));
        assert!(!to_come.serves_nobody());
        assert!(
            to_come
                .clients()
                .contains("generates in /var/lib/hairpin/secret")
        );
    }

    #[test]
    fn an_address_that_the_server_finds_out_is_not_said_to_be_the_public_one() {
        let found = summary("[relay]\nexternal = \"auto\"\nexternal-from = [\"metadata\"]\n");
        assert!(
            found.contains("in place of 10.0.0.5 comes the public address"),
            "{found}"
        );
        let written = summary("[relay]\nexternal = [\"203.0.113.7\"]\n");
        assert!(!written.contains("in place of"), "{written}");
    }

    #[test]
    fn the_summary_says_what_is_in_effect() {
        let summary = summary(
            "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n\
             [relay]\nexternal = [\"203.0.113.7\"]\nports = \"50000-50099\"\n\
             [nat-discovery]\nalternate = \"10.0.0.6:3479\"\nexternal = [\"203.0.113.8\"]\n\
             [auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\nnonce-secret-file = \"nonce.secret\"\n[auth.users]\nalice = \"wonderland\"\n\
             [[auth.realm]]\nname = \"example.net\"\nlisteners = [\"10.0.0.5:3478\"]\ntotal = 10\n\
             secrets = [\"5qLqO1tM0lYcN3S0\"]\n\
             [[auth.realm]]\nname = \"example.com\"\nper-user = 2\n\
             [auth.realm.users]\nalice = \"looking-glass\"\n\
             [oauth]\nserver-name = \"turn.example.org\"\n\
             [[oauth.key]]\nid = \"north\"\nkey = \"ccQYbo3PSwCWXWzxvBBRhZqgsuOErrPAXcQgdJ5tC8g=\"\n\
             [[oauth.key]]\nid = \"south\"\nnot-before = \"2026-01-01T00:00:00Z\"\n\
             expires = \"2028-01-01T00:00:00Z\"\nalgorithm = \"A128GCM\"\nkey = \"i1lS7dGBqJ5Fd2+Ue3XOyw==\"\n\
             [allocation]\nper-user = 4\n\
             [[redirect]]\nto = [\"203.0.113.9:3478\", \"[2001:db8::9]:3478\"]\nwhen = \"draining\"\n\
             [[redirect]]\nto = [\"203.0.113.9:443/tcp\"]\nwhen = { allocations = 90 }\nrealm = \"example.net\"\n\
             [peers]\nallow = [\"10.1.2.0/24\"]\ndeny = [\"10.1.2.9\"]\n",
        );
        let expected = "\
realm            host.example.org
shards           1
datapath         neighbours of one flow are received in one call (GRO), and sent one by one: this kernel has no GSO
buffers          2 MiB for a listener, 256 KiB for a relay socket
listeners        udp 0.0.0.0:3478, udp 10.0.0.5:3479, udp 10.0.0.6:3479
uris             turn:203.0.113.7:3478?transport=udp, turn:203.0.113.7:3479?transport=udp
relay addresses  10.0.0.5, which peers see as 203.0.113.7; following the default routes
relay ports      50000-50099, room for 100 allocations on each address
clients          1 user, 1 secret for time-limited credentials; wrong passwords of a network are answered 60 times a minute; a nonce is valid for 1h at every server with the same nonce secret; SHA-256 is offered
other realm      example.net: 0 users, 1 secret; as many per user, at most 10 in all; asked for at 10.0.0.5:3478
other realm      example.com: 1 user, 0 secrets; at most 2 per user, no limit in all; known by names such as alice@example.com
token clients    2 keys of authorization servers, which know this server as turn.example.org: north, south from 2026-01-01T00:00:00Z until 2028-01-01T00:00:00Z
allocations      live 10m, at most 1h; at most 4 per user, no limit in all; 256 permissions and 256 channels each; relay no TCP; may not follow their clients to other addresses; clients that sign with an algorithm of RFC 8489 hear ICMP errors; data passes without limit
redirect         everyone while the server drains, to 203.0.113.9:3478 or [2001:db8::9]:3478
redirect         users of example.net while there are 90 allocations or more, to 203.0.113.9:443/tcp
replies          to unauthenticated clients are limited (anti-amplification); beyond the bytes received: 16KiB per second to one network, 256KiB per second in all
nat discovery    10.0.0.5 (seen as 203.0.113.7) and 10.0.0.6 (seen as 203.0.113.8), each on ports 3478 and 3479
tcp clients      at most 16384, 1024 of one network; closed after 10s without a first request, 1m of silence, 1h without an allocation; Data indications above 2048 bytes are dropped
admin            a socket in the runtime directory, if there is one
peers            Public addresses are allowed. Private and special addresses and those of this host are denied. \
Clients of this server reach each other. Allowed by name: 10.1.2.0/24. Denied by name, also where allowed: 10.1.2.9. \
The server's own listeners are always denied.
log              events as text, or under systemd fields of the journal, without client addresses
";
        assert_eq!(summary, expected);
    }

    #[test]
    fn port_443_is_one_listener_with_the_name_that_is_wanted() {
        let summary = summary(
            "realm = \"turn.example.org\"\n[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n\
             [[listener]]\ntransport = \"auto\"\nlisten = \"0.0.0.0:443\"\n\
             [tls.acme]\nnames = [\"example.org\", \"turn.example.org\"]\n",
        );
        for line in [
            "listeners        udp 0.0.0.0:3478, auto 0.0.0.0:443 (UDP and TCP)\n",
            "tls              version 1.2 and above; DTLS off; ",
            ", turns:turn.example.org:443?transport=tcp\n",
        ] {
            assert!(summary.contains(line), "{summary}");
        }
    }

    #[test]
    fn a_server_without_a_uri_for_browsers_is_told_what_to_give() {
        let summary = summary(
            "[[listener]]\ntransport = \"dtls\"\nlisten = \"0.0.0.0:5349\"\n\
             [tls.acme]\nnames = [\"turn.example.org\"]\n",
        );
        assert!(summary.contains("none for a browser: "), "{summary}");
    }

    #[test]
    fn a_partner_is_named_and_its_secret_is_not() {
        let summary = summary(
            "[nat-discovery]\npartner = \"203.0.113.8:3479\"\nsecret = \"3vQ0cW1hZ2ljIG51bWJlcnM=\"\n",
        );
        let line = "nat discovery    10.0.0.5 and the partner 203.0.113.8 (udp 3480 between both), \
                    each on ports 3478 and 3479\n";
        assert!(summary.contains(line), "{summary}");
        assert!(!summary.contains("3vQ0"), "{summary}");
    }

    #[test]
    fn a_file_without_clients_is_called_a_stun_server() {
        assert!(summary("").contains("this is a STUN server only"));
    }

    #[test]
    fn what_strangers_hear_is_said_and_warned_of_if_it_is_without_limit() {
        let some = summary("[unauthenticated]\nper-prefix = \"unlimited\"\ntotal = \"1500B\"\n");
        let sentence = "any amount to one network, 1500B per second in all";
        assert!(some.contains(sentence), "{some}");
        let none = "[unauthenticated]\nper-prefix = \"unlimited\"\ntotal = \"unlimited\"\n";
        assert!(summary(none).contains("can be used to attack others"));
    }

    #[test]
    fn who_hears_icmp_and_what_is_too_long_for_a_stream_are_said() {
        for (icmp, words) in [
            (
                "rfc8489",
                "; clients that sign with an algorithm of RFC 8489 hear ICMP errors; ",
            ),
            ("always", "; all clients hear ICMP errors; "),
            ("never", "; no client hears ICMP errors; "),
        ] {
            let summary = summary(&format!("[allocation]\nicmp = \"{icmp}\"\n"));
            assert!(summary.contains(words), "{summary}");
        }
        let summary = summary("[tcp]\ndata-indication = 1500\n");
        let words = "; Data indications above 1500 bytes are dropped\n";
        assert!(summary.contains(words), "{summary}");
    }

    #[test]
    fn what_the_host_does_of_the_offload_is_said() {
        for (text, words) in [
            ("", "received in one call (GRO), and sent one by one: "),
            (
                "[datapath]\noffload = \"off\"\n",
                "datapath         one datagram a call, ",
            ),
        ] {
            let summary = summary(text);
            assert!(summary.contains(words), "{summary}");
        }
    }

    #[test]
    fn an_allow_list_is_called_one() {
        let summary = summary("[peers]\nmode = \"allow-list\"\nallow = [\"203.0.113.0/24\"]\n");
        let sentence = "Only what is named is allowed. Allowed by name: 203.0.113.0/24.";
        assert!(summary.contains(sentence), "{summary}");
    }
}
