//! Why the credential endpoint gives no credential: a status and a sentence for the one who asks, and a
//! name with a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::tokens::NotLetIn;

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token, or one that is not good.
    Wrong,
    /// The same, too often.
    TooOften(Duration),
    /// The token has made enough.
    TooFast(Duration),
    /// The page is of another server.
    OtherOrigin,
    /// The body is no JSON object.
    NotJson,
    /// The body is no form.
    NotForm,
    /// The method is another one.
    OtherMethod,
    /// The service is not `turn`.
    OtherService,
    /// The lifetime is no whole number above 0.
    NotLifetime,
    /// It is longer than that.
    LongLifetime(Duration),
    /// The user's name is none.
    NotUser,
    /// It is too long.
    LongUser,
    /// The token is for others.
    OtherUser,
    /// The name is that of a user of another realm.
    OtherRealm,
    /// The realm has no secret any more.
    NoSecret,
    /// This server does not know where clients reach it.
    NoUri,
    /// Nothing is revoked yet.
    NotRevocable,
}

impl From<NotLetIn> for Refusal {
    fn from(not: NotLetIn) -> Self {
        match not {
            NotLetIn::Wrong => Self::Wrong,
            NotLetIn::TooOften(wait) => Self::TooOften(wait),
            NotLetIn::TooFast(wait) => Self::TooFast(wait),
        }
    }
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Wrong => StatusCode::UNAUTHORIZED,
            Self::TooOften(_) | Self::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::OtherOrigin => StatusCode::FORBIDDEN,
            Self::NotJson
            | Self::NotForm
            | Self::OtherService
            | Self::NotLifetime
            | Self::LongLifetime(_)
            | Self::NotUser
            | Self::LongUser
            | Self::OtherUser
            | Self::OtherRealm => StatusCode::BAD_REQUEST,
            Self::OtherMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoSecret | Self::NoUri => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotRevocable => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// For the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wrong => "token-wrong",
            Self::TooOften(_) => "token-wrong-too-often",
            Self::TooFast(_) => "token-too-fast",
            Self::OtherOrigin => "origin-refused",
            Self::NotJson => "not-json",
            Self::NotForm => "not-form",
            Self::OtherMethod => "other-method",
            Self::OtherService => "other-service",
            Self::NotLifetime => "not-lifetime",
            Self::LongLifetime(_) => "long-lifetime",
            Self::NotUser => "not-user",
            Self::LongUser => "long-user",
            Self::OtherUser => "other-user",
            Self::OtherRealm => "other-realm",
            Self::NoSecret => "no-secret",
            Self::NoUri => "no-uri",
            Self::NotRevocable => "not-revocable",
        }
    }

    fn sentence(self) -> String {
        let sentence = match self {
            Self::Wrong => {
                "the token is not good: show that of the key in the path, as `Authorization: Bearer …`"
            }
            Self::TooOften(_) => {
                "your network has shown too many tokens that are not good: try again later"
            }
            Self::TooFast(_) => {
                "this token makes no more credentials for now (`per-minute` in [[http.token]])"
            }
            Self::OtherOrigin => "pages of this origin may not ask (`origins` in [http])",
            Self::NotJson => "the body is no JSON object, such as {\"ttl\": 86400}",
            Self::NotForm => "the request names its parameters otherwise than a form does",
            Self::OtherMethod => "only POST is answered here",
            Self::OtherService => "the service is not `turn`",
            Self::NotLifetime => "`ttl` is no whole number of seconds above 0",
            Self::LongLifetime(most) => {
                let most = most.as_secs();
                return format!(
                    "`ttl` is more than {most} seconds (`max-lifetime` in [[http.token]])"
                );
            }
            Self::NotUser => {
                "`customIdentifier` (`username` in the draft's form) must be a text of 1 to 497 characters, \
                 all of which clients can show in a name"
            }
            Self::LongUser => {
                "the name of the user is too long: with expiry and realm it has more than 508 bytes"
            }
            Self::OtherUser => {
                "this token is not for users of such a name (`users` in [[http.token]])"
            }
            Self::OtherRealm => {
                "the name of the user ends in @ and another realm than that of this token (`realm` in \
                 [[http.token]])"
            }
            Self::NoSecret => "the realm of this token has no secret (`secrets` in [auth])",
            Self::NoUri => {
                "the server does not know where clients reach it (`uris` in [advertise])"
            }
            Self::NotRevocable => "credentials cannot be revoked: each ends by its ttl",
        };
        sentence.to_owned()
    }

    /// When to ask again.
    const fn wait(self) -> Option<Duration> {
        match self {
            Self::TooOften(wait) | Self::TooFast(wait) => Some(wait),
            Self::Wrong
            | Self::OtherOrigin
            | Self::NotJson
            | Self::NotForm
            | Self::OtherMethod
            | Self::OtherService
            | Self::NotLifetime
            | Self::LongLifetime(_)
            | Self::NotUser
            | Self::LongUser
            | Self::OtherUser
            | Self::OtherRealm
            | Self::NoSecret
            | Self::NoUri
            | Self::NotRevocable => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.sentence() }));
        let mut answer = (self.status(), body).into_response();
        let headers = answer.headers_mut();
        if let Some(wait) = self.wait() {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            let seconds = HeaderValue::from_str(&seconds.to_string());
            headers.insert(header::RETRY_AFTER, seconds.expect("digits"));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        answer
    }
}

/// How often each came out.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    minted: AtomicU64,
    wrong: AtomicU64,
    too_often: AtomicU64,
    too_fast: AtomicU64,
    other_origin: AtomicU64,
    bad_request: AtomicU64,
    unavailable: AtomicU64,
}

impl Outcomes {
    pub(super) fn count(&self, refusal: Option<&Refusal>) {
        let count = match refusal {
            None => &self.minted,
            Some(Refusal::Wrong) => &self.wrong,
            Some(Refusal::TooOften(_)) => &self.too_often,
            Some(Refusal::TooFast(_)) => &self.too_fast,
            Some(Refusal::OtherOrigin) => &self.other_origin,
            Some(
                Refusal::NotJson
                | Refusal::NotForm
                | Refusal::OtherMethod
                | Refusal::OtherService
                | Refusal::NotLifetime
                | Refusal::LongLifetime(_)
                | Refusal::NotUser
                | Refusal::LongUser
                | Refusal::OtherUser
                | Refusal::OtherRealm,
            ) => &self.bad_request,
            Some(Refusal::NoSecret | Refusal::NoUri | Refusal::NotRevocable) => &self.unavailable,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = [
            ("credentials-minted", &self.minted),
            ("token-wrong", &self.wrong),
            ("token-wrong-too-often", &self.too_often),
            ("token-too-fast", &self.too_fast),
            ("origin-refused", &self.other_origin),
            ("credentials-bad-request", &self.bad_request),
            ("credentials-unavailable", &self.unavailable),
        ];
        named
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
            .into_iter()
    }
}
