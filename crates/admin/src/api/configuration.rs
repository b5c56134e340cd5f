//! The configuration in force.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The configuration in force, without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// Where it comes from: the file, and the variables that count beside it.
    pub source: String,
    /// The keys whose new value waits for a restart, and which have their old one here.
    pub needs_restart: Vec<String>,
    /// Since when the file has faults, in seconds since the Unix epoch, if it had some when it was read last: what
    /// is in force is the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// The values by table and key, as the file has them, or as they are without it. Each secret is `***`.
    #[schema(value_type = Object)]
    pub values: Map<String, Value>,
}

/// Says the configuration in force.
pub type InForce = Arc<dyn Fn() -> Arc<Configuration> + Send + Sync>;

/// `/v1/config`.
pub fn router(configuration: InForce) -> Router {
    Router::new()
        .route("/v1/config", get(show))
        .with_state(configuration)
}

/// The configuration in force, without its secrets.
#[utoipa::path(get, operation_id = "show_configuration", path = "/v1/config", tag = "configuration", responses((status = 200, body = Configuration)))]
pub(super) async fn show(State(configuration): State<InForce>) -> Json<Arc<Configuration>> {
    Json(configuration())
}
