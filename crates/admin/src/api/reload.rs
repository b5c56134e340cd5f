//! The configuration read again, or only compared with the one in force.

#![allow(
    unused_qualifications,
    reason = "what utoipa makes of a handler has some"
)]

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::object::read_body;
use super::{Error, Refusal, ending, refuse};

/// How the configuration is read again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// Nothing changes: the answer says what would.
    pub dry_run: bool,
}

/// The outcome of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The keys that changed, and hold.
    pub changed: Vec<String>,
    /// The keys that changed, and hold only after a restart.
    pub needs_restart: Vec<String>,
    /// The values that changed in those keys, as far as they may be shown: of secrets is told how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Changed>,
    /// Whether nothing was changed, and this is what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// The file of the server, by its whole path; none if the environment configures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A value that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Its key, with its table.
    pub key: String,
    /// The value in force; none where it was not written.
    pub from: Option<Value>,
    /// The value of the file; none where it is not written any more.
    pub to: Option<Value>,
}

/// A wish to have the configuration read again. The answer says what changed, or why nothing did.
pub struct ReloadWish {
    /// How.
    pub reload: Reload,
    /// Is told the outcome.
    pub answer: oneshot::Sender<Result<Reloaded, String>>,
}

type Wishes = mpsc::Sender<ReloadWish>;

/// The route, for a server that takes wishes here.
pub(super) fn router(wishes: Wishes) -> Router {
    Router::new()
        .route("/v1/reload", post(reload))
        .with_state(wishes)
}

/// Reads the configuration again, and says what changed.
#[utoipa::path(post, path = "/v1/reload", tag = "configuration", request_body = Option<Reload>, responses((status = 200, body = Reloaded), (status = 400, description = "The body does not say it right.", body = Error), (status = 413, description = "The body is longer than 16 KiB.", body = Error), (status = 422, description = "Every fault of the file, which changes nothing.", body = Error), (status = 503, description = "The server ends.", body = Error)))]
pub(super) async fn reload(
    State(wishes): State<Wishes>,
    body: Bytes,
) -> Result<Json<Reloaded>, Refusal> {
    let reload = read_body(&body)?;
    let (answer, answered) = oneshot::channel();
    if wishes.send(ReloadWish { reload, answer }).await.is_err() {
        return ending();
    }
    match answered.await {
        Ok(Ok(reloaded)) => Ok(Json(reloaded)),
        Ok(Err(why)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, why),
        Err(_) => ending(),
    }
}
