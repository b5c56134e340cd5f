//! The log: one line per event, with stable names. Client addresses stay out of it unless the
//! operator asks for them; passwords and keys are never logged.

mod refusals;
mod reporter;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use crate::config::{Format, Level, Log};

pub(crate) use reporter::Reporter;

/// Sends the log to standard error from now on, until the writer is dropped.
pub(crate) fn init(log: &Log) -> Writer {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let lost = lines.error_counter();
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        // A line that cannot be written is lost; a complaint on the same stream would panic.
        .log_internal_errors(false)
        .with_writer(lines);
    match log.format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
    Writer {
        lost,
        _guard: guard,
    }
}

/// Writes the log on a thread of its own, so that a reader that is slow or gone does not stop a
/// shard.
pub(crate) struct Writer {
    lost: ErrorCounter,
    _guard: WorkerGuard,
}

impl Writer {
    /// How many lines were lost because the reader was too slow.
    pub(crate) fn lost_lines(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// Lines that wait for a slow reader; more than these are lost.
const WAITING_LINES: usize = 8 * 1024;
