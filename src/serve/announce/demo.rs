//! The announcement of `--demo`: what stands in the way of a call, and the links last, where they are seen.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;

use crate::config::Config;
use crate::serve::http::{Link, links, mistaken};

/// For a server that was started with the options that were `given`, and whose certificate was made here
/// or not.
pub(super) fn text(config: &Config, is_made_here: bool, given: &str) -> String {
    let links = links(config);
    let mut text = "\n".to_owned();
    if config.auth.secrets.is_empty() {
        text.push_str(
            "Calls go without the relay: there is no secret for credentials (`secrets` in [auth]).\n",
        );
    }
    if config.relay.addresses.is_empty() {
        text.push_str(
            "Calls go without the relay: this host has no address, so nobody can allocate \
             (`addresses` in [relay]).\n",
        );
    }
    for (address, block) in mistaken(config) {
        let _ = writeln!(
            text,
            "{address} is no address at which others reach this server, but of {block}. Write its \
             public one in its place (HAIRPIN_EXTERNAL, or `external` in [relay])."
        );
    }
    text.push_str(&from_elsewhere(config, &links, given));
    if is_made_here && links.iter().any(|link| link.url.starts_with("https:")) {
        text.push_str(
            "Browsers warn once of https: the certificate was made here. Choose \"Advanced\", and go on.\n",
        );
    }
    if links.is_empty() {
        text.push_str("No address is known at which the pages are.\n");
        return text;
    }
    text.push_str(
        "The page /test behind each link tells whether the relay works from there.\n\n\
         Open a page for a call, and send its address to whom you want to talk to:\n\n",
    );
    let width = links.iter().map(|link| link.url.len()).max().unwrap_or(0);
    for link in &links {
        let _ = writeln!(text, "  {:width$}   from {}", link.url, link.from);
    }
    text
}

/// Steps that let others get here.
fn from_elsewhere(config: &Config, links: &[Link], given: &str) -> String {
    let Some(through) = through(config) else {
        return "Only this machine reaches the pages, by the address in `listen` of [http].\n"
            .to_owned();
    };
    if links.iter().any(|link| link.from == "anywhere") {
        return format!(
            "A firewall, of this machine or of the cloud, has to let through {through}.\n"
        );
    }
    format!(
        "For people elsewhere a router or the cloud's firewall has to let through {through}; then start \
         with\n\n  HAIRPIN_EXTERNAL=YOUR_PUBLIC_IPv4 hairpin {given}\n\n"
    )
}

/// The ports that others need; none if they cannot reach the pages.
fn through(config: &Config) -> Option<String> {
    let is_open = |listen: &SocketAddr| !listen.ip().is_loopback();
    let pages = ports(config.http.listen.iter().filter(|it| is_open(it)));
    let own = |are_streams: bool| {
        let own = config.listeners.iter();
        let own = own.filter(|it| it.transports.are_streams() == are_streams);
        ports(own.map(|it| &it.listen).filter(|it| is_open(it)))
    };
    let (streams, datagrams) = (own(true), own(false));
    if pages.is_empty() && (streams.is_empty() || !config.http.tls_listeners) {
        return None;
    }
    let mut all = Vec::new();
    if !pages.is_empty() {
        all.push(format!("TCP to port {pages}"));
    }
    let both = if streams == datagrams {
        [("UDP and TCP", streams), ("", String::new())]
    } else {
        [("UDP", datagrams), ("TCP", streams)]
    };
    for (protocol, ports) in both.iter().filter(|(_, ports)| !ports.is_empty()) {
        all.push(format!("{protocol} to port {ports}"));
    }
    let mut relays = config.relay.addresses.iter();
    if relays.any(|pair| !pair.local.is_loopback()) {
        let ports = config.relay.ports;
        all.push(format!("UDP to ports {}-{}", ports.first(), ports.last()));
    }
    Some(all.join(", and "))
}

fn ports<'a>(listen: impl Iterator<Item = &'a SocketAddr>) -> String {
    let ports: BTreeSet<u16> = listen.map(|it| it.port()).collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

#[cfg(test)]
mod tests {
    use relay::RelayAddress;

    use super::*;
    use crate::config::Machine;

    fn said(listen: &str, pairs: &[(&str, &str)]) -> String {
        let mut config = Config::defaults(&Machine::anywhere());
        config.http.listen = vec![listen.parse().unwrap()];
        let pair = |(local, external): &(&str, &str)| RelayAddress {
            local: local.parse().unwrap(),
            external: external.parse().unwrap(),
        };
        config.relay.addresses = pairs.iter().map(pair).collect();
        text(&config, true, "serve --demo=8085 --config y.toml")
    }

    #[test]
    fn the_advice_repeats_the_options_and_the_links_stand_last() {
        let text = said("0.0.0.0:8085", &[("10.0.0.5", "10.0.0.5")]);
        let again = "HAIRPIN_EXTERNAL=YOUR_PUBLIC_IPv4 hairpin serve --demo=8085 --config y.toml\n";
        assert!(text.contains(again), "{text}");
        let link = "https://10.0.0.5:8085/   from the same network\n";
        assert!(text.ends_with(link), "{text}");
    }

    #[test]
    fn what_does_not_hold_is_not_said() {
        let text = said("127.0.0.1:8080", &[("127.0.0.1", "127.0.0.1")]);
        assert!(
            text.contains("Only this machine reaches the pages"),
            "{text}"
        );
        let open = said("0.0.0.0:8080", &[("10.0.0.5", "10.0.0.5")]);
        assert!(
            open.contains("TCP to port 8080, and UDP and TCP to port 3478, and"),
            "{open}"
        );
        for words in ["has to let through", "warn once", "https:"] {
            assert!(!text.contains(words), "{words}: {text}");
        }
        assert!(said("0.0.0.0:8080", &[]).contains("nobody can allocate"));
    }

    #[test]
    fn an_address_of_documents_is_a_mistake_and_no_link() {
        let text = said("0.0.0.0:8080", &[("10.0.0.5", "198.51.100.9")]);
        assert!(
            text.contains("198.51.100.9 is no address at which"),
            "{text}"
        );
        assert!(!text.contains("//198.51.100.9"), "{text}");
    }
}
