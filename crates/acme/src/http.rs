//! HTTP to an authority, bounded in time and bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::time::timeout;

use crate::Failure;
use crate::failure::chain;
use crate::schedule::LONGEST_RETRY_AFTER;

/// The certificates in a file of PEM, for [`Wanted::roots`](crate::Wanted::roots).
///
/// # Errors
/// If there is none, or one that cannot be a root: in words that follow the file's name.
pub fn roots_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let roots = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match roots {
        Err(_) => Err("which is not written as PEM"),
        Ok(roots) if roots.is_empty() => Err("which has no certificate"),
        Ok(roots)
            if RootCertStore::empty()
                .add_parsable_certificates(roots.clone())
                .1
                > 0 =>
        {
            Err("which has a certificate that cannot be read")
        }
        Ok(roots) => Ok(roots),
    }
}

/// Whether a text is the URL of a directory: `https://`, a host and a path.
#[must_use]
pub fn is_directory(url: &str) -> bool {
    let url = url.parse::<Uri>();
    url.is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some())
}

/// Requests of one attempt at a certificate.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    /// The time before which the last refusal forbids to ask again.
    not_before: Arc<Mutex<Option<SystemTime>>>,
    asked: Arc<AtomicU32>,
}

impl Http {
    pub(crate) fn new(roots: &[CertificateDer<'static>]) -> Result<Self, Failure> {
        let mut store = RootCertStore::empty();
        if roots.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        store.add_parsable_certificates(roots.iter().cloned());
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::unheard(chain(&error)))?
            .with_root_certificates(store)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
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
            let response = self.client.request(request).await;
            let (mut parts, body) = response.map_err(|error| other(chain(&error)))?.into_parts();
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
    use crate::tests::{HOUR, issued};

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

    #[test]
    fn a_file_of_roots_has_certificates_and_nothing_else() {
        let (pem, key) = issued(&["a.example"], HOUR);
        assert_eq!(roots_in(pem.as_bytes()).unwrap().len(), 1);
        let two = format!("{pem}{pem}");
        assert_eq!(roots_in(two.as_bytes()).unwrap().len(), 2);
        let junk = format!("{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for wrong in ["", "<html>", &key, &junk] {
            roots_in(wrong.as_bytes()).unwrap_err();
        }
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
