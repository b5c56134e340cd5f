//! The pages' addresses, for the person who started the server.

use std::net::{IpAddr, SocketAddr};

use relay::policy::block;
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
            add(
                format!("http://localhost:{}/", listen.port()),
                "this machine",
            );
        }
    }
    for listen in &config.http.listen {
        for RelayAddress { local, external } in &config.relay.addresses {
            if !covers(*listen, *local) {
                continue;
            }
            for ip in [local, external] {
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
                ("http://localhost:8080/".to_owned(), "this machine"),
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
            [("http://localhost:8080/".to_owned(), "this machine")]
        );
        assert_eq!(links_of(&[], &lan), []);
    }
}
