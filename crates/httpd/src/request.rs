//! One request, before any route sees it: whose it is, that it is one, and that its body is short.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::connect_info::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower_service::Service;
use tracing::warn;

use crate::Endless;
use crate::accept::Server;
use crate::forwarded;
use crate::paced::Seat;
use crate::places::NoPlace;

/// Answers a request of a connection.
pub(crate) async fn answer(
    server: Arc<Server>,
    seat: Arc<Seat>,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    seat.begin_request();
    let answered = match admit(&server, &seat, from, request).await {
        Ok(request) => server.routes.clone().call(request).await,
        Err(refusal) => Ok(refusal),
    };
    let mut answer = answered.unwrap_or_else(|never| match never {});
    if server.is_for_few && ENDS_FOR_FEW.contains(&answer.status()) {
        answer = last(answer);
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        server.counters.upgrades.add();
        seat.upgrade();
    } else if answer.extensions().get::<Endless>().is_some() {
        seat.stream();
    } else {
        seat.end_request();
    }
    Ok(answer)
}

/// The request with its whole body, and its visitor in its extensions.
async fn admit(
    server: &Server,
    seat: &Seat,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Result<Request, Response> {
    let (mut parts, body) = request.into_parts();
    match admitted(server, seat, from, &mut parts, body).await {
        Ok(body) => Ok(Request::from_parts(parts, body)),
        Err(refusal) => Err((server.dress)(&parts, refusal)),
    }
}

async fn admitted(
    server: &Server,
    seat: &Seat,
    from: SocketAddr,
    parts: &mut Parts,
    body: Incoming,
) -> Result<Body, Response> {
    if !has_one_host(parts.version, &parts.headers) {
        server.counters.malformed.add();
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "one Host header is needed",
        ));
    }
    let visitor = visitor(server, from, &parts.headers);
    // A proxy that brings no readable visitor is the visitor.
    seat.belongs_to(visitor.ip())
        .and_then(|()| server.places.charge(visitor.ip(), REQUEST))
        .map_err(|why| refuse(server, why))?;
    parts.extensions.insert(ConnectInfo(visitor));
    let body = whole(server, body).await?;
    server.counters.requests.add();
    Ok(body)
}

/// RFC 9112 §3.2: a request has exactly one, unless it is of a time before.
fn has_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, None) => version < Version::HTTP_11,
        (Some(_) | None, Some(_)) => false,
    }
}

/// The address that limits and logs go by. The port of a visitor behind a proxy is not known.
fn visitor(server: &Server, from: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    if server.is_proxy(from.ip()) {
        let visitor = forwarded::visitor(headers, |ip| server.is_proxy(ip));
        return visitor.map_or(from, |ip| SocketAddr::new(ip, 0));
    }
    if forwarded::is_there(headers) && server.seldom.forwarded.may_log() {
        warn!(
            "http.forwarded: a request names its visitor in X-Forwarded-For, and comes from no proxy of \
             `forwarded-from` in [http]: all that comes from there counts as one visitor"
        );
    }
    from
}

/// Reads a body to its end, within bounds. Behind one that is refused the next request is not found.
async fn whole(server: &Server, body: Incoming) -> Result<Body, Response> {
    let read = timeout(BODY, Limited::new(body, MOST_BODY).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(Body::from(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            server.counters.body_too_large.add();
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(last(refusal(status, "the body is longer than 64 KiB")))
        }
        Ok(Err(_)) => {
            server.counters.body_late.add();
            Err(last(refusal(
                StatusCode::BAD_REQUEST,
                "the body ended early",
            )))
        }
        Err(_) => {
            server.counters.body_late.add();
            let status = StatusCode::REQUEST_TIMEOUT;
            Err(last(refusal(
                status,
                "the body took longer than 10 seconds",
            )))
        }
    }
}

fn refuse(server: &Server, why: NoPlace) -> Response {
    server.refuse(why);
    let sentence = "there are too many requests of your network: try again in a few seconds";
    let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, sentence);
    let soon = HeaderValue::from_static("3");
    answer.headers_mut().insert(header::RETRY_AFTER, soon);
    // Others may have its place.
    last(answer)
}

fn refusal(status: StatusCode, sentence: &'static str) -> Response {
    (status, format!("{sentence}\n")).into_response()
}

/// The connection ends behind it.
fn last(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// The answers to strangers who ask for nothing that is there, or without a token.
const ENDS_FOR_FEW: [StatusCode; 3] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
];
/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);
/// The most bytes of a body.
const MOST_BODY: usize = 64 * 1024;
/// The cost of a request, in requests.
const REQUEST: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_host() {
        for (version, hosts, is_good) in [
            (Version::HTTP_11, &["a"][..], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["a", "b"], false),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            assert_eq!(has_one_host(version, &headers), is_good, "{hosts:?}");
        }
    }
}
