//! Pages of other servers: which may ask, and how their browsers are told so. Fetch, "CORS protocol".

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

/// Why a page is not answered. Programs that are no browsers name no page.
pub(super) fn refuse(headers: &HeaderMap, origins: &[String]) -> Option<Refusal> {
    (!signal::is_welcome(headers, origins)).then_some(Refusal::OtherOrigin)
}

/// The answer to a browser that asks whether its page may ask.
pub(super) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    is_preflight(method, headers).then(|| {
        let allowed = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        (StatusCode::NO_CONTENT, allowed).into_response()
    })
}

/// Whether a browser asks so.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets the page of a listed origin read the answer.
pub(super) fn share(mut answer: Response, headers: &HeaderMap, origins: &[String]) -> Response {
    let own = answer.headers_mut();
    own.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origins.is_empty()
        && refuse(headers, origins).is_none()
    {
        own.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("retry-after");
        own.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    answer
}
