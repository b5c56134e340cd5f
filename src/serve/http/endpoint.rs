//! The credential endpoint: `POST /v1/turn/keys/{id}/credentials/generate-ice-servers` as Cloudflare has
//! it, and `GET /?service=turn` of draft-uberti-behave-turn-rest. `docs/credentials-endpoint.md`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cross_origin;
use super::minting::{Minting, NoCredential};
use super::refusal::{Outcomes, Refusal};
use super::tokens::{Shown, Token, Tokens};
use super::told::{self, Refusals, Refused};
use crate::config::Config;
use crate::ice_servers::IceServer;

/// The state that requests are answered from. All clones are one.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    minting: Arc<Minting>,
    tokens: ArcSwap<Tokens>,
    origins: ArcSwap<Vec<String>>,
    outcomes: Outcomes,
    refusals: Refusals,
}

impl Endpoint {
    pub(super) fn new(config: &Config, minting: Arc<Minting>) -> Self {
        Self(Arc::new(Inner {
            minting,
            tokens: ArcSwap::from_pointee(Tokens::new(&config.http.tokens)),
            origins: ArcSwap::from_pointee(config.http.origins.clone()),
            outcomes: Outcomes::default(),
            refusals: Refusals::default(),
        }))
    }

    /// Takes the tokens and origins of this configuration from now on.
    pub(in crate::serve) fn follow(&self, config: &Config) {
        let tokens = self.0.tokens.load().with(&config.http.tokens);
        self.0.tokens.store(Arc::new(tokens));
        self.0.origins.store(Arc::new(config.http.origins.clone()));
    }

    /// The outcomes of requests until now, by name.
    pub(in crate::serve) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.outcomes.named()
    }

    /// Adds the endpoint to other routes, of which one may have `/`, too.
    pub(super) fn join(&self, others: Router) -> Router {
        let answered = |form: fn(IceServer) -> Value| {
            post(move |state, id, from, headers, body| {
                generate(form, state, id, from, headers, body)
            })
        };
        let in_array = |server| json!({ "iceServers": [server] });
        let alone = |server| json!({ "iceServers": server });
        let credentials = format!("{KEYS}{{id}}/credentials");
        let own = Router::new()
            .route(
                &format!("{credentials}/generate-ice-servers"),
                answered(in_array),
            )
            .route(&format!("{credentials}/generate"), answered(alone))
            .route(&format!("{credentials}/{{username}}/revoke"), post(revoke))
            .method_not_allowed_fallback(other_method)
            .layer(from_fn_with_state(self.clone(), share))
            .with_state(self.clone());
        others
            .layer(from_fn_with_state(self.clone(), turn_rest))
            .merge(own)
    }

    /// Lets the page of a listed origin read a refusal that none of these routes made.
    pub(super) fn dress(&self, head: &Parts, refusal: Response) -> Response {
        let path = head.uri.path();
        if path != "/" && !path.starts_with(KEYS) || self.0.tokens.load().are_none() {
            return refusal;
        }
        cross_origin::share(refusal, &head.headers, &self.0.origins.load())
    }

    /// A credential for the one whom a request names. Without a good token a request is told nothing else.
    fn mint(
        &self,
        from: IpAddr,
        shown: Shown<'_>,
        wish: impl FnOnce() -> Result<Wish, Refusal>,
    ) -> Result<Minted, Refused> {
        let tokens = self.0.tokens.load();
        let token = tokens.let_in(from, shown);
        let token = token.map_err(|not| Refused::of(&tokens, shown.id, not.into()))?;
        let minted = wish().and_then(|wish| self.mint_by(&token, wish));
        minted.map_err(|reason| Refused::of(&tokens, Some(&token.terms.id), reason))
    }

    fn mint_by(&self, token: &Token, Wish { user, ttl }: Wish) -> Result<Minted, Refusal> {
        let lifetime = lifetime(token, ttl)?;
        let user = named(token, user.as_deref())?;
        let offer = self.0.minting.offer();
        if offer.uris.is_empty() {
            return Err(Refusal::NoUri);
        }
        let credential = offer.credential(&token.terms.realm, &user, lifetime);
        let credential = credential.map_err(|why| match why {
            NoCredential::NoSecret => Refusal::NoSecret,
            NoCredential::OtherRealm => Refusal::OtherRealm,
        })?;
        if credential.username.len() > MOST_USERNAME {
            return Err(Refusal::LongUser);
        }
        told::made(&token.terms.id, &user, lifetime);
        Ok(Minted {
            server: IceServer::new(&offer.uris, credential),
            lifetime,
        })
    }

    /// The answer, its count, and a line for the log.
    fn finish(&self, answer: Result<Response, Refused>) -> Response {
        let refused = answer.as_ref().err();
        self.0
            .outcomes
            .count(refused.map(|refused| &refused.reason));
        if let Some(refused) = refused {
            self.0.refusals.say(refused);
        }
        let mut answer = answer.unwrap_or_else(|refused| refused.reason.into_response());
        let no_store = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, no_store);
        answer
    }
}

