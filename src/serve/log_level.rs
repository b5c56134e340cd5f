//! The level of the log, as the operator sets it at the running server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::api::log_level::{Level, Log, LogLevel, Wanted};
use tokio::time::sleep_until;
use tracing::info;

use super::control::Control;
use crate::config;
use crate::log::Writer;

/// The log, for the API.
pub(super) fn of(control: &Arc<Control>) -> Log {
    let (says, sets) = (Arc::clone(control), Arc::clone(control));
    Log {
        level: Arc::new(move || level(&says.log)),
        set: Arc::new(move |wanted| set(&sets.log, wanted)),
    }
}

/// Takes another level back when its time is over.
pub(super) async fn fall_back(control: Arc<Control>) {
    let log = &control.log;
    loop {
        match log.levels().wanted.and_then(|(_, until)| until) {
            Some(until) => tokio::select! {
                () = sleep_until(until.into()) => set(log, None),
                () = log.changed() => {}
            },
            None => log.changed().await,
        }
    }
}

fn level(log: &Writer) -> LogLevel {
    let levels = log.levels();
    let until = levels.wanted.and_then(|(_, until)| until);
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    LogLevel {
        level: shown(levels.in_force()),
        configured: shown(levels.configured),
        left: left.map(|left| left.as_secs_f64().ceil() as u64),
    }
}

fn set(log: &Writer, wanted: Option<Wanted>) {
    let before = log.levels();
    let until = |time: Duration| Instant::now() + time;
    let other = wanted.map(|(level, time)| (meant(level), time.map(until)));
    let level = other.map_or(before.configured, |(level, _)| level);
    let seconds = wanted.and_then(|(_, time)| time).map(|time| time.as_secs());
    // Not `level`, which each line of JSON has already.
    let to = format!("{:?}", shown(level)).to_lowercase();
    let say = || info!(to, seconds, "log.level: by the operator");
    // Whichever of both levels has it, the log has the line about this.
    if level > before.in_force() {
        log.want(other);
        say();
    } else {
        say();
        log.want(other);
    }
}

fn shown(level: config::Level) -> Level {
    match level {
        config::Level::Error => Level::Error,
        config::Level::Warn => Level::Warn,
        config::Level::Info => Level::Info,
        config::Level::Debug => Level::Debug,
        config::Level::Trace => Level::Trace,
    }
}

fn meant(level: Level) -> config::Level {
    match level {
        Level::Error => config::Level::Error,
        Level::Warn => config::Level::Warn,
        Level::Info => config::Level::Info,
        Level::Debug => config::Level::Debug,
        Level::Trace => config::Level::Trace,
    }
}
