//! `--dev`: the policy opened for what is nearby.

use std::net::{IpAddr, Ipv4Addr};

use relay::RelayAddress;
use relay::policy::Network;
use tracing::warn;

use super::trial;
use crate::config::{Config, Machine};

/// For trying: makes peers of all addresses nearby.
pub(super) fn open_for_trying(config: &mut Config, host: &Machine) {
    if config.relay.addresses.is_empty() {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        config.relay.addresses.push(RelayAddress {
            local,
            external: local,
        });
    }
    allow_nearby(config, host);
    trial::listen(config, host);
    // Where no stranger gets, no authority does: the certificate that was made is shown.
    if config.tls.acme.take().is_some() {
        warn!("option.ignored: --dev: [tls.acme] is not used");
    }
    warn!(
        "server.open: --dev: clients may reach loopback, private networks and this host. \
         Never run this where strangers can reach it"
    );
}

/// Makes peers of what is nearby, and of this host, also over TCP.
pub(super) fn allow_nearby(config: &mut Config, host: &Machine) {
    config.tcp_relay = true;
    let near = NEAR.iter().map(|network| (*network).to_owned());
    let own = host.addresses.iter().map(ToString::to_string);
    let networks = near
        .chain(own)
        .filter_map(|network| network.parse::<Network>().ok());
    for network in networks {
        if !config.peers.allow.contains(&network) {
            config.peers.allow.push(network);
        }
    }
}

/// The networks that `--dev` allows: loopback, private, shared and link-local.
const NEAR: &[&str] = &[
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];
