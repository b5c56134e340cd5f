//! Usage: who used how much in this month, who is over a cap, and where the events are.

#![allow(
    unused_qualifications,
    reason = "what utoipa makes of a handler has some"
)]

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Error, Refusal, queried, refuse};

/// The users that are asked for: those to which everything said here applies.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Those of this realm.
    pub realm: Option<String>,
    /// This one: the name without realm and expiry.
    pub user: Option<String>,
    /// At most so many; 100 unless it is said.
    pub limit: Option<usize>,
}

/// The use of the server in this month.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Whether anything is counted: where neither `[usage]` nor `[[cap]]` asks for it, nothing is.
    pub counted: bool,
    /// The month in UTC, as in `2026-11`.
    pub month: String,
    /// Users, those with the most bytes first.
    pub users: Vec<OfUser>,
    /// How many more users there are.
    pub more: usize,
    /// Each realm as a whole.
    pub realms: Vec<OfRealm>,
    /// How many users are over a cap, those of each kind apart.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub over: Vec<(String, usize)>,
    /// Where the events are.
    pub events: Events,
}

/// A user, and what was used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OfUser {
    /// The realm.
    pub realm: String,
    /// The name without realm and expiry.
    pub user: String,
    /// The use of the user.
    #[serde(flatten)]
    pub used: Used,
    /// The consequences of the caps that the user is over: `warn`, `throttle`, `refuse`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
}

/// A realm, and what was used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OfRealm {
    /// The realm.
    pub realm: String,
    /// The use of all its users.
    #[serde(flatten)]
    pub used: Used,
    /// The consequences of the caps that the realm is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
}

/// Bytes, and allocations that ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Both ways together.
    pub bytes: u64,
    /// From clients to peers.
    pub sent: u64,
    /// From peers to clients.
    pub received: u64,
    /// Allocations that ended.
    pub allocations: u64,
    /// Those of them that carried no call.
    pub unused: u64,
}

/// Where the events are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// Those that came to the webhook, since the start.
    pub delivered: u64,
    /// Those that wait for the webhook or the file.
    pub waiting: u64,
    /// Those that were lost since the start.
    pub dropped: u64,
    /// Why the last post failed, if the one before the next did.
    pub failing: Option<String>,
}

/// Answers a query.
pub type Source =
    Arc<dyn Fn(Filter) -> Pin<Box<dyn Future<Output = Option<Usage>> + Send>> + Send + Sync>;

/// The route of usage. The source has no answer while the server ends, or its disk stands still.
pub fn router(source: Source) -> Router {
    Router::new()
        .route("/v1/usage", get(usage))
        .with_state(source)
}

/// The use of users and realms in this month.
#[utoipa::path(get, path = "/v1/usage", tag = "usage", params(Filter), responses((status = 200, body = Usage), (status = 400, description = "A parameter is none.", body = Error), (status = 503, description = "The server ends.", body = Error)))]
pub(super) async fn usage(
    State(source): State<Source>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Usage>, Refusal> {
    let query = queried(query)?;
    match source(query).await {
        Some(usage) => Ok(Json(usage)),
        None => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no answer: the server ends, or the disk of [usage] stands still",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_shows_an_answer_as_it_is() {
        let document = include_str!("../../../../docs/usage.md");
        let begin = document.find("{\n  \"counted\"").unwrap();
        let end = begin + document[begin..].find("```").unwrap();
        let shown: Value = serde_json::from_str(&document[begin..end]).unwrap();
        let usage: Usage = serde_json::from_value(shown.clone()).unwrap();
        assert_eq!(serde_json::to_value(usage).unwrap(), shown);
    }
}
