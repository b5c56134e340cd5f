//! Sessions that the operator ends.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use relay::Selection;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use super::object::Object;
use super::sessions::{chosen, id_of};
use super::{Error, Refusal, Server, refuse};

/// Which sessions end: those to which everything said here applies.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct End {
    /// The id of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Those of users of this realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Those of this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Those of this credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Those of clients at this address or in this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Those with a permission for this peer, or a channel to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub peer: Option<IpAddr>,
    /// All, where nothing else is said.
    pub all: bool,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// So many.
    pub ended: usize,
    /// Shards that did not answer in time: they end theirs when they go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_shards: Vec<usize>,
}

/// Ends the sessions that the body names.
#[utoipa::path(post, operation_id = "end_sessions", path = "/v1/sessions/end", tag = "sessions", request_body = End, responses((status = 200, body = Ended), (status = 400, description = "A parameter is none.", body = Error), (status = 413, description = "The body is longer than 16 KiB.", body = Error), (status = 415, description = "The body is not said to be JSON.", body = Error), (status = 422, description = "The body does not say it right.", body = Error)))]
pub(super) async fn end(
    State(server): Server,
    end: Result<Json<Object<End>>, JsonRejection>,
) -> Result<Json<Ended>, Refusal> {
    let Json(Object(end)) = end.or_else(|flaw| refuse(flaw.status(), flaw.body_text()))?;
    let selection = Selection {
        id: end.id.as_deref().map(id_of).transpose()?,
        ..chosen(
            [&end.realm, &end.user, &end.credential],
            end.client.as_deref(),
            end.peer,
        )?
    };
    if end.all != (selection == Selection::default()) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "say which sessions: id, realm, user, credential, client or peer; or all, and nothing else",
        );
    }
    let ended = server.running.end(selection).await;
    info!(
        sessions = ended.allocations,
        "sessions.ended: by the operator"
    );
    Ok(Json(Ended {
        ended: ended.allocations,
        silent_shards: ended.silent,
    }))
}
