//! `[http]`: the server for browsers beside the relay.

mod demo;
mod minting;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use httpd::{Fault, Options, Running};
use net::TlsVersion;
use rustls::ProtocolVersion;
use tracing::info;

use super::certificates::Shown;
use crate::config::Config;
pub(super) use demo::demonstrate;
pub(super) use minting::Minting;

/// Starts the server, if there is anything to serve.
pub(super) fn begin(
    config: &Config,
    shown: &Shown,
    minting: &Arc<Minting>,
) -> Result<Option<Running>, Fault> {
    if config.http.listen.is_empty() {
        return Ok(None);
    }
    let mut routes = Router::new();
    if config.demo {
        routes = routes.merge(demo::routes(Arc::clone(minting)));
    }
    let options = Options {
        listen: config.http.listen.clone(),
        certificates: Arc::new(shown.certificates()),
        oldest_tls: oldest_tls(config),
    };
    let running = httpd::start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP", %listen, "listening");
    }
    Ok(Some(running))
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
