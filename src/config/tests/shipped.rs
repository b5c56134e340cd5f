//! `turnserver.toml` as shipped: complete, and true.

use std::collections::BTreeSet;

use relay::Transport;

use super::{config, host, path, read, told};
use crate::config::{Config, ROWS, Unwritten};

const SHIPPED: &str = include_str!("../../../turnserver.toml");

#[test]
fn the_shipped_file_sets_every_key_to_its_default() {
    assert_eq!(config(SHIPPED), Config::defaults(&host()));
    assert_eq!(config(""), Config::defaults(&host()));
}

#[test]
fn the_shipped_file_names_every_key_the_parser_reads() {
    let in_a_table = ROWS.iter().filter(|row| row.table != "redirect.when");
    let known = in_a_table.map(|row| (row.table.to_owned(), row.key.to_owned()));
    assert_eq!(documented(), known.collect());
}

/// But those of tables that may stand several times, which are examples there.
#[test]
fn the_shipped_file_shows_every_default_of_the_rows() {
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    for row in ROWS
        .iter()
        .filter(|row| !row.table.contains('.') && row.table != "listener")
    {
        if let Unwritten::Is(default) = row.unwritten {
            let table = shipped.get(row.table).and_then(toml::Value::as_table);
            let written = table.unwrap_or(&shipped)[row.key].to_string();
            assert_eq!(written.trim_matches('"'), default, "{}", row.name());
        }
    }
}

#[test]
fn the_defaults_of_the_rows_are_those_of_the_libraries() {
    let config = Config::defaults(&host());
    assert_eq!(config.allocation, relay::Limits::default());
    assert_eq!(config.tcp, net::StreamLimits::default());
    assert_eq!(config.unauthenticated, relay::Allowance::default());
    assert_eq!(config.quality.bad, relay::Thresholds::default());
    assert_eq!(config.relay.ports, relay::PortRange::default());
    assert_eq!(config.signal.limits, signal::Limits::default());
    assert_eq!((config.icmp, config.peers.mode), Default::default());
}

#[test]
fn the_examples_in_the_shipped_file_work() {
    let everything: String = SHIPPED
        .lines()
        .map(|line| format!("{}\n", uncommented(line)))
        .collect();
    // Tokens need a secret to make credentials with.
    let with_secret = "\nsecrets = [\"Zm9yIGFsbCBjcmVkZW50aWFscw==\"]";
    let everything = everything.replacen("\nsecrets = []", with_secret, 1);
    let everything = everything.replace("CHANGE-ME", "looking-glass");
    let loaded = read(&everything, path(), &host()).unwrap();
    assert_eq!(told(&loaded.remarks.to_string()), []);
    assert_eq!(loaded.config.realm, "turn.example.org");
    assert_eq!(loaded.config.listeners[1].transports, Transport::Tcp.into());
    assert_eq!(loaded.config.auth.users.len(), 3);
    assert_eq!(loaded.config.redirects.len(), 2);
    assert_eq!(loaded.config.auth.realms[0].users.len(), 2);
    assert_eq!(loaded.config.oauth.keys.len(), 2);
    assert_eq!(loaded.config.http.tokens.len(), 2);
}

/// The tables and keys of the shipped file, set or commented out. Prose has a
/// space after its `#`, settings have none.
fn documented() -> BTreeSet<(String, String)> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in SHIPPED.lines().map(uncommented) {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert((table.clone(), key.to_owned()));
        }
    }
    // Users have names of their own; the table stands for them.
    for table in ["auth", "auth.realm"] {
        let before = keys.len();
        keys.retain(|(other, _)| *other != format!("{table}.users"));
        assert_ne!(keys.len(), before);
        keys.insert((table.to_owned(), "users".to_owned()));
    }
    keys
}

fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(setting)
            if setting.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()) =>
        {
            setting
        }
        Some(_) | None => line,
    }
}
