//! The admin API: HTTP/1.1 and JSON. Whoever reaches it may do everything; it is served on a Unix socket, whose
//! file says who that is.

mod answers;
mod end;
mod sessions;

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use net::Running;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub use answers::{
    Channel, Permission, Reloaded, Session, SessionDetails, Sessions, Status, Traffic,
};
pub use end::{End, Ended};

/// The parts of the server that the API works on.
pub struct Handles {
    /// The shards.
    pub running: Arc<Running>,
    /// The version of the program.
    pub version: &'static str,
    /// Where the configuration comes from, in words.
    pub configuration: String,
    /// When the process began.
    pub started: SystemTime,
    /// Takes wishes to drain (`true`) and to go on (`false`).
    pub drain: mpsc::Sender<bool>,
    /// Takes wishes to read the configuration again; the answer says what changed, or why nothing did.
    pub reload: mpsc::Sender<oneshot::Sender<Result<Reloaded, String>>>,
}

/// The routes of the API.
pub fn router(handles: Handles) -> Router {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/end", post(end::end))
        .route("/v1/sessions/{id}", get(sessions::show))
        .route("/v1/drain", post(drain).delete(undrain))
        .route("/v1/reload", post(reload))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(Arc::new(handles))
}

type Server = State<Arc<Handles>>;

/// A refusal, as a sentence.
#[derive(Debug)]
pub(crate) struct Refusal(StatusCode, String);

#[derive(Serialize)]
struct Error {
    error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Error { error: self.1 })).into_response()
    }
}

fn refuse<T>(status: StatusCode, sentence: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, sentence.into()))
}

/// Whether new clients may be sent here.
async fn ready(State(server): Server) -> Response {
    if server.running.load().is_draining {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

async fn status(State(server): Server) -> Json<Status> {
    Json(Status::of(&server))
}

async fn drain(State(server): Server) -> Result<Json<Status>, Refusal> {
    wish(&server, true).await
}

async fn undrain(State(server): Server) -> Result<Json<Status>, Refusal> {
    wish(&server, false).await
}

async fn wish(server: &Handles, is_to_drain: bool) -> Result<Json<Status>, Refusal> {
    if server.drain.send(is_to_drain).await.is_err() {
        return ending();
    }
    // Once there is room again, the wish before was taken: another would wait behind it.
    let _ = server.drain.reserve().await;
    Ok(Json(Status::of(server)))
}

async fn reload(State(server): Server) -> Result<Json<Reloaded>, Refusal> {
    let (answer, answered) = oneshot::channel();
    if server.reload.send(answer).await.is_err() {
        return ending();
    }
    match answered.await {
        Ok(Ok(reloaded)) => Ok(Json(reloaded)),
        Ok(Err(why)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, why),
        Err(_) => ending(),
    }
}

fn ending<T>() -> Result<T, Refusal> {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the server ends")
}

async fn unknown(request: Request) -> Refusal {
    let path = request.uri().path().escape_debug().to_string();
    Refusal(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
}

async fn wrong_method(request: Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    let sentence = format!("{} does not take {method}", path.escape_debug());
    Refusal(StatusCode::METHOD_NOT_ALLOWED, sentence)
}

/// The longest body that is read, in bytes.
const BODY: usize = 16 * 1024;
