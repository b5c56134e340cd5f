//! What is served beside the relay: to browsers and to the operator.

use std::net::SocketAddr;

use super::counted;
use crate::config::{AdminSocket, Config};

/// The lines of it that there are, by name.
pub(super) fn beside(config: &Config) -> Vec<(&'static str, String)> {
    let lines = [
        ("browsers", browsers(config)),
        ("signaling", signaling(config)),
        ("admin", Some(admin(config))),
        ("metrics", metrics(config)),
    ];
    let said = |(name, value): (_, Option<String>)| Some((name, value?));
    lines.into_iter().filter_map(said).collect()
}

fn browsers(config: &Config) -> Option<String> {
    let http = &config.http;
    if !http.is_served() {
        return None;
    }
    let mut at = places(&http.listen);
    at.extend(
        http.tls_listeners
            .then(|| "the listeners for TLS".to_owned()),
    );
    let pages = if config.demo {
        ", with the pages of the demo"
    } else {
        ""
    };
    let tokens = match http.tokens.len() {
        0 => String::new(),
        count => format!("; {} for the credential endpoint", counted(count, "token")),
    };
    let at = at.join(", ");
    Some(format!(
        "at {at}{pages}; {} at once{tokens}",
        counted(http.connections, "connection")
    ))
}

fn signaling(config: &Config) -> Option<String> {
    let signal = &config.signal;
    if !signal.enabled && !config.demo {
        return None;
    }
    let for_whom = match (signal.secrets.len(), signal.token_secrets.len()) {
        (0, 0) => "everyone who knows the name of a room".to_owned(),
        (secrets, 0) => format!("who knows one of {}", counted(secrets, "secret")),
        (_, keys) => format!("who has a join token of one of {}", counted(keys, "key")),
    };
    let limits = &signal.limits;
    let (rooms, members) = (limits.rooms, limits.members);
    Some(format!(
        "for {for_whom}; {rooms} rooms of {members} members at most"
    ))
}

fn admin(config: &Config) -> String {
    match &config.admin {
        AdminSocket::Auto => "a socket in the runtime directory, if there is one".to_owned(),
        AdminSocket::At(path) => format!("a socket at {}", path.display()),
        AdminSocket::Off => "no socket".to_owned(),
    }
}

fn metrics(config: &Config) -> Option<String> {
    let metrics = &config.metrics;
    let at = places(&metrics.listen).join(", ");
    let token = if metrics.token.is_some() {
        ", for those who show the token"
    } else {
        ""
    };
    (!at.is_empty()).then(|| format!("at {at}{token}"))
}

fn places(listen: &[SocketAddr]) -> Vec<String> {
    listen.iter().map(ToString::to_string).collect()
}
