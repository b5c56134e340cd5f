//! An authority that believes everybody, and does as a test says.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use acme::Wanted;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// An authority at an address of this host. It ends with this value.
pub(crate) struct Authority {
    shared: Arc<Shared>,
    root: CertificateDer<'static>,
    task: JoinHandle<()>,
}

struct Shared {
    url: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    does: Mutex<Does>,
}

/// The authority's behaviour, and the requests that it was sent.
#[derive(Default)]
struct Does {
    profiles: Vec<String>,
    window: Option<(Duration, Duration)>,
    refusals: HashMap<String, Refusal>,
    refuses_replacing: bool,
    never_finishes: Option<String>,
    asked: usize,
    accounts: usize,
    knows_account: bool,
    contact: Vec<String>,
    order: Value,
    certificate: Option<String>,
}

/// An answer in place of the right one.
#[derive(Clone)]
pub(crate) struct Refusal {
    status: u16,
    body: String,
    retry_after: Option<String>,
    /// Whether the next request is answered right.
    is_once: bool,
}

impl Refusal {
    pub(crate) fn page(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.to_owned(),
            retry_after: None,
            is_once: false,
        }
    }

    pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let kind_in_full = format!("urn:ietf:params:acme:error:{kind}");
        let body = json!({"type": kind_in_full, "detail": detail}).to_string();
        Self {
            is_once: kind == "badNonce",
            ..Self::page(status, &body)
        }
    }

    pub(crate) fn after(self, retry_after: &str) -> Self {
        Self {
            retry_after: Some(retry_after.to_owned()),
            ..self
        }
    }
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            rcgen::KeyUsagePurpose::KeyCertSign,
            rcgen::KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let own_key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let own = CertificateParams::new(names).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            own_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let root = issuer.der().clone();
        let shared = Arc::new(Shared {
            url: format!("https://{address}"),
            issuer,
            does: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let tls = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let serve = axum::serve(tls, router);
        let task = tokio::spawn(async move { serve.await.unwrap() });
        Self { shared, root, task }
    }

    pub(crate) fn wanted(&self, names: &[&str]) -> Wanted {
        Wanted {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            directory: format!("{}/directory", self.shared.url),
            roots: vec![self.root.clone()],
            contact: Vec::new(),
            profile: None,
            external_account: None,
            http_01: None,
        }
    }

    pub(crate) fn offer(&self, profiles: &[&str]) {
        self.does().profiles = profiles.iter().map(|&it| it.to_owned()).collect();
    }

    /// Suggests to renew between these times from now.
    pub(crate) fn suggest(&self, window: Option<(Duration, Duration)>) {
        self.does().window = window;
    }

    pub(crate) fn refuse(&self, path: &str, refusal: Refusal) {
        self.does().refusals.insert(path.to_owned(), refusal);
    }

    pub(crate) fn forgive(&self) {
        self.does().refusals.clear();
    }

    pub(crate) fn refuse_replacing(&self) {
        self.does().refuses_replacing = true;
    }

    pub(crate) fn never_finish(&self, retry_after: &str) {
        self.does().never_finishes = Some(retry_after.to_owned());
    }

    pub(crate) fn lose_accounts(&self) {
        self.does().knows_account = false;
    }

    pub(crate) fn asked(&self) -> usize {
        self.does().asked
    }

    pub(crate) fn accounts(&self) -> usize {
        self.does().accounts
    }

    pub(crate) fn contact(&self) -> Vec<String> {
        self.does().contact.clone()
    }

    /// The last order as it was sent.
    pub(crate) fn last_order(&self) -> Value {
        self.does().order.clone()
    }

    fn does(&self) -> MutexGuard<'_, Does> {
        self.shared.does.lock().unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("hairpin/")
    );
    let mut does = shared.does.lock().unwrap();
    does.asked += 1;
    let path = uri.path().to_owned();
    let place = format!("/{}", path.split('/').nth(1).unwrap());
    let mut response = match does.refusals.get(&place).cloned() {
        Some(refusal) => {
            if refusal.is_once {
                does.refusals.remove(&place);
            }
            let status = StatusCode::from_u16(refusal.status).unwrap();
            let mut response = (status, refusal.body).into_response();
            if let Some(after) = refusal.retry_after {
                let after = HeaderValue::from_str(&after).unwrap();
                response.headers_mut().insert("Retry-After", after);
            }
            response
        }
        None => right(&shared, &mut does, &method, &path, &body),
    };
    let nonce = HeaderValue::from(does.asked);
    response.headers_mut().insert("Replay-Nonce", nonce);
    response
}

