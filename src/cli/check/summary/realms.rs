//! The realms besides the first, and clients with tokens.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use relay::Bandwidth;

use super::{counted, fast, quota};
use crate::config::{Config, OauthKey, Realm};

pub(super) fn other_realm(realm: &Realm) -> String {
    let mut words = format!(
        "{}: {}, {}; {} per user, {} in all",
        realm.name,
        counted(realm.users.len(), "user"),
        counted(realm.secrets.len(), "secret"),
        realm
            .per_user
            .map_or_else(|| "as many".to_owned(), |limit| format!("at most {limit}")),
        quota(realm.total),
    );
    if realm.bandwidth != Bandwidth::default() {
        let _ = write!(words, "; {}", fast(realm.bandwidth));
    }
    if realm.listeners.is_empty() {
        let _ = write!(words, "; known by names such as alice@{}", realm.name);
    } else {
        let listeners: Vec<_> = realm.listeners.iter().map(SocketAddr::to_string).collect();
        let _ = write!(words, "; asked for at {}", listeners.join(", "));
    }
    words
}

pub(super) fn token_clients(config: &Config) -> String {
    let keys = config.oauth.keys.iter().map(token_key);
    let keys: Vec<String> = keys.collect();
    format!(
        "{} of authorization servers, which know this server as {}: {}",
        counted(keys.len(), "key"),
        config.oauth.server_name,
        keys.join(", "),
    )
}

/// The id of a key, and when it is good if not always.
fn token_key(key: &OauthKey) -> String {
    let mut words = key.id.clone();
    let mut say = |word, time| {
        if let Some(time) = UNIX_EPOCH.checked_add(time) {
            let _ = write!(words, " {word} {}", humantime::format_rfc3339_seconds(time));
        }
    };
    if key.valid.start > Duration::ZERO {
        say("from", key.valid.start);
    }
    say("until", key.valid.end);
    words
}
