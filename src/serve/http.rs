//! `[http]`: the server for browsers beside the relay.

mod demo;
mod minting;
pub(super) mod signaling;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
pub(super) use httpd::Prepared;
use httpd::{Fault, Options, Running, Visit};
use net::{Browser, TlsVersion};
use rustls::ProtocolVersion;
use signal::Signaling;
use tracing::info;

use super::certificates::Shown;
use crate::config::Config;
pub(super) use demo::demonstrate;
pub(super) use minting::Minting;

/// What browsers come to.
#[derive(Default)]
pub(super) struct Browsers {
    /// Runs until it is dropped.
    server: Option<Running>,
    pub(super) signaling: Option<Signaling>,
}

impl Browsers {
    /// Logs at the end what the server has done and refused.
    pub(super) fn say_what_was_done(&self) {
        let Some(server) = &self.server else {
            return;
        };
        for (what, count) in server.snapshot().named() {
            if count > 0 {
                info!(what, count, "http");
            }
        }
    }
}

/// The way from the relay's listeners for TLS to a server that is about to start.
pub(super) fn door(config: &Config, prepared: &Prepared) -> Option<net::Browsers> {
    config.http.tls_listeners.then(|| {
        let door = prepared.door();
        Arc::new(move |browser: Browser| {
            door.enter(Visit {
                stream: browser.stream,
                visitor: browser.client,
                first: browser.first,
            })
        }) as net::Browsers
    })
}

/// Starts the server, if there is anything to serve.
pub(super) fn begin(
    prepared: Prepared,
    config: &Config,
    shown: &Shown,
    minting: &Arc<Minting>,
) -> Result<Browsers, Fault> {
    let http = &config.http;
    if !http.is_served() {
        return Ok(Browsers::default());
    }
    let mut routes = Router::new();
    if config.demo {
        routes = routes.merge(demo::routes(Arc::clone(minting)));
    }
    let signaling = signaling::begin(config, minting);
    if let Some(signaling) = &signaling {
        routes = routes.merge(signaling.router());
    }
    let options = Options {
        table: "http",
        listen: http.listen.clone(),
        certificates: Arc::new(shown.certificates()),
        oldest_tls: oldest_tls(config),
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
    Ok(Browsers {
        server: Some(running),
        signaling,
    })
}

/// The oldest version of TLS that is taken.
pub(super) const fn oldest_tls(config: &Config) -> ProtocolVersion {
    match config.tls.minimum {
        TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
        TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
    }
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
