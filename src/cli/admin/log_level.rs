//! `hairpin log-level`: how much the running server logs.

use std::process::ExitCode;
use std::time::Duration;

use admin::api::log_level::{Level, LogLevel, OtherLevel};
use clap::{Args, ValueEnum};
use hyper::Method;

use super::{Asking, span};
use crate::cli::Failure;

/// Show or set the log level of the running server.
///
/// The level that is set here replaces `[log] level`, also after a reload, until you undo
/// it, its time is over, or the server ends.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct ShowLogLevel {
    /// The level from now on; without one the level is shown.
    #[arg(value_name = "LEVEL", conflicts_with = "undo")]
    level: Option<Named>,

    /// Only for so long, such as 10m.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "level")]
    time: Option<Duration>,

    /// Go back to the level of the configuration.
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    asking: Asking,
}

/// The levels, as the command line has them.
#[derive(Clone, Copy, ValueEnum)]
enum Named {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl ShowLogLevel {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let path = "/v1/log-level";
        if let Some(level) = self.level {
            let seconds = self.time.map(|time| time.as_secs());
            let other = OtherLevel {
                level: level.into(),
                seconds: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
            };
            self.asking.run(Method::PUT, path, &other, words)?;
        } else if self.undo {
            self.asking.run(Method::DELETE, path, &(), words)?;
        } else {
            self.asking.run(Method::GET, path, &(), words)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn words(level: LogLevel) -> String {
    let LogLevel {
        level,
        configured,
        left,
    } = level;
    let (level, configured) = (name(level), name(configured));
    match left {
        Some(left) => format!("{level} for {}, then {configured}\n", span(left)),
        None if level == configured => format!("{level}\n"),
        None => format!("{level} in place of {configured}\n"),
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

impl From<Named> for Level {
    fn from(named: Named) -> Self {
        match named {
            Named::Error => Self::Error,
            Named::Warn => Self::Warn,
            Named::Info => Self::Info,
            Named::Debug => Self::Debug,
            Named::Trace => Self::Trace,
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin log-level
  hairpin log-level debug --for 10m
  hairpin log-level --undo";
