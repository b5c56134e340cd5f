//! `[http]`: the server for browsers beside the relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::routing::get;
use axum::{Json, Router};
use httpd::{Fault, Options, Running};
use relay::keys::{Mint, mint};
use serde_json::{Value, json};
use tracing::info;

use super::certificates::Shown;
use crate::cli::ice::{IceServer, uris};
use crate::config::{Config, Machine};

/// What `--demo` adds to a configuration: the pages, and a port for them.
pub(super) fn demonstrate(config: &mut Config, host: &Machine) {
    config.demo = true;
    if config.http.listen.is_empty() {
        let any = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), DEMO_PORT);
        config.http.listen.push(any("0.0.0.0"));
        config.http.listen.extend(host.has_ipv6.then(|| any("::")));
    }
}

/// Starts the server, if there is anything to serve.
pub(super) fn begin(config: &Config, shown: &Shown) -> Result<Option<Running>, Fault> {
    if config.http.listen.is_empty() {
        return Ok(None);
    }
    let mut routes = Router::new();
    if config.demo {
        let config = Arc::new(config.clone());
        let ice = get(move || {
            let answer = ice(&config, "demo");
            async move { Json(answer) }
        });
        routes = routes.merge(httpd::pages()).route("/ice", ice);
    }
    let options = Options {
        listen: config.http.listen.clone(),
        certificates: shown.any().then(|| Arc::new(shown.challenges()) as Arc<_>),
    };
    let running = httpd::start(options, routes)?;
    for listen in running.listeners() {
        info!(protocol = "HTTP", %listen, "listening");
    }
    Ok(Some(running))
}

/// The `iceServers` of this server for a user, with a credential made now.
fn ice(config: &Config, user: &str) -> Value {
    let Some(secret) = config.auth.secrets.first() else {
        return json!({ "iceServers": [], "lifetime": LIFETIME.as_secs() });
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expiry = now.unwrap_or_default() + LIFETIME;
    let secret = secret.expose().as_bytes();
    let credential = mint(Mint::Sha1, secret, Some(user), expiry.as_secs());
    let servers = [IceServer::new(&uris(config, None), credential)];
    json!({ "iceServers": servers, "lifetime": LIFETIME.as_secs() })
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

/// How long a credential of a page is good.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
const DEMO_PORT: u16 = 8080;
