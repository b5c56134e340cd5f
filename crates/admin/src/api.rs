//! The admin API: HTTP/1.1 and JSON. Every client that reaches it may do everything; it is served on a Unix socket, whose
//! file says who that is.

mod answers;
pub mod bans;
pub mod configuration;
mod drain;
mod end;
mod endless;
pub mod live;
pub mod log_level;
mod object;
mod openapi;
pub mod policy;
mod quality;
mod reload;
mod sessions;
mod stories;
pub mod trace;
pub mod usage;

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use net::Running;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

pub use answers::{
    Channel, Permission, Refused, Session, SessionDetails, Sessions, Status, Traffic,
};
pub use drain::{Drain, DrainWish, Left};
pub use end::{End, Ended};
pub use endless::{Endless, bound_endless, endless};
pub use quality::{Contents, Leg, Quality, Stream};
pub use reload::{Changed, Reload, ReloadWish, Reloaded};
pub use stories::{Ending, Failed, Happened, Stories, What};
pub use trace::Line;

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
    /// When a server that drains ends what is left.
    pub deadline: watch::Receiver<Option<SystemTime>>,
}

/// The ways to tasks that do what is asked.
pub struct Wishes {
    /// Takes wishes to drain, and to go on.
    pub drain: mpsc::Sender<DrainWish>,
    /// Takes wishes to read the configuration again.
    pub reload: mpsc::Sender<ReloadWish>,
}

/// The routes of the API.
pub fn router(handles: Handles, wishes: Wishes) -> Router {
    let handles = Arc::new(handles);
    Router::new()
        .route("/live", get(live_at_all))
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/end", post(end::end))
        .route("/v1/sessions/{id}", get(sessions::show))
        .route("/v1/stories", get(stories::list))
        .route("/v1/openapi.json", get(openapi::show))
        .with_state(Arc::clone(&handles))
        .merge(drain::router(handles, wishes.drain))
        .merge(reload::router(wishes.reload))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
}

type Server = State<Arc<Handles>>;

/// A refusal, as a sentence.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

/// A refusal as it is sent.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Error {
    /// Why, and what to do.
    pub error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Error { error: self.1 })).into_response()
    }
}

fn refuse<T>(status: StatusCode, sentence: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, sentence.into()))
}

/// A query that is right, or why it is not.
fn queried<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(flaw) => refuse(StatusCode::BAD_REQUEST, flaw.body_text()),
    }
}

/// Whether there is a server.
#[utoipa::path(get, path = "/live", tag = "health", responses((status = 200, body = String, content_type = "text/plain")), security(()))]
async fn live_at_all() -> &'static str {
    "live\n"
}

/// Whether new clients may be sent here.
#[utoipa::path(get, path = "/ready", tag = "health", responses((status = 200, description = "They may.", body = String, content_type = "text/plain"), (status = 503, description = "It drains, or this host does not have the address of a listener yet.", body = String, content_type = "text/plain")), security(()))]
async fn ready(State(server): Server) -> Response {
    // Whoever asks may be a stranger, who is not told which address it is.
    let why_not = if server.running.load().is_draining {
        "draining\n"
    } else if answers::awaits(&server.running) {
        "awaiting an address\n"
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, why_not).into_response()
}

/// The server as a whole.
#[utoipa::path(get, path = "/v1/status", tag = "server", responses((status = 200, body = Status)))]
async fn status(State(server): Server) -> Json<Status> {
    Json(Status::of(&server).await)
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
