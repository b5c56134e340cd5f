//! The examination of a server whose configuration is known.

use probe::doctor::{Examination, Login};
use probe::{Service, Uri};
use relay::Transport;

use super::minting;
use crate::config::{Config, Listener, UserKey};

/// Fills in what the command line left open: servers, login and realm.
pub(super) fn complete(examination: &mut Examination, config: &Config) {
    if examination.servers.is_empty() {
        // A realm of its own has users of its own, so the login of the others is no use there.
        let realms = &config.auth.realms;
        let is_default = |listener: &&Listener| {
            let mut theirs = realms.iter().flat_map(|realm| &realm.listeners);
            theirs.all(|address| *address != listener.listen)
        };
        let listeners = config.listeners.iter().filter(is_default);
        examination.servers = listeners
            .filter_map(|listener| uri(*listener, config))
            .collect();
    }
    if examination.login.is_none() {
        examination.login = login(config);
    }
    if examination.realm.is_none() {
        examination.realm = Some(config.realm.clone());
    }
}

/// The URI of a listener from this host; `None` if it is at no address of this host.
fn uri(listener: Listener, config: &Config) -> Option<Uri> {
    let ip = if listener.listen.ip().is_unspecified() {
        let mut relays = config.relay.addresses.iter().map(|relay| relay.local);
        relays.find(|local| local.is_ipv4() == listener.listen.is_ipv4())?
    } else {
        listener.listen.ip()
    };
    Some(Uri {
        service: Service::Turn,
        is_secure: false,
        host: probe::Host::Address(ip),
        port: Some(listener.listen.port()),
        transport: Some(match listener.transport {
            Transport::Udp => probe::Transport::Udp,
            Transport::Tcp => probe::Transport::Tcp,
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
