//! `[demo]`: the pages for trying, and the credentials that they are given.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use relay::SourcePrefix;
use serde_json::json;
use tracing::warn;

use super::minting::Minting;
use crate::browsers::open_no_page;
use crate::config::{Config, Machine};

/// Adds the pages of `--demo` to a configuration, and this port for them if it has no address.
pub(in crate::serve) fn demonstrate(config: &mut Config, host: &Machine, port: u16) {
    config.demo = true;
    if config.http.listen.is_empty() {
        let any = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), port);
        config.http.listen.push(any("0.0.0.0"));
        config.http.listen.extend(host.has_ipv6.then(|| any("::")));
    }
}

/// Says that the port of `--demo` has no effect, where that is so.
pub(in crate::serve) fn say_if_ignored(config: &Config, port: u16) {
    let listen = &config.http.listen;
    let is_used = listen.is_empty() || listen.iter().any(|it| it.port() == port);
    // The default one may not have been written.
    if !is_used && port != PAGES {
        warn!(
            "option.ignored: --demo={port} is ignored: `listen` in [http] says where the pages are"
        );
    }
}

/// The next port for pages.
pub(in crate::serve) fn port_after(port: u16) -> u16 {
    let mut others = port.saturating_add(1).max(1024)..=u16::MAX;
    let other = others.find(|other| *other != port && !open_no_page(*other));
    other.unwrap_or(PAGES)
}

/// The pages, and `/ice` for them.
pub(super) fn routes(minting: Arc<Minting>) -> Router {
    let users = Users::default();
    let ice = move |ConnectInfo(visitor): ConnectInfo<SocketAddr>, headers: HeaderMap| {
        let answer = if is_of_other_site(&headers) {
            StatusCode::FORBIDDEN.into_response()
        } else {
            ice(&minting, &users.of(visitor.ip()))
        };
        async move { answer }
    };
    httpd::pages().route("/ice", get(ice))
}

/// The `iceServers` of this server for a user. Without a secret they are none.
fn ice(minting: &Minting, user: &str) -> Response {
    let server = minting.ice_server(user, LIFETIME);
    let servers: Vec<_> = server.into_iter().collect();
    let body = json!({ "iceServers": servers, "lifetime": LIFETIME.as_secs() });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Whether a page of another site asks, by what browsers say of it. Such a page could not read the
/// answer. Fetch Metadata Request Headers §2.3.
fn is_of_other_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// The names of visitors, which say nothing of their addresses to anybody else. A network has one name,
/// by which its allocations are counted.
#[derive(Clone, Default)]
struct Users(RandomState);

impl Users {
    fn of(&self, visitor: IpAddr) -> String {
        format!(
            "visitor-{:016x}",
            self.0.hash_one(SourcePrefix::of(visitor))
        )
    }
}

/// The port of the pages, if `--demo` names none.
const PAGES: u16 = 8080;

/// How long a credential of a page is good.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_user_and_its_name_is_not_its_address() {
        let users = Users::default();
        let of = |ip: &str| users.of(ip.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("198.51.100.1"));
        assert_ne!(
            of("192.0.2.1"),
            Users::default().of("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn a_port_that_is_taken_is_followed_by_one_that_browsers_open() {
        for (port, next) in [
            (8080, 8081),
            (80, 1024),
            (5059, 5062),
            (5999, 6001),
            (65535, 8080),
        ] {
            assert_eq!(port_after(port), next, "{port}");
        }
    }

    #[test]
    fn only_a_page_of_this_server_is_given_a_credential() {
        for (site, is_other) in [
            (None, false),
            (Some("none"), false),
            (Some("same-origin"), false),
            (Some("same-site"), true),
            (Some("cross-site"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            assert_eq!(is_of_other_site(&headers), is_other, "{site:?}");
        }
    }
}
