//! The services beside the relay: for browsers and for the operator.

use std::net::SocketAddr;

use ::usage::Then;

use super::counted;
use crate::config::{AdminSocket, Config, spelled_bandwidth, spelled_size};

/// The lines of it that there are, by name.
pub(super) fn beside(config: &Config) -> Vec<(&'static str, String)> {
    let lines = [
        ("browsers", browsers(config)),
        ("signaling", signaling(config)),
        ("admin", Some(admin(config))),
        ("metrics", metrics(config)),
        ("usage", usage(config)),
        ("caps", caps(config)),
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
    let admin = &config.admin;
    let socket = match &admin.socket {
        AdminSocket::Auto => "a socket in the runtime directory, if there is one".to_owned(),
        AdminSocket::At(path) => format!("a socket at {}", path.display()),
        AdminSocket::Off => "no socket".to_owned(),
    };
    let at = places(&admin.listen).join(", ");
    if at.is_empty() {
        socket
    } else {
        format!("{socket}; at {at}, for those who show the token")
    }
}

fn metrics(config: &Config) -> Option<String> {
    let metrics = &config.metrics;
    let at = places(&metrics.listen).join(", ");
    let shown = match (&metrics.token, &metrics.client_ca) {
        (None, None) => "",
        (Some(_), None) => ", for those who show the token",
        (None, Some(_)) => ", for those who show a certificate",
        (Some(_), Some(_)) => ", for those who show a certificate and the token",
    };
    (!at.is_empty()).then(|| format!("at {at}{shown}"))
}

fn usage(config: &Config) -> Option<String> {
    let usage = &config.usage;
    let file = usage.file.as_ref().map(|file| file.display().to_string());
    let webhook = usage.webhook.as_ref().map(|webhook| webhook.url.clone());
    let places: Vec<String> = file.into_iter().chain(webhook).collect();
    let every = humantime::format_duration(usage.every);
    let addresses = if usage.addresses { "with" } else { "without" };
    let places = places.join(" and ");
    (!places.is_empty()).then(|| {
        format!("told each {every} and at the end, to {places}, {addresses} client addresses")
    })
}

fn caps(config: &Config) -> Option<String> {
    let told = config.caps.iter().map(|cap| {
        let realm = cap.realm.as_deref().unwrap_or("each realm");
        let whose = match &cap.user {
            Some(user) if user.contains('*') => format!("each user {user} of {realm}"),
            Some(user) => format!("user {user} of {realm}"),
            None => format!("{realm} as a whole"),
        };
        let then = match cap.then {
            Then::Warn => "a warning".to_owned(),
            Then::Refuse => "no new allocation".to_owned(),
            Then::Throttle(rate) => {
                let rate = spelled_bandwidth(Some(rate)).unwrap_or_default();
                format!("{rate} for a user")
            }
        };
        let size = spelled_size(cap.bytes);
        format!("{whose}: {size} in a month, then {then}")
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn places(listen: &[SocketAddr]) -> Vec<String> {
    listen.iter().map(ToString::to_string).collect()
}
