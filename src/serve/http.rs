//! `[http]`: the server for browsers beside the relay.

mod demo;
mod minting;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
pub(super) use httpd::Prepared;
use httpd::{Fault, Options, Running, Visit};
use net::{Browser, Browsers, TlsVersion};
use rustls::ProtocolVersion;
use tracing::info;

use super::certificates::Shown;
use crate::config::Config;
pub(super) use demo::demonstrate;
pub(super) use minting::Minting;

/// The way from the relay's listeners for TLS to a server that is about to start.
pub(super) fn browsers(config: &Config, prepared: &Prepared) -> Option<Browsers> {
    config.http.tls_listeners.then(|| {
        let door = prepared.door();
        Arc::new(move |browser: Browser| {
            door.enter(Visit {
                stream: browser.stream,
                visitor: browser.client,
                first: browser.first,
            })
        }) as Browsers
    })
}

/// Starts the server, if there is anything to serve.
pub(super) fn begin(
    prepared: Prepared,
    config: &Config,
    shown: &Shown,
    minting: &Arc<Minting>,
) -> Result<Option<Running>, Fault> {
    let http = &config.http;
    if !http.is_served() {
        return Ok(None);
    }
    let mut routes = Router::new();
    if config.demo {
        routes = routes.merge(demo::routes(Arc::clone(minting)));
    }
    let options = Options {
        listen: http.listen.clone(),
        certificates: Arc::new(shown.certificates()),
        oldest_tls: match config.tls.minimum {
            TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
            TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
        },
        connections: http.connections,
        per_prefix: http.per_prefix,
        is_proxy: {
            let proxies = http.proxies.clone();
            Arc::new(move |host| proxies.has(host))
        },
    };
    let running = prepared.start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP", %listen, "listening");
    }
    Ok(Some(running))
}

/// The pages' addresses, for the person who started the server: those of the relay, at which others
/// reach it, and the one for this host itself.
pub(super) fn links(config: &Config) -> Vec<String> {
    let Some(port) = config.http.listen.first().map(SocketAddr::port) else {
        return Vec::new();
    };
    let hosts = config
        .relay
        .addresses
        .iter()
        .map(|pair| match pair.external {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    let hosts = hosts.map(|host| format!("https://{host}:{port}/"));
    let here = format!("http://localhost:{port}/");
    [here].into_iter().chain(hosts).collect()
}
