//! The meaning of correct files.

use std::num::NonZeroU64;
use std::time::Duration;

use relay::policy::{IpRuling, Mode, Permit};
use relay::{RelayAddress, Transport};

use super::{addresses, config, fault, host};
use crate::config::{Config, Format, Level, Listener, load};

#[test]
fn no_entry_opens_a_listener_by_the_external_address_that_leads_to_it() {
    let config = config(
        "[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3478\"\n\
         [relay]\naddresses = [\"10.0.0.5\"]\nexternal = [\"198.41.0.5\"]\n\
         [peers]\nallow = [\"198.41.0.5\"]\n",
    );
    let policy = config.policy(&host());
    assert!(policy.judge("198.41.0.5:3478".parse().unwrap()).is_err());
    assert!(policy.judge("198.41.0.5:80".parse().unwrap()).is_ok());
}

#[test]
fn no_entry_opens_a_listener_that_a_reload_took_away_and_that_serves_its_last_calls() {
    let config = config("[peers]\nallow = [\"10.0.0.5\"]\n[relay]\naddresses = [\"10.0.0.5\"]\n");
    let gone = "10.0.0.5:3999".parse().unwrap();
    assert!(config.policy(&host()).judge(gone).is_ok());
    assert!(config.policy_beside(&host(), &[gone]).judge(gone).is_err());
}

/// RFC 8656 §5 has an hour as the longest.
#[test]
fn a_nonce_is_good_for_an_hour_unless_the_file_says_less() {
    assert_eq!(config("").auth.nonce_lifetime, Duration::from_secs(3600));
    let less = config("[auth]\nnonce-lifetime = \"10m\"\n");
    assert_eq!(less.auth.nonce_lifetime, Duration::from_secs(600));
}

#[test]
fn a_file_says_what_it_says() {
    let config = config(
        "realm = \"turn.example.org\"\nthreads = 2\n\
         [[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.5:443\"\n\
         [relay]\nports = \"50000 - 50099\"\n\
         [auth]\nnonce-lifetime = \"50m 30s\"\n\
         [allocation]\ndefault-lifetime = \"20m\"\nmax-lifetime = \"2h\"\nper-user = 4\ntotal = 200\n\
         permissions = 7\nchannels = 8\nmobility = true\n\
         [peers]\nmode = \"allow-list\"\nallow = [\"10.1.2.0/24:10000-20000\"]\ndeny = [\"203.0.113.9\"]\n\
         [log]\nlevel = \"debug\"\nformat = \"json\"\naddresses = true\n",
    );
    assert_eq!(
        (config.realm.as_str(), config.threads),
        ("turn.example.org", 2)
    );
    let listen = "10.0.0.5:443".parse().unwrap();
    assert_eq!(
        config.listeners,
        [Listener {
            transports: Transport::Tcp.into(),
            listen
        }]
    );
    assert_eq!(
        (config.relay.ports.first(), config.relay.ports.last()),
        (50000, 50099)
    );
    assert_eq!(config.auth.nonce_lifetime, Duration::from_secs(3030));
    assert_eq!(
        config.allocation.default_lifetime,
        Duration::from_secs(1200)
    );
    assert_eq!(config.allocation.max_lifetime, Duration::from_secs(7200));
    assert_eq!(
        (config.allocation.per_user, config.allocation.total),
        (Some(4), Some(200))
    );
    assert_eq!(
        (config.allocation.permissions, config.allocation.channels),
        (7, 8)
    );
    assert!(config.mobility);
    assert_eq!(config.peers.mode, Mode::AllowList);
    assert_eq!(config.peers.allow[0].to_string(), "10.1.2.0/24:10000-20000");
    assert_eq!(config.peers.deny[0].to_string(), "203.0.113.9");
    assert_eq!(
        (config.log.level, config.log.format, config.log.addresses),
        (Level::Debug, Format::Json, true)
    );
}

#[test]
fn bytes_per_second_have_a_unit_or_no_limit() {
    for (written, meant) in [
        ("1024B", Some(1024)),
        ("16KiB", Some(16_384)),
        (" 2 MiB ", Some(2 << 20)),
        ("1GiB", Some(1 << 30)),
        ("unlimited", None),
    ] {
        let config = config(&format!("[unauthenticated]\ntotal = \"{written}\"\n"));
        let total = config.unauthenticated.total.map(NonZeroU64::get);
        assert_eq!(total, meant, "{written}");
    }
}

#[test]
fn without_a_file_the_host_decides() {
    let config = load(None, &host()).unwrap().config;
    assert_eq!(config, Config::defaults(&host()));
    assert_eq!(
        (config.realm.as_str(), config.threads),
        ("host.example.org", 4)
    );
    let listeners: Vec<String> = config
        .listeners
        .iter()
        .map(|listener| listener.listen.to_string())
        .collect();
    assert_eq!(
        listeners,
        ["0.0.0.0:3478", "[::]:3478", "0.0.0.0:3478", "[::]:3478"]
    );
    let relays: Vec<_> = config
        .relay
        .addresses
        .iter()
        .map(|address| address.local)
        .collect();
    assert_eq!(relays, addresses(&["10.0.0.5", "2001:db8::5"]));
    assert!(config.is_stun_only());
}

