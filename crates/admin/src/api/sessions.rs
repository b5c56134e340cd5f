//! Sessions: lists by pages, and all about one.

use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use net::Cursor;
use relay::policy::Network;
use relay::{AllocationId, Selection};
use serde::Deserialize;

use super::{Refusal, Server, SessionDetails, Sessions, refuse};

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    realm: Option<String>,
    user: Option<String>,
    credential: Option<String>,
    /// An address or a network.
    client: Option<String>,
    peer: Option<IpAddr>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(server): Server,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Sessions>, Refusal> {
    let Query(filter) = filter.or_else(|flaw| refuse(StatusCode::BAD_REQUEST, flaw.body_text()))?;
    let selection = Selection {
        id: None,
        realm: filter.realm.as_deref().map(Into::into),
        user: filter.user.as_deref().map(Into::into),
        credential: filter.credential.as_deref().map(Into::into),
        client: network(filter.client.as_deref())?,
        peer: filter.peer,
    };
    let from = match &filter.cursor {
        Some(cursor) => cursor_of(cursor)?,
        None => Cursor::default(),
    };
    let most = filter.limit.unwrap_or(USUAL).clamp(1, MOST);
    Ok(Json(
        server.running.list(&selection, from, most).await.into(),
    ))
}

pub(super) async fn show(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<SessionDetails>, Refusal> {
    let id = id_of(&id)?;
    match server.running.show(id).await {
        Some(shown) => Ok(Json(shown.into())),
        None => refuse(
            StatusCode::NOT_FOUND,
            format!("there is no session {id} (any more)"),
        ),
    }
}

pub(super) fn id_of(text: &str) -> Result<AllocationId, Refusal> {
    let id = text.parse::<AllocationId>();
    id.or_else(|flaw| refuse(StatusCode::BAD_REQUEST, flaw.to_string()))
}

pub(super) fn network(text: Option<&str>) -> Result<Option<Network>, Refusal> {
    let network = text.map(str::parse::<Network>).transpose();
    network.or_else(|_| {
        refuse(
            StatusCode::BAD_REQUEST,
            "client is an address or a network, such as 192.0.2.0/24",
        )
    })
}

fn cursor_of(text: &str) -> Result<Cursor, Refusal> {
    let parts = text.split_once('.');
    let numbers = parts.and_then(|(shard, place)| {
        Some(Cursor {
            shard: shard.parse().ok()?,
            place: place.parse().ok()?,
        })
    });
    numbers.map_or_else(
        || refuse(StatusCode::BAD_REQUEST, "cursor is the `next` of a page"),
        Ok,
    )
}

/// How many sessions a page has about, unless it says so itself.
const USUAL: usize = 100;
/// The most that it may say.
const MOST: usize = 10_000;
