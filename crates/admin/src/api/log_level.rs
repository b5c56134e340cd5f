//! The level of the log: raised for a while by the operator, and lowered again by itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::Object;
use super::{Error, Refusal, refuse};

/// How important a line has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what the operator has to mend.
    Error,
    /// Also what may have to be mended.
    Warn,
    /// Also what happens.
    Info,
    /// Also how it happens, with lines of libraries.
    Debug,
    /// Also each packet.
    Trace,
}

/// The level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLevel {
    /// The level in force.
    pub level: Level,
    /// That of the configuration.
    pub configured: Level,
    /// How long until that of the configuration is in force again, in seconds, if the operator has said so.
    pub left: Option<u64>,
}

/// Another level, in place of that of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherLevel {
    /// The level.
    pub level: Level,
    /// For so many seconds, a week at most; without it until it is taken back, or the server ends.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// The log, as far as its level goes.
#[derive(Clone)]
pub struct Log {
    /// Says the level.
    pub level: Arc<dyn Fn() -> LogLevel + Send + Sync>,
    /// Sets another level, for so long; or takes it back.
    pub set: Arc<dyn Fn(Option<Wanted>) + Send + Sync>,
}

/// A level, and for how long; without a time until it is taken back.
pub type Wanted = (Level, Option<Duration>);

/// `/v1/log-level`.
pub fn router(log: Log) -> Router {
    Router::new()
        .route("/v1/log-level", get(show).put(set).delete(take_back))
        .with_state(log)
}

/// The level of the log.
#[utoipa::path(get, operation_id = "show_log_level", path = "/v1/log-level", tag = "log", responses((status = 200, body = LogLevel)))]
pub(super) async fn show(State(log): State<Log>) -> Json<LogLevel> {
    Json((log.level)())
}

/// Another level, for a while or until it is taken back.
#[utoipa::path(put, operation_id = "set_log_level", path = "/v1/log-level", tag = "log", request_body = OtherLevel, responses((status = 200, body = LogLevel), (status = 400, description = "A parameter is none.", body = Error), (status = 413, description = "The body is longer than 16 KiB.", body = Error), (status = 415, description = "The body is not said to be JSON.", body = Error), (status = 422, description = "The body does not say it right.", body = Error)))]
pub(super) async fn set(
    State(log): State<Log>,
    wanted: Result<Json<Object<OtherLevel>>, JsonRejection>,
) -> Result<Json<LogLevel>, Refusal> {
    let Json(Object(OtherLevel { level, seconds })) =
        wanted.or_else(|flaw| refuse(flaw.status(), flaw.body_text()))?;
    if seconds.is_some_and(|seconds| !(1..=WEEK).contains(&seconds)) {
        let sentence = "`for` is a number of seconds, from 1 to 604800, which is a week";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, sentence);
    }
    let time = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    (log.set)(Some((level, time)));
    Ok(Json((log.level)()))
}

/// The level of the configuration again.
#[utoipa::path(delete, operation_id = "take_back_log_level", path = "/v1/log-level", tag = "log", responses((status = 200, body = LogLevel)))]
pub(super) async fn take_back(State(log): State<Log>) -> Json<LogLevel> {
    (log.set)(None);
    Json((log.level)())
}

const WEEK: u32 = 7 * 24 * 60 * 60;
