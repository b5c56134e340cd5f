//! The options and the rules of the shards, as the configuration says.

use std::net::SocketAddr;
use std::sync::Arc;

use ::admin::quality::Qualities;
use relay::{NonceSecret, ProcessSecret, Rules};

use super::buffers::UdpMemory;
use super::usage::Tap;
use super::{Fault, relisten};
use crate::config::{Config, Machine};
use crate::log::Reporter;

/// Their options. The caller adds TLS, browsers and the share of connections.
pub(super) fn options(
    config: &Config,
    host: &Machine,
    usage: Arc<Tap>,
    qualities: &Arc<Qualities>,
) -> Result<net::Options, Fault> {
    let (reporter, qualities) = (Reporter::new(config, host), Arc::clone(qualities));
    let nonce_secret = config.auth.nonce_secret.as_ref();
    Ok(net::Options {
        listeners: relisten::options(config),
        shards: config.threads,
        offload: config.offload,
        relay_buffer: UdpMemory::here().relay_buffer(config),
        config: relay::Config {
            secret: ProcessSecret(rand::random()),
            nonce_secret: nonce_secret.map(|text| NonceSecret::shared(text.expose().as_bytes())),
            ports: config.relay.ports,
            nat_discovery: config.nat_discovery.clone(),
            rules: Arc::new(rules(config, host, Vec::new())?),
        },
        streams: config.tcp,
        tls: None,
        proxies: config.proxies.clone(),
        web: config.web,
        browsers: None,
        report: Arc::new(move |report| {
            qualities.count_end(&report);
            reporter.report(&report);
            usage.report(&report);
        }),
        keys: None,
    })
}

/// The rules of the relay, which may change while the server runs. A reload may have left listeners that retire.
pub(super) fn rules(
    config: &Config,
    host: &Machine,
    retiring: Vec<SocketAddr>,
) -> Result<Rules, Fault> {
    Ok(Rules {
        realms: config.realms()?,
        tokens: config.tokens(),
        sha256: config.auth.sha256,
        failures_per_minute: config.auth.failures_per_minute,
        clients: config.clients.rules(),
        nonce_lifetime: config.auth.nonce_lifetime,
        policy: config.policy_beside(host, &retiring),
        relays: config.relay.addresses.clone(),
        limits: config.allocation,
        mobility: config.mobility,
        tcp: config.tcp_relay,
        icmp: config.icmp,
        quality: config.quality.thresholds(),
        unauthenticated: config.unauthenticated,
        redirects: config.redirects.clone(),
        retiring,
        serial: 0,
    })
}
