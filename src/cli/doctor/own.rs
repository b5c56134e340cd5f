//! The examination of a server whose configuration is known.

use std::net::IpAddr;

use probe::doctor::{Code, Examination, Finding, Login};
use probe::{Service, Uri};

use super::host::finding;
use super::minting;
use crate::config::{Config, Listener, Loaded, Realm, UserKey};

/// Fills in what the command line left open: servers, login and realm. Returns what the
/// configuration itself shows: whether it has cautions, and the listeners that are left out.
pub(super) fn complete(examination: &mut Examination, loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = Vec::new();
    if !loaded.remarks.is_empty() {
        findings.push(finding(
            Code::ConfigCaution,
            "there are cautions about it".to_owned(),
        ));
    }
    let asks_for_itself = examination.servers.is_empty();
    if asks_for_itself {
        for listener in &config.listeners {
            let Listener { transports, listen } = listener;
            let untried = |why: String| {
                let sentence = format!("{listen} over {}: {why}", transports.name());
                finding(Code::ListenerUntried, sentence)
            };
            let has_it = |realm: &&Realm| realm.listeners.contains(listen);
            // A realm of its own has users of its own, so the login of the others is no use there.
            if let Some(realm) = config.auth.realms.iter().find(has_it) {
                findings.push(untried(format!("it is for the realm \"{}\"", realm.name)));
            } else if let Some(ip) = address(*listener, config) {
                let uris = uris(*listener, ip);
                examination.servers.extend(uris);
            } else {
                findings.push(untried("this host has no address for it".to_owned()));
            }
        }
    }
    if asks_for_itself {
        // As clients come to it: by names and through what stands before the listeners.
        let advertised = config.advertised.iter().cloned();
        let new: Vec<Uri> = advertised
            .filter(|uri| !examination.servers.contains(uri))
            .collect();
        examination.servers.extend(new);
    }
    if examination.login.is_none() {
        examination.login = login(config);
    }
    if examination.realm.is_none() {
        examination.realm = Some(config.realm.clone());
    }
    findings
}

/// The address of this host that a listener is reached at, if there is one.
fn address(listener: Listener, config: &Config) -> Option<IpAddr> {
    if listener.listen.ip().is_unspecified() {
        let mut relays = config.relay.addresses.iter().map(|relay| relay.local);
        relays.find(|local| local.is_ipv4() == listener.listen.is_ipv4())
    } else {
        Some(listener.listen.ip())
    }
}

/// A URI for each transport of a listener.
fn uris(listener: Listener, ip: IpAddr) -> impl Iterator<Item = Uri> {
    listener.transports.each().map(move |transport| Uri {
        service: Service::Turn,
        is_secure: transport.is_secure(),
        host: probe::UriHost::Address(ip),
        port: Some(listener.listen.port()),
        transport: Some(if transport.is_stream() {
            probe::Transport::Tcp
        } else {
            probe::Transport::Udp
        }),
    })
}

/// The first secret, or the first user whose password is known.
fn login(config: &Config) -> Option<Login> {
    if let Some(secret) = config.auth.secrets.first() {
        return Some(minting(secret.clone()));
    }
    config.auth.users.iter().find_map(|(user, key)| match key {
        UserKey::Password(password) => Some(Login::Password {
            user: user.clone(),
            password: password.expose().to_owned(),
        }),
        UserKey::Precomputed(_) => None,
    })
}
