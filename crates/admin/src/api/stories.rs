//! Stories: the last control events of sessions, also of those that ended or were refused just now.

#![allow(unused_qualifications, reason = "what utoipa makes of a query has one")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use relay::{Event, Standing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sessions::chosen;
use super::{Error, Refusal, Server, SessionDetails, queried};

/// Sessions that ended and clients that were refused in the last quarter of an hour: 256 sessions and as many clients of each
/// standing in a shard, and of one user or network no more than 32.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Stories {
    /// Sessions that ended, the newest last.
    pub ended: Vec<SessionDetails>,
    /// Clients without a session that were refused, the newest last.
    pub failed: Vec<Failed>,
    /// Shards that did not answer in time: their stories are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_shards: Vec<usize>,
}

/// A client without a session that was refused.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Failed {
    /// The client's address.
    #[schema(value_type = String)]
    pub client: SocketAddr,
    /// The transport between client and server.
    pub transport: String,
    /// The realm of the user, or that of the listener.
    pub realm: String,
    /// The USERNAME as the client claims it, if it claims one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How much is known of the client: `claimed`, as anybody can send such a datagram in the name of any
    /// address; `seen`, as the address is its own; `signed`, as it is the user that it names.
    pub standing: String,
    /// The refusals, oldest first.
    pub story: Vec<Happened>,
}

/// How a session ended.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ending {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// Why, by the name in the log.
    pub cause: String,
}

/// A control event, and when it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Happened {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// The event.
    #[serde(flatten)]
    pub what: What,
}

/// A control event: what does not belong to it is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct What {
    /// `granted`, `refused` or `unanswered`, of a request; `permission-over`, `channel-over`, `icmp`, `moved`,
    /// `away`, `peer-connected`, `family-over`, `ended`.
    pub event: String,
    /// The method of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Why, by the name in logs and metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The lifetime granted, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u32>,
    /// The channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// The peer: an address, with its port where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// How many more peers the request names.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_peers: u8,
    /// How many times, since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u16>,
    /// Type and code of an ICMP error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<[u8; 2]>,
    /// Where the client has moved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub moved_to: Option<SocketAddr>,
    /// The family that ended: 4 or 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// The query.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Stories of users of this realm.
    realm: Option<String>,
    /// Stories of this person: the name without realm and expiry.
    user: Option<String>,
    /// Stories of this credential: the USERNAME without the realm.
    credential: Option<String>,
    /// Stories of clients at this address or in this network.
    client: Option<String>,
    /// Stories of sessions with a permission for this peer, or a channel to it.
    #[param(value_type = Option<String>)]
    peer: Option<IpAddr>,
}

/// Sessions that ended and clients that were refused in the last quarter of an hour.
#[utoipa::path(get, operation_id = "list_stories", path = "/v1/stories", tag = "sessions", params(Filter), responses((status = 200, body = Stories), (status = 400, description = "A parameter is none.", body = Error)))]
pub(super) async fn list(
    State(server): Server,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Stories>, Refusal> {
    let filter = queried(filter)?;
    let selection = chosen(
        [&filter.realm, &filter.user, &filter.credential],
        filter.client.as_deref(),
        filter.peer,
    )?;
    let lately = server.running.lately(selection).await;
    Ok(Json(Stories {
        ended: lately.ended.into_iter().map(Into::into).collect(),
        failed: lately.failed.into_iter().map(Into::into).collect(),
        silent_shards: lately.silent,
    }))
}

impl From<relay::Failed> for Failed {
    fn from(failed: relay::Failed) -> Self {
        let standing = match failed.standing {
            Standing::Claimed => "claimed",
            Standing::Seen => "seen",
            Standing::Signed => "signed",
        };
        Self {
            client: failed.client.client,
            transport: failed.client.transport.name().to_owned(),
            realm: failed.realm.to_string(),
            user: failed.user.map(String::from),
            standing: standing.to_owned(),
            story: story(failed.story),
        }
    }
}

/// A story, by the clock.
pub(super) fn story(story: Vec<relay::Happened>) -> Vec<Happened> {
    let events = story
        .into_iter()
        .map(|relay::Happened { ago, event }| Happened {
            at: since_epoch(ago),
            what: event.into(),
        });
    events.collect()
}

/// A moment so long ago, in seconds since the Unix epoch.
pub(super) fn since_epoch(ago: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    thousandths(now.unwrap_or_default().saturating_sub(ago))
}

/// Seconds, to the millisecond.
pub(super) fn thousandths(since_epoch: Duration) -> f64 {
    since_epoch.as_millis() as f64 / 1000.0
}

impl From<Event> for What {
    fn from(event: Event) -> Self {
        let what = Self {
            event: event.name().to_owned(),
            ..Self::default()
        };
        match event {
            Event::Granted {
                method,
                lifetime,
                channel,
                peer,
                more,
            } => Self {
                method: Some(method.name().to_owned()),
                lifetime,
                channel: channel.map(|channel| channel.get()),
                peer: peer.map(|peer| peer_of(method, peer)),
                more_peers: more,
                ..what
            },
            Event::Refused {
                method,
                refusal,
                peer,
                signed: _,
                times,
            } => Self {
                method: Some(method.name().to_owned()),
                code: Some(refusal.code()),
                cause: Some(refusal.cause().to_owned()),
                peer: peer.map(|peer| peer_of(method, peer)),
                times: (times > 1).then_some(times),
                ..what
            },
            Event::PermissionOver { peer, denied } => Self {
                peer: Some(peer.to_string()),
                cause: Some(over(denied)),
                ..what
            },
            Event::ChannelOver {
                channel,
                peer,
                denied,
            } => Self {
                channel: Some(channel.get()),
                peer: Some(peer.to_string()),
                cause: Some(over(denied)),
                ..what
            },
            Event::Icmp {
                peer,
                kind,
                code,
                times,
            } => Self {
                peer: Some(peer.to_string()),
                icmp: Some([kind, code]),
                times: (times > 1).then_some(times),
                ..what
            },
            Event::Moved { client, .. } => Self {
                moved_to: Some(client),
                ..what
            },
            Event::Away => what,
            Event::PeerConnected { peer } => Self {
                peer: Some(peer.to_string()),
                ..what
            },
            Event::FamilyOver { family, cause } => Self {
                family: Some(match family {
                    relay::AddressFamily::V4 => 4,
                    relay::AddressFamily::V6 => 6,
                }),
                cause: Some(cause.name().to_owned()),
                ..what
            },
            Event::Ended { cause } => Self {
                cause: Some(cause.name().to_owned()),
                ..what
            },
            Event::Unanswered { method, why } => Self {
                method: Some(method.name().to_owned()),
                cause: Some(why.name().to_owned()),
                ..what
            },
        }
    }
}

/// A permission is for every port of a peer.
fn peer_of(method: relay::Method, peer: SocketAddr) -> String {
    if method == relay::Method::CreatePermission {
        peer.ip().to_string()
    } else {
        peer.to_string()
    }
}

/// Why a permission or a channel is over.
fn over(denied: bool) -> String {
    if denied { "peer-denied" } else { "expired" }.to_owned()
}
