//! Draining: begun with or without a deadline, undone, and what it waits for.

#![allow(
    unused_qualifications,
    reason = "what utoipa makes of a handler has some"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use net::Running;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::object::read_body;
use super::{Error, Handles, Refusal, Status, ending, refuse};

/// How a server drains.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// After so many seconds the sessions end that are left, and the server with them; without it
    /// they are waited for. At most a year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<u64>,
}

/// The allocations that a server which drains waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Left {
    /// Sessions that are left.
    pub sessions: usize,
    /// How many of the users of each realm.
    pub realms: BTreeMap<String, usize>,
    /// How long the oldest has lived, in seconds.
    pub oldest: u64,
    /// How long the one that lasts longest lives if none is refreshed, in seconds.
    pub longest: u64,
    /// When those end that are left by then, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
    /// Shards that did not answer in time: their sessions are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_shards: Vec<usize>,
}

impl Left {
    /// As it is at this moment, at a server that drains until then.
    pub async fn now(running: &Running, deadline: Option<SystemTime>) -> Self {
        let (survey, silent_shards) = running.survey().await;
        let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let realms = survey.realms.into_iter();
        Self {
            sessions: survey.allocations,
            realms: realms.map(|(realm, n)| (realm.to_string(), n)).collect(),
            oldest: survey.oldest.as_secs(),
            longest: survey.longest.as_secs(),
            ends: deadline.map(|deadline| since_1970(deadline).as_secs()),
            silent_shards,
        }
    }
}

/// A wish about draining. The answer says why it is not granted.
pub struct DrainWish {
    /// To drain, or else to go on.
    pub is_to_drain: bool,
    /// How long what there is may last.
    pub within: Option<Duration>,
    /// Is told the outcome.
    pub answer: oneshot::Sender<Result<(), &'static str>>,
}

#[derive(Clone)]
pub(super) struct Drains {
    server: Arc<Handles>,
    wishes: mpsc::Sender<DrainWish>,
}

/// The routes, for a server that takes wishes here.
pub(super) fn router(server: Arc<Handles>, wishes: mpsc::Sender<DrainWish>) -> Router {
    Router::new()
        .route("/v1/drain", post(drain).delete(undrain))
        .with_state(Drains { server, wishes })
}

/// Grants nothing new from now on, and ends with the last session.
#[utoipa::path(post, path = "/v1/drain", tag = "server", request_body = Option<Drain>, responses((status = 200, body = Status), (status = 400, description = "The body does not say it right.", body = Error), (status = 413, description = "The body is longer than 16 KiB.", body = Error), (status = 503, description = "The server ends.", body = Error)))]
pub(super) async fn drain(
    State(drains): State<Drains>,
    body: Bytes,
) -> Result<Json<Status>, Refusal> {
    let Drain { within } = read_body(&body)?;
    if within.is_some_and(|within| within > YEAR) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "within is a number of seconds, at most a year",
        );
    }
    drains.wish(true, within.map(Duration::from_secs)).await
}

/// Grants sessions again.
#[utoipa::path(delete, path = "/v1/drain", tag = "server", responses((status = 200, body = Status), (status = 409, description = "It was told to stop.", body = Error), (status = 503, description = "The server ends.", body = Error)))]
pub(super) async fn undrain(State(drains): State<Drains>) -> Result<Json<Status>, Refusal> {
    drains.wish(false, None).await
}

impl Drains {
    async fn wish(
        &self,
        is_to_drain: bool,
        within: Option<Duration>,
    ) -> Result<Json<Status>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let wish = DrainWish {
            is_to_drain,
            within,
            answer,
        };
        if self.wishes.send(wish).await.is_err() {
            return ending();
        }
        match answered.await {
            Ok(Ok(())) => Ok(Json(Status::of(&self.server).await)),
            Ok(Err(why)) => refuse(StatusCode::CONFLICT, why),
            // The server had nothing to wait for.
            Err(_) => ending(),
        }
    }
}

/// In seconds.
const YEAR: u64 = 366 * 86_400;
