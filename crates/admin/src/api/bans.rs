//! Bans of networks that kept failing to authenticate.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use ipnet::IpNet;
use net::Running;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Error, Refusal, refuse};

/// The routes, and the hearer of each ban that is lifted.
pub fn router(
    running: Arc<Running>,
    lifted: impl Fn(&relay::Ban) + Send + Sync + 'static,
) -> Router {
    let handles = Handles {
        running,
        lifted: Box::new(lifted),
    };
    Router::new()
        .route("/v1/bans", get(list))
        // A prefix has a slash in it.
        .route("/v1/bans/{*prefix}", delete(lift))
        .with_state(Arc::new(handles))
}

pub(super) struct Handles {
    running: Arc<Running>,
    lifted: Box<dyn Fn(&relay::Ban) + Send + Sync>,
}

/// The bans that are in force, in the order of the addresses.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Bans {
    /// All of them.
    pub bans: Vec<Ban>,
}

/// A network that is banned.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Ban {
    /// The network: an IPv4 /24 or an IPv6 /48.
    pub prefix: String,
    /// How many failures led to it.
    pub failures: u32,
    /// How long ago it began, in seconds.
    pub age: u64,
    /// How long it lasts yet, in seconds.
    pub left: u64,
}

/// How many bans were lifted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Lifted {
    /// So many.
    pub lifted: usize,
}

/// The networks that are banned.
#[utoipa::path(get, operation_id = "list_bans", path = "/v1/bans", tag = "bans", responses((status = 200, body = Bans)))]
pub(super) async fn list(State(handles): State<Arc<Handles>>) -> Json<Bans> {
    let now = Instant::now();
    let bans = handles.running.bans().list(now).into_iter();
    let shown = bans.map(|ban| Ban {
        prefix: ban.prefix.to_string(),
        failures: ban.failures,
        age: now.saturating_duration_since(ban.since).as_secs(),
        left: ban.until.saturating_duration_since(now).as_secs(),
    });
    Json(Bans {
        bans: shown.collect(),
    })
}

/// Lifts the bans in a network, or the one that an address is in.
#[utoipa::path(delete, operation_id = "lift_bans", path = "/v1/bans/{prefix}", tag = "bans", params(("prefix" = String, Path, description = "The network, or an address in it.", example = "192.0.2.0/24")), responses((status = 200, body = Lifted), (status = 400, description = "It is none.", body = Error), (status = 404, description = "Nobody there is banned (any more).", body = Error)))]
pub(super) async fn lift(
    State(handles): State<Arc<Handles>>,
    Path(prefix): Path<String>,
) -> Result<Json<Lifted>, Refusal> {
    let network = prefix.parse::<IpNet>().ok();
    let Some(network) =
        network.or_else(|| Some(prefix.parse::<IpAddr>().ok()?.to_canonical().into()))
    else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "a ban is named by its network, such as 192.0.2.0/24, or by an address in it",
        );
    };
    let lifted = handles.running.bans().lift(network);
    if lifted.is_empty() {
        return refuse(
            StatusCode::NOT_FOUND,
            format!("nobody in {network} is banned (any more)"),
        );
    }
    lifted.iter().for_each(&handles.lifted);
    Ok(Json(Lifted {
        lifted: lifted.len(),
    }))
}
