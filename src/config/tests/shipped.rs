//! `turnserver.toml` as shipped: complete, and true.

use std::collections::BTreeSet;

use relay::Transport;
use toml::Spanned;

use super::{config, host, path, read};
use crate::config::Config;
use crate::config::file::{
    AuthTable, File, ListenerTable, OauthKeyTable, OauthTable, RealmTable, RedirectTable,
};
use crate::config::keys::KEYS;

const SHIPPED: &str = include_str!("../../../turnserver.toml");

#[test]
fn the_shipped_file_sets_every_key_to_its_default() {
    assert_eq!(config(SHIPPED), Config::defaults(&host()));
    assert_eq!(config(""), Config::defaults(&host()));
}

#[test]
fn the_shipped_file_names_every_key_the_parser_reads() {
    assert_eq!(documented(), known());
}

#[test]
fn the_list_of_keys_names_every_key_the_parser_reads() {
    let listed = KEYS
        .iter()
        .map(|&(table, key)| (table.to_owned(), key.to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), known());
}

#[test]
fn the_examples_in_the_shipped_file_work() {
    let everything: String = SHIPPED
        .lines()
        .map(|line| format!("{}\n", uncommented(line)))
        .collect();
    let loaded = read(&everything, path(), &host()).unwrap();
    assert!(loaded.report.is_empty(), "{}", loaded.report);
    assert_eq!(loaded.config.realm, "turn.example.org");
    assert_eq!(loaded.config.listeners[1].transport, Transport::Tcp);
    assert_eq!(loaded.config.auth.users.len(), 3);
    assert_eq!(loaded.config.redirects.len(), 2);
    assert_eq!(loaded.config.auth.realms[0].users.len(), 2);
    assert_eq!(loaded.config.oauth.keys.len(), 2);
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

/// The tables and keys that serde knows: all of them, because an absent one is
/// written as null.
fn known() -> BTreeSet<(String, String)> {
    let file = File {
        listener: vec![Spanned::new(0..0, ListenerTable::default())],
        auth: AuthTable {
            realm: vec![Spanned::new(0..0, RealmTable::default())],
            ..AuthTable::default()
        },
        redirect: vec![Spanned::new(0..0, RedirectTable::default())],
        oauth: OauthTable {
            key: vec![Spanned::new(0..0, OauthKeyTable::default())],
            ..OauthTable::default()
        },
        ..File::default()
    };
    let serde_json::Value::Object(top) = serde_json::to_value(&file).unwrap() else {
        panic!()
    };
    let mut keys = BTreeSet::new();
    collect("", &top, &mut keys);
    keys
}

fn collect(
    table: &str,
    entries: &serde_json::Map<String, serde_json::Value>,
    keys: &mut BTreeSet<(String, String)>,
) {
    for (name, value) in entries {
        // `[[listener]]` is an array of tables.
        let inner = value.get(0).unwrap_or(value);
        match inner.as_object() {
            // Users have names of their own.
            Some(inner) if name != "users" => {
                let path = [table, name].map(str::to_owned);
                let path = path.into_iter().filter(|part| !part.is_empty());
                collect(&path.collect::<Vec<_>>().join("."), inner, keys);
            }
            Some(_) | None => drop(keys.insert((table.to_owned(), name.clone()))),
        }
    }
}
