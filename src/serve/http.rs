//! `[http]`: the server for browsers beside the relay.

mod cross_origin;
mod demo;
mod endpoint;
mod hosts;
mod links;
mod minting;
mod refusal;
pub(super) mod signaling;
mod tokens;
mod told;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
pub(super) use httpd::Prepared;
use httpd::{Fault, Options, Running, Visit};
use net::{Browser, TlsVersion};
use rustls::ProtocolVersion;
use signal::Signaling;
use tracing::info;

use super::certificates::Shown;
use crate::config::Config;
pub(super) use demo::{demonstrate, port_after, say_if_ignored};
use endpoint::Endpoint;
use hosts::Hosts;
pub(super) use links::{Link, links, mistaken};
pub(super) use minting::Minting;

/// The server for browsers.
#[derive(Default)]
pub(super) struct Browsers {
    /// Runs until it is dropped.
    server: Option<Running>,
    pub(super) signaling: Option<Signaling>,
    endpoint: Option<Endpoint>,
    hosts: Option<Arc<Hosts>>,
}

impl Browsers {
    /// Has all of it follow a configuration.
    pub(super) fn follow(&self, config: &Config) {
        if let Some(server) = &self.server {
            server.pace_upgraded(upgraded(config));
        }
        if let Some(endpoint) = &self.endpoint {
            endpoint.follow(config);
        }
        if let Some(hosts) = &self.hosts {
            hosts.follow(config);
        }
        signaling::follow(self.signaling.as_ref(), config);
    }

    /// Logs at the end what the server has done and refused.
    pub(super) fn say_what_was_done(&self) {
        for (what, count) in self.outcomes() {
            if count > 0 {
                info!(what, count, "server.http");
            }
        }
    }

    /// How often each thing happened, by name; all of it zero where nothing is served.
    pub(super) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let server = self.server.as_ref().map(Running::snapshot);
        let outcomes = self.endpoint.iter().flat_map(Endpoint::outcomes);
        server.unwrap_or_default().named().chain(outcomes).collect()
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

/// Starts the server for so many connections, if there is anything to serve.
pub(super) fn begin(
    prepared: Prepared,
    config: &Config,
    connections: usize,
    shown: &Arc<Shown>,
    minting: &Arc<Minting>,
) -> Result<Browsers, Fault> {
    let http = &config.http;
    if !http.is_served() {
        return Ok(Browsers::default());
    }
    let nothing = (StatusCode::NOT_FOUND, "nothing is here\n");
    let mut routes = Router::new().fallback(async move || nothing);
    if config.demo {
        routes = routes.merge(demo::routes(Arc::clone(minting)));
    }
    let signaling = signaling::begin(config, minting);
    if let Some(signaling) = &signaling {
        routes = routes.merge(signaling.router());
    }
    let endpoint = Endpoint::new(config, Arc::clone(minting));
    routes = endpoint.join(routes);
    let dressed = endpoint.clone();
    let hosts = config.demo.then(|| Hosts::new(config, Arc::clone(shown)));
    if let Some(hosts) = &hosts {
        routes = hosts.guard(routes);
    }
    let options = Options {
        table: "http",
        listen: http.listen.clone(),
        certificates: Arc::new(shown.certificates()),
        oldest_tls: oldest_tls(config),
        connections,
        per_prefix: http.per_prefix,
        upgraded: upgraded(config),
        authorities: None,
        is_for_few: false,
        is_proxy: {
            let proxies = http.proxies.clone();
            Arc::new(move |host| proxies.has(host))
        },
        dress: Arc::new(move |head, refusal| dressed.dress(head, refusal)),
    };
    let running = prepared.start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP and HTTPS", %listen, "server.listening");
    }
    Ok(Browsers {
        server: Some(running),
        signaling,
        endpoint: Some(endpoint),
        hosts,
    })
}

/// The bytes in a second of a WebSocket, frames and TLS around them included: well above those that the
/// rooms take of a member in messages.
fn upgraded(config: &Config) -> u32 {
    let messages = u32::try_from(config.signal.limits.message).unwrap_or(u32::MAX);
    messages.saturating_mul(4).max(256 * 1024)
}

/// The oldest version of TLS that is taken.
pub(super) const fn oldest_tls(config: &Config) -> ProtocolVersion {
    match config.tls.minimum {
        TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
        TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
    }
}
