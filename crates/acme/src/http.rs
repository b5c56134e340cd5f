//! HTTP to an authority, bounded in time and bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use https::{Client, Schemes};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

use crate::Failure;
use crate::failure::chain;
use crate::schedule::LONGEST_RETRY_AFTER;

/// Whether a text is the URL of a directory: `https://`, a host and a path.
#[must_use]
pub fn is_directory(url: &str) -> bool {
    let url = url.parse::<Uri>();
    url.is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some())
}

/// Requests of one attempt at a certificate.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<BodyWrapper<Bytes>>,
    /// The time before which the last refusal forbids to ask again.
    not_before: Arc<Mutex<Option<SystemTime>>>,
    asked: Arc<AtomicU32>,
}

impl Http {
    pub(crate) fn new(roots: &[CertificateDer<'static>]) -> Result<Self, Failure> {
        let client = https::client(roots, Schemes::Https);
        Ok(Self {
            client: client.map_err(|error| Failure::unheard(chain(&error)))?,
            not_before: Arc::default(),
            asked: Arc::default(),
        })
    }

    /// When the authority wants to be asked again, by its last refusal.
    pub(crate) fn not_before(&self) -> Option<SystemTime> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SystemTime>> {
        self.not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, Error> {
        // An authority that answers "not yet" for ever, and at once, ends up here.
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_REQUESTS {
            return Err(other(
                "the authority was asked too often for one certificate",
            ));
        }
        request.headers_mut().insert(USER_AGENT, OURS);
        let (method, host) = (request.method().clone(), host(&request));
        let answered = async {
            let response = https::exchange(&self.client, request).await;
            let (mut parts, body) = response.map_err(other)?.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| other(error.to_string()))?.to_bytes();
            let after = bound_retry_after(&mut parts.headers, SystemTime::now());
            if parts.status.is_client_error() || parts.status.is_server_error() {
                *self.lock() = after;
                let is_problem = serde_json::from_slice::<instant_acme::Problem>(&body).is_ok();
                if !is_problem || method != Method::POST {
                    return Err(other(format!("{host} answers {}", parts.status)));
                }
            }
            Ok(Response::from_parts(parts, Full::new(body)))
        };
        let within = timeout(PATIENCE, answered).await;
        let seconds = PATIENCE.as_secs();
        let response = within
            .map_err(|_| other(format!("{host} does not answer within {seconds} seconds")))??;
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

/// The time in `Retry-After`, which is put back so that whoever waits for it waits at least a
/// second and at most a day.
fn bound_retry_after(headers: &mut HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.remove(RETRY_AFTER)?;
    let text = text.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // More digits than any number of seconds needs.
        Err(_) if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) => {
            Duration::MAX
        }
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    let after = after.clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER);
    headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    Some(now + after)
}

fn host<B>(request: &Request<B>) -> String {
    request.uri().host().unwrap_or_default().to_owned()
}

fn other(words: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(words.into())
}

/// RFC 8555 §6.1 has clients name themselves.
const OURS: HeaderValue = HeaderValue::from_static(concat!("hairpin/", env!("CARGO_PKG_VERSION")));
/// For one exchange. Authorities take seconds to sign.
const PATIENCE: Duration = Duration::from_secs(30);
/// Chains have a few kilobytes.
const MOST_BYTES: usize = 256 * 1024;
/// An order of a hundred names takes three requests for each.
const MOST_REQUESTS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> (Option<Duration>, Option<u64>) {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        let until = bound_retry_after(&mut headers, now);
        let left = headers
            .get(RETRY_AFTER)
            .map(|it| it.to_str().unwrap().parse().unwrap());
        (until.map(|until| until.duration_since(now).unwrap()), left)
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let both = |seconds: u64| (Some(Duration::from_secs(seconds)), Some(seconds));
        let day = 24 * 3600;
        for (text, expected) in [
            ("120", both(120)),
            ("0", both(1)),
            ("18446744073709551615", both(day)),
            ("99999999999999999999999", both(day)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", both(120)),
            ("Tue, 06 Nov 1984 08:49:37 GMT", both(1)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", both(day)),
            ("soon", (None, None)),
            ("-1", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(bound(text), expected, "{text}");
        }
        assert_eq!(
            bound_retry_after(&mut HeaderMap::new(), SystemTime::now()),
            None
        );
    }

    /// In virtual time, which passes while nothing happens.
    #[tokio::test(start_paused = true)]
    async fn an_authority_that_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/directory", listener.local_addr().unwrap());
        let http = Http::new(&[]).unwrap();
        let request = Request::get(url).body(BodyWrapper::default()).unwrap();
        let failure = http
            .request(request)
            .await
            .err()
            .map(Failure::from)
            .unwrap();
        let reason = failure.reason.as_str();
        assert_eq!(reason, "127.0.0.1 does not answer within 30 seconds");
        assert!(!failure.is_refusal);
    }

    #[tokio::test]
    async fn nothing_is_asked_in_the_clear() {
        let http = Http::new(&[]).unwrap();
        let request = Request::get("http://127.0.0.1:1/").body(BodyWrapper::default());
        let failure = http
            .request(request.unwrap())
            .await
            .err()
            .map(Failure::from);
        let reason = failure.unwrap().reason;
        assert!(reason.contains("unsupported scheme"), "{reason}");
    }
}
