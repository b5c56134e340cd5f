//! The token that a request shows. RFC 6750 §2.1.

use axum::http::{HeaderMap, HeaderValue, header};
use subtle::ConstantTimeEq;

/// Whether a request shows the token. The time that it takes does not depend on how much of it is right.
pub fn shows(headers: &HeaderMap, token: &[u8]) -> bool {
    let shown = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let shown = shown.and_then(|shown| shown.split_at_checked(BEARER.len()));
    shown.is_some_and(|(scheme, shown)| {
        scheme.eq_ignore_ascii_case(BEARER) && bool::from(shown.ct_eq(token))
    })
}

const BEARER: &[u8] = b"Bearer ";
