//! The names by which the pages for trying are called. A page of a stranger may have its own name lead to
//! this server after it was loaded (DNS rebinding): its browser takes both for one place then, and asks
//! where only the visitor's network may. So a name counts only if it is known to be this server's.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tracing::warn;

use crate::config::Config;
use crate::serve::certificates::Shown;

/// The names that are this server's.
pub(super) struct Hosts {
    shown: Arc<Shown>,
    own: ArcSwap<Vec<String>>,
    is_said: AtomicBool,
}

impl Hosts {
    pub(super) fn new(config: &Config, shown: Arc<Shown>) -> Arc<Self> {
        Arc::new(Self {
            shown,
            own: ArcSwap::from_pointee(named(config)),
            is_said: AtomicBool::new(false),
        })
    }

    /// Takes the names of this configuration from now on.
    pub(super) fn follow(&self, config: &Config) {
        self.own.store(Arc::new(named(config)));
    }

    /// Keeps these routes from pages whose name is not this server's.
    pub(super) fn guard(self: &Arc<Self>, routes: Router) -> Router {
        routes.layer(from_fn_with_state(Arc::clone(self), forget))
    }

    fn has(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        host.is_some_and(|host| {
            let name = host.host();
            is_unmistakable(name) || is_listed(&self.own.load(), name) || self.shown.is_for(name)
        })
    }
}

/// Takes the host out of a request that is not this server's: then no origin is the same.
async fn forget(State(hosts): State<Arc<Hosts>>, mut request: Request, next: Next) -> Response {
    if hosts.has(request.headers()) {
        return next.run(request).await;
    }
    let host = request.headers_mut().remove(header::HOST);
    if !hosts.is_said.swap(true, Ordering::Relaxed) {
        warn!(
            ?host,
            "http.host: a browser calls the pages by a name that is not known to be this server's, and is \
             given nothing but the pages: if it is, write its origin into `origins` in [http], such as \
             \"https://turn.example.org\""
        );
    }
    if request.uri().path() == "/ice" {
        return (StatusCode::FORBIDDEN, UNKNOWN).into_response();
    }
    next.run(request).await
}

/// No server of names has a say in it.
fn is_unmistakable(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

fn is_listed(own: &[String], name: &str) -> bool {
    own.iter()
        .any(|own| own == "*" || own.eq_ignore_ascii_case(name))
}

/// The names that a configuration has: `*` is any.
fn named(config: &Config) -> Vec<String> {
    let origins = config.http.origins.iter().filter_map(|origin| {
        let uri = origin.parse::<Uri>().ok();
        uri.and_then(|uri| uri.host().map(str::to_owned))
            .or_else(|| (origin == "*").then(|| origin.clone()))
    });
    origins.chain([config.realm.clone()]).collect()
}

const UNKNOWN: &str = "this name is not known to be the server's (`origins` in [http])\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;

    #[test]
    fn only_a_name_that_others_cannot_give_is_this_servers() {
        let mut config = Config::defaults(&Machine::anywhere());
        config.realm = "turn.example.org".to_owned();
        config.http.origins = vec!["https://app.example.org:8443".to_owned()];
        let hosts = Hosts::new(&config, Arc::new(Shown::new(&[], None)));
        let has = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            hosts.has(&headers)
        };
        for own in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "LocalHost:80",
            "turn.example.org",
            "app.example.org:8443",
        ] {
            assert!(has(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert!(!has(other), "{other}");
        }
        config.http.origins = vec!["*".to_owned()];
        hosts.follow(&config);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "evil.example".parse().unwrap());
        assert!(hosts.has(&headers));
    }
}
