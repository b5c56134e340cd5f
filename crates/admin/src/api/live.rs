//! The server as it is watched: `GET /v1/live`, events without end, and `GET /v1/top`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Endless, Error, Refusal, ending, queried};
use crate::live::{Live, Looking, Moment, Point, Top, Wanted};

/// The data of an event of `GET /v1/live`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// The server now.
    pub moment: Moment,
    /// The top talkers that were asked for.
    pub top: Top,
    /// The last hour with the first event, then what came since the event before.
    pub points: Vec<Point>,
}

/// The routes for those who watch.
pub fn router(live: Arc<Live>) -> Router {
    Router::new()
        .route("/v1/live", get(watch))
        .route("/v1/top", get(top))
        .with_state(live)
}

/// The server as it is watched: server-sent events without end, one a second.
#[utoipa::path(get, operation_id = "watch", path = "/v1/live", tag = "server", params(Wanted), responses((status = 200, description = "The data of each event.", body = Seen, content_type = "text/event-stream"), (status = 400, description = "A parameter is none.", body = Error), (status = 503, description = "As many answers without an end are sent as there may be, or the server ends.", body = Error)))]
pub(super) async fn watch(
    State(live): State<Arc<Live>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Refusal> {
    let watcher = Watcher {
        wanted: queried(wanted)?,
        looking: live.look(),
        last: None,
    };
    let mut answer = Sse::new(unfold(watcher, Watcher::next)).into_response();
    answer.extensions_mut().insert(Endless);
    Ok(answer)
}

/// The top talkers.
#[utoipa::path(get, operation_id = "top", path = "/v1/top", tag = "sessions", params(Wanted), responses((status = 200, body = Top), (status = 400, description = "A parameter is none.", body = Error), (status = 503, description = "As many answers without an end are sent as there may be, or the server ends.", body = Error)))]
pub(super) async fn top(
    State(live): State<Arc<Live>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Top>, Refusal> {
    let wanted = queried(wanted)?;
    match live.look().latest().await {
        Some(seen) => Ok(Json(Top::of(&seen, &wanted))),
        None => ending(),
    }
}

/// The reader of a stream. Looks that it does not come to are left out, so that nothing waits for it.
struct Watcher {
    looking: Looking,
    wanted: Wanted,
    /// The time of the last point that it has seen.
    last: Option<u64>,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let look = match self.last {
            None => self.looking.latest().await,
            Some(_) => self.looking.next().await,
        }?;
        let last = self.last.unwrap_or(0);
        let points = self.looking.live().points_after(last);
        self.last = Some(points.last().map_or(last, |point| point.time));
        let seen = Seen {
            moment: look.moment.clone(),
            top: Top::of(&look, &self.wanted),
            points,
        };
        let event = Event::default().json_data(seen);
        // Numbers, texts and lists become JSON.
        event.ok().map(|event| (Ok(event), self))
    }
}