fn right(shared: &Shared, does: &mut Does, method: &Method, path: &str, body: &[u8]) -> Response {
    let url = &shared.url;
    let of_json = |value: Value| value.to_string().into_response();
    let problem = |kind: &str| {
        let Refusal { body, .. } = Refusal::problem(400, kind, "as a test says");
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    let payload = payload(body);
    match path {
        "/directory" => {
            let mut directory = json!({
                "newNonce": format!("{url}/nonce"), "newAccount": format!("{url}/account"),
                "newOrder": format!("{url}/order"),
                "meta": {"profiles": does.profiles.iter().map(|it| (it.clone(), "")).collect::<HashMap<_, _>>()},
            });
            if does.window.is_some() {
                directory["renewalInfo"] = format!("{url}/renewal").into();
            }
            of_json(directory)
        }
        "/nonce" => {
            assert_eq!(method, Method::HEAD);
            StatusCode::OK.into_response()
        }
        "/account" => {
            assert_eq!(payload["termsOfServiceAgreed"], true);
            does.accounts += 1;
            does.knows_account = true;
            let at = format!("{url}/account-1");
            (StatusCode::CREATED, [("Location", at)], "{}").into_response()
        }
        "/account-1" => {
            does.contact = serde_json::from_value(payload["contact"].clone()).unwrap();
            of_json(json!({"status": "valid"}))
        }
        "/order" if !does.knows_account => problem("accountDoesNotExist"),
        "/order" if does.refuses_replacing && payload.get("replaces").is_some() => {
            problem("alreadyReplaced")
        }
        "/order" => {
            does.order = payload;
            does.certificate = None;
            let at = format!("{url}/order-1");
            let order = order(shared, does, "pending");
            (StatusCode::CREATED, [("Location", at)], order.to_string()).into_response()
        }
        "/authorization" => of_json(json!({
            "identifier": {"type": "dns", "value": "turn.example.org"},
            "status": "valid", "challenges": [],
        })),
        "/order-1" => {
            let status = if does.certificate.is_some() {
                "valid"
            } else {
                "ready"
            };
            let never = does.never_finishes.clone();
            let order = order(
                shared,
                does,
                if never.is_some() { "pending" } else { status },
            );
            let mut response = of_json(order);
            if let Some(after) = never {
                let after = HeaderValue::from_str(&after).unwrap();
                response.headers_mut().insert("Retry-After", after);
            }
            response
        }
        "/finalize" => {
            let request = payload["csr"].as_str().unwrap();
            let request = BASE64_URL_SAFE_NO_PAD.decode(request).unwrap();
            does.certificate = Some(shared.sign(request));
            of_json(order(shared, does, "processing"))
        }
        "/certificate" => does.certificate.take().unwrap().into_response(),
        _ if path.starts_with("/renewal/") => {
            let Some((start, end)) = does.window else {
                return StatusCode::NOT_FOUND.into_response();
            };
            let now = SystemTime::now();
            let point = |after| humantime::format_rfc3339_seconds(now + after).to_string();
            let window = json!({"start": point(start), "end": point(end)});
            let body = json!({"suggestedWindow": window}).to_string();
            ([("Retry-After", "21600")], body).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn order(shared: &Shared, does: &Does, status: &str) -> Value {
    let url = &shared.url;
    let mut order = json!({
        "status": status, "authorizations": [format!("{url}/authorization")],
        "finalize": format!("{url}/finalize"), "certificate": format!("{url}/certificate"),
    });
    for key in ["replaces", "profile"] {
        if let Some(value) = does.order.get(key) {
            order[key] = value.clone();
        }
    }
    order
}

impl Shared {
    fn sign(&self, request: Vec<u8>) -> String {
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        let now = SystemTime::now();
        request.params.not_before = now.into();
        request.params.not_after = (now + Duration::from_secs(90 * 24 * 3600)).into();
        request.params.use_authority_key_identifier_extension = true;
        let certificate = request.signed_by(&self.issuer).unwrap();
        format!("{}{}", certificate.pem(), self.issuer.pem())
    }
}

/// The payload that a request signs. `null` if there is none.
fn payload(body: &[u8]) -> Value {
    let Ok(signed) = serde_json::from_slice::<Value>(body) else {
        return Value::Null;
    };
    let payload = signed["payload"].as_str().unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

/// TLS for axum.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
