//! `GET /v1/trace`: what clients do, as lines of JSON while they do it.

#![allow(unused_qualifications, reason = "what utoipa makes of a query has one")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use net::{Running, TRACES, Told, Tracing};
use relay::{Seen, Selection};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{MissedTickBehavior, interval, timeout};
use utoipa::{IntoParams, ToSchema};

use super::sessions::{chosen, id_of};
use super::stories::{What, since_epoch, thousandths};
use super::{Error, Quality, Refusal, Traffic, endless, queried, refuse};

/// A line of a trace: what does not belong to it is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Line {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// The id of the session, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The user name, as the client claims it where there is no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The transport between client and server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub client: Option<SocketAddr>,
    /// The address of the server that the client sends to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub server: Option<SocketAddr>,
    /// A control event; or `begun`, the first line; `traffic`, the data of the last second; `message`; `lost`,
    /// what was too much to be told.
    #[serde(flatten)]
    pub what: What,
    /// Why a request was refused, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Data from the client to peers, of the last second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Traffic>,
    /// Data from peers to the client, of the last second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<Traffic>,
    /// Packets that were dropped in the last second, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<String, u32>,
    /// How good the legs are, where that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The sender of the message: `client` or `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The message in Base64, with zeros for credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Lines that were not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Requests of clients that are not followed, as there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u64>,
}

/// The query: what it says applies to all that is told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The session of this id.
    session: Option<String>,
    /// Users of this realm.
    realm: Option<String>,
    /// This person: the name without realm and expiry.
    user: Option<String>,
    /// This credential: the USERNAME without the realm.
    credential: Option<String>,
    /// Clients at this address or in this network.
    client: Option<String>,
    /// Sessions with a permission for this peer, or a channel to it.
    #[param(value_type = Option<String>)]
    peer: Option<IpAddr>,
    /// Tell messages, too.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    messages: bool,
}

/// The route of traces.
pub fn router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/v1/trace", get(trace))
        .with_state(running)
}

/// The actions of clients as they happen: lines of JSON without end.
#[utoipa::path(get, operation_id = "trace", path = "/v1/trace", tag = "sessions", params(Wanted), responses((status = 200, description = "Each line.", body = Line, content_type = "application/jsonl"), (status = 400, description = "A parameter is none, or nobody is named.", body = Error), (status = 503, description = "As many traces go on as there may be, or the server ends.", body = Error)))]
pub(super) async fn trace(
    State(running): State<Arc<Running>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Refusal> {
    let wanted = queried(wanted)?;
    let selection = Selection {
        id: wanted.session.as_deref().map(id_of).transpose()?,
        ..chosen(
            [&wanted.realm, &wanted.user, &wanted.credential],
            wanted.client.as_deref(),
            wanted.peer,
        )?
    };
    if selection == Selection::default() {
        return refuse(StatusCode::BAD_REQUEST, UNNAMED);
    }
    let Some(tracing) = running.trace(&selection, wanted.messages).await else {
        let sentence = format!("{TRACES} traces are going on, and no more may: end one");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, sentence);
    };
    let (lines, parts) = channel(LINES);
    tokio::spawn(pump(tracing, lines));
    Ok(endless("application/jsonl", "\n", parts))
}

/// Passes on what is told, until the reader goes or reads nothing for a minute.
async fn pump(mut tracing: Tracing, lines: Sender<Bytes>) {
    let mut next = Some(bare("begun"));
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        if let Some(line) = next.take() {
            let Ok(mut text) = serde_json::to_vec(&line) else {
                return;
            };
            text.push(b'\n');
            if !matches!(timeout(PATIENCE, lines.send(text.into())).await, Ok(Ok(()))) {
                return;
            }
        }
        next = tokio::select! {
            () = lines.closed() => return,
            told = tracing.next() => match told {
                Some(told) => Some(Line::from(told)),
                None => return,
            },
            _ = second.tick() => match tracing.take_lost() {
                0 => None,
                lost => Some(Line {
                    lines: Some(lost),
                    ..bare("lost")
                }),
            },
        };
    }
}

/// A line about the trace itself.
fn bare(event: &str) -> Line {
    Line {
        at: since_epoch(Duration::ZERO),
        what: What {
            event: event.to_owned(),
            ..What::default()
        },
        ..Line::default()
    }
}

impl From<Told> for Line {
    fn from(Told { at, traced }: Told) -> Self {
        let client = traced.client;
        let line = Self {
            at: thousandths(at),
            session: traced.allocation.map(|id| id.to_string()),
            user: traced.user.map(String::from),
            transport: client.map(|client| client.transport.name().to_owned()),
            client: client.map(|client| client.client),
            ..Self::default()
        };
        let named = |event: &str| What {
            event: event.to_owned(),
            ..What::default()
        };
        match traced.what {
            Seen::Event { event, reason } => Self {
                what: event.into(),
                reason: reason.map(String::from),
                ..line
            },
            Seen::Second {
                sent,
                received,
                drops,
                quality,
            } => Self {
                what: named("traffic"),
                sent: Some(sent.into()),
                received: Some(received.into()),
                drops: (drops.into_iter())
                    .map(|(why, count)| (why.name().to_owned(), count))
                    .collect(),
                quality: quality.map(|quality| (*quality).into()),
                ..line
            },
            Seen::Message { from_client, bytes } => Self {
                what: named("message"),
                server: client.map(|client| client.server),
                from: Some(if from_client { "client" } else { "server" }.to_owned()),
                bytes: Some(STANDARD.encode(bytes)),
                ..line
            },
            Seen::Lost { told, clients } => Self {
                what: named("lost"),
                lines: (told > 0).then_some(told.into()),
                clients: (clients > 0).then_some(clients.into()),
                ..line
            },
        }
    }
}

/// Lines that wait for their reader at most, beside those that wait in the trace.
const LINES: usize = 64;
/// How long a reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const UNNAMED: &str = "say who is traced: user, session, client, peer, credential or realm";