#[test]
fn a_host_without_ipv6_listens_on_ipv4_only() {
    let host = super::Machine {
        has_ipv6: false,
        ..host()
    };
    let config = Config::defaults(&host);
    assert!(
        config
            .listeners
            .iter()
            .all(|listener| listener.listen.is_ipv4())
    );
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn zero_threads_are_one_per_core() {
    assert_eq!(config("threads = 0\n").threads, 4);
}

#[test]
fn external_addresses_stand_for_those_in_their_place() {
    let config = config(
        "[relay]\naddresses = [\"2001:db8::5\", \"10.0.0.5\"]\nexternal = [\"2001:db8::5\", \"203.0.113.7\"]\n",
    );
    assert_eq!(
        config.relay.addresses,
        [
            pair("2001:db8::5", "2001:db8::5"),
            pair("10.0.0.5", "203.0.113.7"),
        ]
    );
}

#[test]
fn an_external_address_alone_stands_for_the_hosts_address_of_its_family() {
    let config = config("[relay]\naddresses = []\nexternal = [\"203.0.113.7\"]\n");
    assert_eq!(
        config.relay.addresses,
        [
            pair("10.0.0.5", "203.0.113.7"),
            pair("2001:db8::5", "2001:db8::5"),
        ]
    );
}

#[test]
fn an_external_address_waits_for_an_address_of_its_family() {
    let young = super::Machine {
        routed: addresses(&["10.0.0.5"]),
        ..host()
    };
    let text = "[relay]\nexternal = [\"2001:db8::7\"]\n";
    let loaded = super::read(text, super::path(), &young).unwrap();
    let remarks = loaded.remarks.to_string();
    assert!(
        remarks.contains("does nothing until one comes"),
        "{remarks}"
    );
    let mut relay = loaded.config.relay;
    assert_eq!(relay.addresses, [pair("10.0.0.5", "10.0.0.5")]);
    relay.follow(&host(), &[]);
    assert_eq!(relay.addresses[1], pair("2001:db8::5", "2001:db8::7"));
}

#[test]
fn relay_addresses_that_are_not_written_follow_the_host() {
    let mut relay = config("").relay;
    let moved = super::Machine {
        routed: addresses(&["10.0.0.6"]),
        ..host()
    };
    relay.follow(&moved, &[]);
    // Allocations live on the old ones as long as the host has them.
    let former = ["10.0.0.5", "2001:db8::5"].map(|ip| pair(ip, ip));
    assert_eq!(relay.addresses[0], pair("10.0.0.6", "10.0.0.6"));
    assert_eq!(relay.addresses[1..], former);
    let left = super::Machine {
        addresses: addresses(&["10.0.0.6"]),
        ..moved
    };
    relay.follow(&left, &[]);
    assert_eq!(relay.addresses, [pair("10.0.0.6", "10.0.0.6")]);
}

#[test]
fn an_external_address_that_is_found_out_counts_until_another_is_found() {
    let text = "[relay]\naddresses = \"auto\"\n";
    assert!(super::read(text, super::path(), &host()).is_err());
    let text = "external = \"auto\"\nexternal-from = [\"metadata\", \"stun:a.example.org\"]\n";
    let mut relay = config(&format!("[relay]\n{text}")).relay;
    assert_eq!(relay.addresses[0], pair("10.0.0.5", "10.0.0.5"));
    for found in ["203.0.113.7", "203.0.113.8"] {
        relay.follow(&host(), &[pair("10.0.0.5", found)]);
        assert_eq!(relay.addresses[0], pair("10.0.0.5", found));
        assert_eq!(relay.addresses[1], pair("2001:db8::5", "2001:db8::5"));
    }
}

#[test]
fn a_quota_may_use_the_ports_of_all_relay_addresses() {
    let two_addresses = "[relay]\nports = \"50000-50009\"\n[allocation]\ntotal = ";
    assert_eq!(
        config(&format!("{two_addresses}20\n")).allocation.total,
        Some(20)
    );
    assert!(
        fault(&format!("{two_addresses}21\n"))
            .sentence
            .contains("room for 20 allocations")
    );
}

#[test]
fn the_policy_knows_what_belongs_to_this_host() {
    let config = config(
        "[relay]\naddresses = [\"10.0.0.5\"]\nexternal = [\"203.0.113.7\"]\nports = \"50000-50009\"\n\
         [nat-discovery]\nalternate = \"10.0.0.6:3479\"\nexternal = [\"8.8.4.4\"]\n",
    );
    let host = super::Machine {
        networks: vec!["9.9.10.0/24".parse().unwrap()],
        ..host()
    };
    let policy = config.policy(&host);
    let judged = |peer: &str| policy.judge(peer.parse().unwrap());
    assert_eq!(judged("203.0.113.7:50000"), Ok(Permit::OwnRelay));
    for own in [
        "10.0.0.5:3478",
        "10.0.0.5:22",
        "10.0.0.5:50009",
        "203.0.113.7:3478",
        "203.0.113.7:80",
        "127.0.0.1:80",
        "[2001:db8::5]:80",
        // Addresses that the NAT leads back, and others that the kernel takes for its own.
        "8.8.4.4:80",
        "9.9.10.77:80",
    ] {
        assert!(judged(own).is_err(), "{own}");
    }
    assert_eq!(
        policy.judge_ip("9.9.9.9".parse().unwrap()),
        IpRuling::EveryPort(Permit::Public)
    );
}

#[test]
fn the_keys_are_those_of_users_and_secrets() {
    let config = config(
        "[auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n[auth.users]\nalice = \"wonderland\"\n",
    );
    let mut realms = config.realms().unwrap();
    assert_eq!(&**realms.default_keys().realm(), "host.example.org");
    assert!(!realms.is_empty() && !config.is_stun_only());
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_name() {
    let refused = load(
        Some(std::path::Path::new("/nonexistent/turnserver.toml")),
        &host(),
    )
    .unwrap_err();
    let sentence = "cannot read the configuration file /nonexistent/turnserver.toml: ";
    assert!(refused.to_string().starts_with(sentence), "{refused}");
    let unnamed = load(Some(std::path::Path::new("")), &host()).unwrap_err();
    assert!(
        unnamed.to_string().ends_with("HAIRPIN_CONFIG is empty"),
        "{unnamed}"
    );
}

#[test]
fn the_name_of_a_file_commands_no_terminal() {
    let path = std::path::Path::new("/nonexistent/a\u{1b}[2J.toml");
    let refused = load(Some(path), &host()).unwrap_err().to_string();
    assert!(refused.contains("a\\u{1b}[2J.toml: "), "{refused}");
    let faulty = super::read("realms = 1\n", path, &host()).unwrap_err();
    let shown = format!("{faulty}");
    assert!(shown.contains("a\\u{1b}[2J.toml:1:1"), "{shown}");
    let sound = super::read("realm = \"example.org\"\n", path, &host()).unwrap();
    assert!(
        sound.source.ends_with("a\\u{1b}[2J.toml"),
        "{}",
        sound.source
    );
}

fn pair(local: &str, external: &str) -> RelayAddress {
    RelayAddress {
        local: local.parse().unwrap(),
        external: external.parse().unwrap(),
    }
}

#[test]
fn a_bandwidth_is_in_bits_or_bytes_per_second() {
    for (written, meant) in [
        ("10Mbit/s", Some(1_250_000)),
        ("1250kB/s", Some(1_250_000)),
        ("1250000B/s", Some(1_250_000)),
        (" 64 kbit/s ", Some(8_000)),
        ("1Gbit/s", Some(125_000_000)),
        ("2MB/s", Some(2_000_000)),
        ("unlimited", None),
    ] {
        let text = format!(
            "[allocation]\nbandwidth = \"{written}\"\nper-user-bandwidth = \"{written}\"\n\
             [[auth.realm]]\nname = \"example.net\"\nbandwidth = \"{written}\"\n\
             per-user-bandwidth = \"{written}\"\n[auth.realm.users]\nalice = \"looking-glass\"\n"
        );
        let config = config(&text);
        let rate = meant.and_then(NonZeroU64::new);
        let expected = relay::Bandwidth {
            allocation: rate,
            user: rate,
        };
        assert_eq!(config.allocation.bandwidth, expected, "{written}");
        assert_eq!(config.auth.realms[0].bandwidth, expected, "{written}");
    }
}

#[test]
fn a_user_has_a_quarter_of_the_ports_unless_the_file_says_otherwise() {
    for (written, meant) in [
        ("", None),
        ("per-user = 0\n", Some(u32::MAX)),
        ("per-user = 3\n", Some(3)),
    ] {
        let config = config(&format!("[allocation]\n{written}"));
        assert_eq!(config.allocation.per_user, meant, "{written}");
    }
}

#[test]
fn the_quality_of_calls_is_measured_unless_the_file_says_no() {
    let thresholds = config("").quality.thresholds().expect("it is measured");
    assert_eq!(thresholds, relay::Thresholds::default());
    let other =
        config("[quality]\nbad-loss = \"0.5%\"\nbad-round-trip = \"1s\"\nbad-jitter = \"20ms\"\n");
    let expected = relay::Thresholds {
        loss: 5,
        round_trip: Duration::from_secs(1),
        jitter: Duration::from_millis(20),
    };
    assert_eq!(other.quality.thresholds(), Some(expected));
    let off = config("[quality]\nenabled = false\n");
    assert_eq!(off.quality.thresholds(), None);
}
