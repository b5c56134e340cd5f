//! The examination of a server whose configuration is known.

use std::net::{IpAddr, SocketAddr};

use net::Transports;
use probe::UriHost;
use probe::doctor::{Code, Examination, Examined, Finding, Login};
use relay::Transport;

use super::host::finding;
use crate::cli::login::minting;
use crate::config::{Config, Listener, Loaded, Realm, UserKey};
use crate::ice_servers;

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
    if examination.servers.is_empty() {
        let (here, nowhere): (Vec<_>, Vec<_>) = config
            .listeners
            .iter()
            .partition(|listener| address(**listener, config).is_some());
        findings.extend(without_address(&nowhere));
        for listener in here {
            match reached(*listener, config) {
                Ok(here) => {
                    let is_secure = taken(here, config).any(Transport::is_secure);
                    if is_secure && ice_servers::secure_host(config).is_none() {
                        findings.push(untried(*listener, NO_NAME));
                    }
                    examination.servers.extend(servers(here, config));
                }
                Err(why) => findings.push(untried(*listener, &why)),
            }
        }
        // As clients come to it: by names and through what stands before the listeners.
        let advertised = config.advertised.iter().cloned().map(Examined::from);
        let new: Vec<Examined> = advertised
            .filter(|server| !examination.servers.contains(server))
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

/// A listener that is left out, and why.
fn untried(Listener { transports, listen }: Listener, why: &str) -> Finding {
    let sentence = format!("{listen} over {}: {why}", transports.name());
    finding(Code::ListenerUntried, sentence)
}

/// Wildcard listeners of a family that this host has no address of: told once for all of them.
fn without_address(listeners: &[&Listener]) -> Option<Finding> {
    let told = |it: &&Listener| format!("{} over {}", it.listen, it.transports.name());
    let told: Vec<String> = listeners.iter().map(told).collect();
    (!told.is_empty()).then(|| finding(Code::NoAddressForListener, told.join(", ")))
}

/// A listener at the address by which this host reaches it.
///
/// # Errors
/// Why it is not examined.
fn reached(listener: Listener, config: &Config) -> Result<Listener, String> {
    let listen = listener.listen;
    let has_it = |realm: &&Realm| realm.listeners.contains(&listen);
    // A realm of its own has users of its own, so the login of the others is no use there.
    if let Some(realm) = config.auth.realms.iter().find(has_it) {
        return Err(format!("it is for the realm \"{}\"", realm.name));
    }
    let ip = address(listener, config).unwrap_or(listen.ip());
    Ok(Listener {
        listen: SocketAddr::new(ip, listen.port()),
        ..listener
    })
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

/// The address of a listener for clients of each transport that it takes: over TLS and DTLS a name, since
/// that is what they check.
fn servers(listener: Listener, config: &Config) -> Vec<Examined> {
    let listen = listener.listen;
    let server = |transport: Transport| {
        let host = if transport.is_secure() {
            ice_servers::secure_host(config)?
        } else {
            UriHost::Address(listen.ip())
        };
        let uri = ice_servers::uri(transport, host, listen.port());
        // The same server as one that is named by its address alone.
        let is_named = uri.host != UriHost::Address(listen.ip());
        let address = is_named.then_some(listen);
        Some(Examined { uri, address })
    };
    taken(listener, config).filter_map(server).collect()
}

/// The transports of a listener: one for all datagrams takes DTLS only where that is on.
fn taken(listener: Listener, config: &Config) -> impl Iterator<Item = Transport> {
    let all = listener.transports;
    let is_off = all == Transports::Datagrams && !config.dtls;
    let each = all.each();
    each.filter(move |transport| !is_off || *transport != Transport::Dtls)
}

/// Adds what the configuration knows to findings that look like a mistake and may be none.
pub(super) fn explain(findings: &mut [Finding], config: &Config) {
    let comes_by_itself = config.tls.acme.is_some() && config.tls.certificates.is_empty();
    for finding in findings.iter_mut().filter(|it| it.code == Code::NoTls) {
        if comes_by_itself {
            finding.sentence += " (there is none until [tls.acme] has its first certificate: see \
                the server's log for `certificate.`)";
        }
    }
}

/// The first secret, or the first user whose password is known.
fn login(config: &Config) -> Option<Login> {
    if let Some(secret) = config.auth.secrets.first() {
        return Some(minting(secret.clone(), "doctor".to_owned()));
    }
    config.auth.users.iter().find_map(|(user, key)| match key {
        UserKey::Password(password) => Some(Login::Password {
            user: user.clone(),
            password: password.expose().to_owned(),
        }),
        UserKey::Precomputed(_) => None,
    })
}

const NO_NAME: &str = "its certificates name no single host, and clients over TLS come by one: write \
    its URI to `[advertise] uris`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;

    /// Each server of a listener, with the address that it is examined at.
    fn examined(transports: Transports, config: &Config) -> Vec<(String, Option<SocketAddr>)> {
        let listen = "198.18.0.5:443".parse().unwrap();
        let servers = servers(Listener { transports, listen }, config);
        let shown = servers.iter().map(|it| (it.uri.to_string(), it.address));
        shown.collect()
    }

    #[test]
    fn over_tls_a_listener_is_examined_at_its_address_by_the_name_that_clients_check() {
        let mut config = Config::defaults(&Machine::anywhere());
        let plain = ("turn:198.18.0.5:443?transport=tcp".to_owned(), None);
        let plain = vec![plain];
        assert_eq!(examined(Transports::Streams, &config), plain);
        config.tls.acme = Some(wanted("turn.example.org"));
        let address = Some("198.18.0.5:443".parse().unwrap());
        let uri = "turns:turn.example.org:443?transport=tcp".to_owned();
        let both = [plain, vec![(uri, address)]].concat();
        assert_eq!(examined(Transports::Streams, &config), both);
    }

    #[test]
    fn wildcard_listeners_without_an_address_are_told_once_and_ask_for_nothing() {
        let listener = |listen: &str| Listener {
            transports: Transports::Datagrams,
            listen: listen.parse().unwrap(),
        };
        let (one, other) = (listener("[::]:3478"), listener("[::]:5349"));
        let found = without_address(&[&one, &other]).unwrap();
        assert_eq!(found.code, Code::NoAddressForListener);
        let name = Transports::Datagrams.name();
        assert_eq!(
            found.sentence,
            format!("[::]:3478 over {name}, [::]:5349 over {name}")
        );
        assert_eq!(without_address(&[]), None);
    }

    #[test]
    fn dtls_is_examined_where_it_is_on() {
        let mut config = Config::defaults(&Machine::anywhere());
        config.tls.acme = Some(wanted("198.18.0.5"));
        let plain = ("turn:198.18.0.5:443?transport=udp".to_owned(), None);
        let secure = ("turns:198.18.0.5:443?transport=udp".to_owned(), None);
        let (plain, secure) = (vec![plain], vec![secure]);
        assert_eq!(examined(Transports::Datagrams, &config), plain);
        let only = Transports::Only(Transport::Dtls);
        assert_eq!(examined(only, &config), secure);
        config.dtls = true;
        let both = [plain, secure].concat();
        assert_eq!(examined(Transports::Datagrams, &config), both);
    }

    #[test]
    fn where_a_certificate_is_still_to_come_that_is_said() {
        let finding = |code| finding(code, "no TLS".to_owned());
        let mut findings = [finding(Code::NoTls), finding(Code::NoDns)];
        let mut config = Config::defaults(&Machine::anywhere());
        explain(&mut findings, &config);
        assert_eq!(findings[0].sentence, "no TLS");
        config.tls.acme = Some(wanted("turn.example.org"));
        explain(&mut findings, &config);
        assert!(findings[0].sentence.contains("[tls.acme]"));
        assert_eq!(findings[1].sentence, "no TLS");
    }

    fn wanted(name: &str) -> acme::Wanted {
        acme::Wanted {
            names: vec![name.parse().unwrap()],
            directory: acme::PRODUCTION.to_owned(),
            roots: Vec::new(),
            contact: Vec::new(),
            profile: None,
            external_account: None,
            http_01: None,
        }
    }
}