/// The wish of a request.
#[derive(Default)]
struct Wish {
    user: Option<String>,
    /// Seconds.
    ttl: Option<u64>,
}

struct Minted {
    server: IceServer,
    lifetime: Duration,
}

/// In the shape of Cloudflare's.
async fn generate(
    form: fn(IceServer) -> Value,
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shown = Shown {
        id: Some(&id),
        secret: bearer(&headers),
    };
    let minted = endpoint.mint(from.ip(), shown, || Wish::read(&body));
    endpoint.finish(minted.map(|minted| {
        let body = Json(form(minted.server));
        (StatusCode::CREATED, body).into_response()
    }))
}

/// A credential ends by its lifetime alone.
async fn revoke(
    State(endpoint): State<Endpoint>,
    Path((id, _)): Path<(String, String)>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let shown = Shown {
        id: Some(&id),
        secret: bearer(&headers),
    };
    let tokens = endpoint.0.tokens.load();
    let refusal = match tokens.let_in(from.ip(), shown) {
        Ok(_) => Refusal::NotRevocable,
        Err(not) => not.into(),
    };
    endpoint.finish(Err(Refused::of(&tokens, Some(&id), refusal)))
}

async fn other_method(State(endpoint): State<Endpoint>) -> Response {
    endpoint.finish(Err(Refusal::OtherMethod.into()))
}

/// Answers `/?service=turn`, and leaves all else to the routes behind it.
async fn turn_rest(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    let is_here = request.uri().path() == "/" && !endpoint.0.tokens.load().are_none();
    let asks = |text: &str| text.split('&').any(|pair| pair.starts_with("service="));
    let is_asked = match *request.method() {
        Method::GET => request.uri().query().is_some_and(asks),
        Method::POST => true,
        Method::OPTIONS => cross_origin::is_preflight(request.method(), request.headers()),
        _ => false,
    };
    if !is_here || !is_asked {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let origins = endpoint.0.origins.load_full();
    if let Some(refusal) = cross_origin::refuse(&headers, &origins) {
        return endpoint.finish(Err(refusal.into()));
    }
    if let Some(answer) = cross_origin::preflight(request.method(), &headers) {
        return cross_origin::share(answer, &headers, &origins);
    }
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = from.map_or(IpAddr::from([0; 4]), |from| from.0.ip());
    let answer = match Asked::read(request).await {
        Some(asked) => answer_rest(&endpoint, from, &headers, &asked),
        None => Err(Refusal::NotForm.into()),
    };
    cross_origin::share(endpoint.finish(answer), &headers, &origins)
}

fn answer_rest(
    endpoint: &Endpoint,
    from: IpAddr,
    headers: &HeaderMap,
    asked: &Asked,
) -> Result<Response, Refused> {
    if asked.service.as_deref() != Some("turn") {
        return Err(Refusal::OtherService.into());
    }
    let key = asked.key.as_deref().or(asked.api.as_deref());
    let shown = Shown {
        id: None,
        secret: key.or_else(|| bearer(headers)),
    };
    let user = asked.username.clone().filter(|user| !user.is_empty());
    let wish = || Ok(Wish { user, ttl: None });
    let Minted { server, lifetime } = endpoint.mint(from, shown, wish)?;
    let answer = json!({
        "username": server.username(),
        "password": server.credential(),
        "ttl": lifetime.as_secs(),
        "uris": server.urls(),
    });
    Ok(Json(answer).into_response())
}

/// Answers pages of other servers, if they may ask.
async fn share(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    if endpoint.0.tokens.load().are_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let headers = request.headers().clone();
    let origins = endpoint.0.origins.load_full();
    if let Some(refusal) = cross_origin::refuse(&headers, &origins) {
        return endpoint.finish(Err(refusal.into()));
    }
    let answer = match cross_origin::preflight(request.method(), &headers) {
        Some(answer) => answer,
        None => next.run(request).await,
    };
    cross_origin::share(answer, &headers, &origins)
}

impl Wish {
    /// Reads the body of a request in Cloudflare's shape.
    ///
    /// An empty one asks for nothing special.
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
            return Err(Refusal::NotJson);
        };
        let user = match body.get("customIdentifier") {
            None | Some(Value::Null) => None,
            Some(Value::String(user)) if !user.is_empty() => Some(user.clone()),
            Some(_) => return Err(Refusal::NotUser),
        };
        let ttl = match body.get("ttl") {
            None | Some(Value::Null) => None,
            Some(ttl) => Some(seconds(ttl).ok_or(Refusal::NotLifetime)?),
        };
        Ok(Self { user, ttl })
    }
}

