//! The guard against web pages. An operator who forwards the socket to a port of his own machine
//! (`ssh -L 9090:/run/hairpin/admin.sock`) has it where every page that he visits can send requests to. A
//! page may send some kinds of them anywhere (cross-site request forgery), and may have a name that leads
//! to 127.0.0.1 (DNS rebinding). Programs other than browsers send none of what is looked at here, but for
//! Host.

use std::net::IpAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::api::Refusal;

/// These routes, for programs and for pages of their own origin only.
pub fn guarded(routes: Router) -> Router {
    routes.layer(from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(why) => Refusal(StatusCode::FORBIDDEN, why.to_owned()).into_response(),
    }
}

/// Why a request may be that of a page from elsewhere, if it may.
fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let host: Option<&str> = text(header::HOST);
    if !host.is_none_or(is_own_name) {
        return Some(
            "ask by an IP address or by localhost: under another name a page of the web could ask, too",
        );
    }
    let is_own = |origin: &str| {
        let address = origin.strip_prefix("http://");
        address.is_some() && address == host
    };
    if !text(header::ORIGIN).is_none_or(is_own) {
        return Some("pages of other origins may not ask here");
    }
    match headers.get("sec-fetch-site").map(|it| it.as_bytes()) {
        // `none`: the address was typed.
        None | Some(b"same-origin" | b"none") => None,
        Some(_) => Some("pages of other sites may not ask here"),
    }
}

/// Whether no foreign page can have this name. One without a dot is no such name: whoever answers for
/// the search domain of a local network, LLMNR or NetBIOS can have it lead to 127.0.0.1.
fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let has_port = authority.port().is_some();
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || (name == OWN_NAME && !has_port)
}

/// The name that commands send. A page that had it would be at port 80, where nobody forwards to.
const OWN_NAME: &str = "hairpin";

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        foreign(&headers.collect()).is_none()
    }

    #[test]
    fn programs_and_own_pages_may_ask() {
        assert!(asked(&[]));
        for host in [
            "hairpin",
            "localhost:9090",
            "LOCALHOST",
            "127.0.0.1:9090",
            "[::1]:9090",
        ] {
            assert!(asked(&[("host", host)]), "{host}");
        }
        assert!(asked(&[
            ("host", "localhost:9090"),
            ("origin", "http://localhost:9090"),
            ("sec-fetch-site", "same-origin"),
        ]));
        assert!(asked(&[
            ("host", "localhost:9090"),
            ("sec-fetch-site", "none")
        ]));
    }

    #[test]
    fn pages_of_other_origins_may_not_ask() {
        // A name of the page's own that leads to 127.0.0.1.
        assert!(!asked(&[("host", "rebound.example.org:9090")]));
        assert!(!asked(&[("host", "")]));
        // Such names are answered for by whoever is in the local network.
        for host in ["evil:9090", "evil", "hairpin:9090", "localhost.evil"] {
            assert!(!asked(&[("host", host)]), "{host}");
        }
        for origin in ["https://example.org", "null", "http://localhost:8080"] {
            let host = ("host", "localhost:9090");
            assert!(!asked(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            let host = ("host", "localhost:9090");
            assert!(!asked(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }
}
