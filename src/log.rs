//! The log: one line per event, with stable names. Client addresses stay out of it unless the
//! operator asks for them; passwords and keys are never logged.

mod refusals;
mod reporter;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Format, Level, Log};

pub(crate) use reporter::Reporter;

/// Sends the log to standard error from now on, until the writer is dropped.
pub(crate) fn init(log: &Log) -> Writer {
    let (filter, level) = reload::Layer::new(filter(log.level));
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let lost = lines.error_counter();
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        // A line that cannot be written is lost; a complaint on the same stream would panic.
        .log_internal_errors(false)
        .with_writer(lines);
    let log_of = tracing_subscriber::registry().with(filter);
    match log.format {
        Format::Text => log_of.with(lines).init(),
        Format::Json => log_of.with(lines.json().flatten_event(true)).init(),
    }
    Writer {
        level,
        lost,
        _guard: guard,
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// Writes the log on a thread of its own, so that a reader that is slow or gone does not stop a
/// shard.
pub(crate) struct Writer {
    level: reload::Handle<LevelFilter, Registry>,
    lost: ErrorCounter,
    _guard: WorkerGuard,
}

impl Writer {
    /// From now on these lines are logged.
    pub(crate) fn set_level(&self, level: Level) {
        // It fails where there is no log any more.
        let _ = self.level.reload(filter(level));
    }

    /// How many lines were lost because the reader was too slow.
    pub(crate) fn lost_lines(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// Lines that wait for a slow reader; more than these are lost.
const WAITING_LINES: usize = 8 * 1024;