/// A whole number above 0, also where it is written as 3600.0.
fn seconds(ttl: &Value) -> Option<u64> {
    let whole = ttl
        .as_f64()
        .filter(|ttl| ttl.fract() == 0.0 && *ttl < MOST_SECONDS);
    // It is a whole number that fits.
    let seconds = ttl.as_u64().or(whole.map(|ttl| ttl as u64));
    seconds.filter(|seconds| *seconds > 0)
}

/// The parameters of a request in the draft's shape. Janus writes the key twice, as `api` and `key`.
#[derive(Deserialize)]
struct Asked {
    service: Option<String>,
    username: Option<String>,
    key: Option<String>,
    api: Option<String>,
}

impl Asked {
    async fn read(request: Request) -> Option<Self> {
        if request.method() == Method::GET {
            let asked = Query::<Self>::try_from_uri(request.uri());
            return asked.ok().map(|Query(asked)| asked);
        }
        let asked = Form::<Self>::from_request(request, &()).await;
        asked.ok().map(|Form(asked)| asked)
    }
}

/// RFC 6750 §2.1.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn lifetime(token: &Token, ttl: Option<u64>) -> Result<Duration, Refusal> {
    let most = token.terms.max_lifetime;
    let wanted = ttl.map_or(most.min(DAY), Duration::from_secs);
    if wanted > most {
        return Err(Refusal::LongLifetime(most));
    }
    Ok(wanted)
}

fn named(token: &Token, wanted: Option<&str>) -> Result<String, Refusal> {
    let Some(user) = wanted else {
        return Ok(token.nobody());
    };
    // Clients prepare it before they show it, and would show something else.
    if !relay::is_opaque(user) {
        return Err(Refusal::NotUser);
    }
    if !token.is_for(user) {
        return Err(Refusal::OtherUser);
    }
    Ok(user.to_owned())
}

/// The paths in Cloudflare's shape begin so.
const KEYS: &str = "/v1/turn/keys/";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 8489 §14.3.
const MOST_USERNAME: usize = 508;
/// Beyond it a number may be no whole one.
const MOST_SECONDS: f64 = 9e15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_be_empty_and_what_stands_in_it_has_to_be_right() {
        let ttl = |body: &str| Wish::read(body.as_bytes()).map(|body| body.ttl);
        assert_eq!(ttl(""), Ok(None));
        assert_eq!(ttl(" \n"), Ok(None));
        assert_eq!(ttl("{}"), Ok(None));
        assert_eq!(ttl("{\"ttl\": 86400, \"more\": []}"), Ok(Some(86400)));
        assert_eq!(ttl("{\"ttl\": 3600.0}"), Ok(Some(3600)));
        assert_eq!(ttl("{\"ttl\": null}"), Ok(None));
        for ttl_of in [
            "0",
            "-1",
            "1.5",
            "\"60\"",
            "[]",
            "1e300",
            "18446744073709551616",
        ] {
            let body = format!("{{\"ttl\": {ttl_of}}}");
            assert_eq!(ttl(&body), Err(Refusal::NotLifetime), "{body}");
        }
        for body in ["[]", "86400", "ttl=86400", "{", "\u{FEFF}{}"] {
            assert_eq!(ttl(body), Err(Refusal::NotJson), "{body}");
        }
        let user = |body: &str| Wish::read(body.as_bytes()).map(|body| body.user);
        let named = "{\"customIdentifier\": \"alice\"}";
        assert_eq!(user(named), Ok(Some("alice".to_owned())));
        for body in ["{\"customIdentifier\": 7}", "{\"customIdentifier\": \"\"}"] {
            assert_eq!(user(body), Err(Refusal::NotUser), "{body}");
        }
    }

    #[test]
    fn a_bearer_is_what_stands_behind_its_scheme() {
        for (header, bearer_of) in [
            ("Bearer abc=", Some("abc=")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            assert_eq!(bearer(&headers), bearer_of, "{header}");
        }
    }
}
