//! Sessions: lists by pages, and all about one.

#![allow(unused_qualifications, reason = "what utoipa makes of a query has one")]

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use net::Cursor;
use relay::policy::Network;
use relay::{AllocationId, Selection};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Error, Refusal, Server, SessionDetails, Sessions, queried, refuse};

/// The query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Those of users of this realm.
    realm: Option<String>,
    /// Those of this person: the name without realm and expiry.
    user: Option<String>,
    /// Those of this credential: the USERNAME without the realm.
    credential: Option<String>,
    /// Those of clients at this address or in this network.
    client: Option<String>,
    /// Those with a permission for this peer, or a channel to it.
    #[param(value_type = Option<String>)]
    peer: Option<IpAddr>,
    /// Those of which a leg is bad now.
    bad: Option<bool>,
    /// Those that have lived so many seconds at least.
    // No format: `int64` would promise a bound that is none here.
    #[param(value_type = Option<usize>)]
    min_age: Option<u64>,
    /// Those that have relayed so many bytes of data at least, both ways together.
    #[param(value_type = Option<usize>)]
    min_bytes: Option<u64>,
    /// About so many, 10,000 at most; 100 unless it says so.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// Some of the sessions, a page at a time.
#[utoipa::path(get, operation_id = "list_sessions", path = "/v1/sessions", tag = "sessions", params(Filter), responses((status = 200, body = Sessions), (status = 400, description = "A parameter is none.", body = Error)))]
pub(super) async fn list(
    State(server): Server,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Sessions>, Refusal> {
    let filter = queried(filter)?;
    let selection = Selection {
        bad: filter.bad.unwrap_or(false),
        min_age: Duration::from_secs(filter.min_age.unwrap_or(0)),
        min_bytes: filter.min_bytes.unwrap_or(0),
        ..chosen(
            [&filter.realm, &filter.user, &filter.credential],
            filter.client.as_deref(),
            filter.peer,
        )?
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

/// All about one session.
#[utoipa::path(get, operation_id = "show_session", path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The id, as a list and the log have it.", example = "0.be76a450")), responses((status = 200, body = SessionDetails), (status = 400, description = "A parameter is none.", body = Error), (status = 404, description = "There is none (any more).", body = Error)))]
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
    id.or_else(|_| {
        let sentence = format!(
            "`{}` is no session id; one looks like 0.be76a450, and a list of the sessions and the log have it",
            text.escape_debug()
        );
        refuse(StatusCode::BAD_REQUEST, sentence)
    })
}

/// The sessions to which all of this applies, as far as it is said: these names of their user, a client at this address or in
/// this network, and a permission for this peer or a channel to it.
pub(super) fn chosen(
    names: [&Option<String>; 3],
    client: Option<&str>,
    peer: Option<IpAddr>,
) -> Result<Selection, Refusal> {
    let [realm, user, credential] = names.map(|name| name.as_deref().map(Into::into));
    Ok(Selection {
        realm,
        user,
        credential,
        client: network(client)?,
        peer,
        ..Selection::default()
    })
}

fn network(text: Option<&str>) -> Result<Option<Network>, Refusal> {
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
