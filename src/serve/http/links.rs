//! The pages' addresses, for the person who started the server.

use std::net::{IpAddr, SocketAddr};

use relay::policy::{Block, block};
use relay::{RelayAddress, Transport};

use crate::config::Config;
use crate::ice_servers::secure_host;

/// A link, and where it leads to the pages from.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::serve) struct Link {
    pub(in crate::serve) url: String,
    pub(in crate::serve) from: &'static str,
}

/// The links of a server, the one for its own host first.
pub(in crate::serve) fn links(config: &Config) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut add = |url: String, from| {
        if links.iter().all(|link| link.url != url) {
            links.push(Link { url, from });
        }
    };
    for listen in &config.http.listen {
        if listen.ip().is_unspecified() || listen.ip().is_loopback() {
            // Browsers give such a page a camera without HTTPS.
            add(format!("http://localhost:{}/", listen.port()), HERE);
        }
    }
    for listen in &config.http.listen {
        for RelayAddress { local, external } in &config.relay.addresses {
            if !covers(*listen, *local) {
                continue;
            }
            for ip in [local, external] {
                let is_mistaken = ip != local && leads_nowhere(*ip);
                if is_mistaken || ip.is_loopback() {
                    continue;
                }
                let from = if block(*ip).is_none() {
                    "anywhere"
                } else {
                    "the same network"
                };
                let there = SocketAddr::new(*ip, listen.port());
                add(format!("https://{there}/"), from);
            }
        }
    }
    let mut listeners = config.listeners.iter();
    let secure = listeners.find(|listener| listener.transports.has(Transport::Tls));
    if let Some(secure) = secure.filter(|_| config.http.tls_listeners)
        && let Some(host) = secure_host(config)
    {
        let port = match secure.listen.port() {
            443 => String::new(),
            port => format!(":{port}"),
        };
        add(format!("https://{host}{port}/"), "anywhere");
    }
    links
}

/// The external addresses at which nobody reaches anything.
pub(in crate::serve) fn mistaken(
    config: &Config,
) -> impl Iterator<Item = (IpAddr, &'static Block)> {
    let pairs = config.relay.addresses.iter();
    let externals = pairs.filter(|pair| pair.local != pair.external);
    let externals = externals.map(|pair| pair.external);
    let mistaken = externals.filter(|external| leads_nowhere(*external));
    mistaken.filter_map(|external| Some((external, block(external)?)))
}

const HERE: &str = "this machine (where hairpin runs)";

/// Whether no network routes an address, not even a private one.
fn leads_nowhere(ip: IpAddr) -> bool {
    block(ip).is_some_and(|block| {
        let private = ["Private-Use", "Shared Address Space", "Unique-Local"];
        !private.contains(&block.name)
    })
}

/// Whether an address of this host is listened on.
fn covers(listen: SocketAddr, local: IpAddr) -> bool {
    let is_same_family = listen.is_ipv4() == local.is_ipv4();
    listen.ip() == local || listen.ip().is_unspecified() && is_same_family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;

    fn links_of(listen: &[&str], pairs: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let mut config = Config::defaults(&Machine::anywhere());
        config.http.listen = listen.iter().map(|it| it.parse().unwrap()).collect();
        let pair = |(local, external): &(&str, &str)| RelayAddress {
            local: local.parse().unwrap(),
            external: external.parse().unwrap(),
        };
        config.relay.addresses = pairs.iter().map(pair).collect();
        let links = links(&config).into_iter();
        links.map(|link| (link.url, link.from)).collect()
    }

    #[test]
    fn each_link_says_where_it_leads_from() {
        let everywhere = ["0.0.0.0:8080", "[::]:8080"];
        let pairs = [("10.0.0.5", "9.9.9.9"), ("2620:fe::9", "2620:fe::9")];
        assert_eq!(
            links_of(&everywhere, &pairs),
            [
                ("http://localhost:8080/".to_owned(), HERE),
                ("https://10.0.0.5:8080/".to_owned(), "the same network"),
                ("https://9.9.9.9:8080/".to_owned(), "anywhere"),
                ("https://[2620:fe::9]:8080/".to_owned(), "anywhere"),
            ]
        );
        let lan = [("192.168.1.2", "192.168.1.2")];
        assert_eq!(
            links_of(&["192.168.1.2:80"], &lan),
            [("https://192.168.1.2:80/".to_owned(), "the same network")]
        );
        assert_eq!(
            links_of(&["127.0.0.1:8080"], &lan),
            [("http://localhost:8080/".to_owned(), HERE)]
        );
        assert_eq!(links_of(&[], &lan), []);
        // Nobody is reached at an address of documents, unless the host has it.
        let pairs = [("192.0.2.5", "198.51.100.9")];
        assert_eq!(
            links_of(&["192.0.2.5:80"], &pairs),
            [("https://192.0.2.5:80/".to_owned(), "the same network")]
        );
    }
}
