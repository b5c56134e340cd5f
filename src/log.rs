//! The log: one line per event, with stable names. Client addresses stay out of it unless the
//! operator asks for them; passwords and keys are never logged.

mod front;
mod journal;
mod json;
mod reporter;
mod thinned;
mod tls;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Format, Level, Log, Remarks};

use journal::{Entry, Journal};
pub(crate) use reporter::Reporter;
pub(crate) use thinned::Thinned;
pub(crate) use tls::TlsReporter;

/// Sends the log to standard error, or to the journal, from now on, until the writer is dropped.
pub(crate) fn init(log: &Log) -> Writer {
    let levels = Levels {
        configured: log.level,
        wanted: None,
    };
    let (filter, level) = reload::Layer::new(filter(levels.in_force()));
    let builder = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log");
    let journal = match log.format {
        Format::Auto => Journal::of_stderr(),
        Format::Journal => Journal::here(),
        Format::Text | Format::Json => None,
    };
    let is_journal = journal.is_some();
    let (lines, guard) = match journal {
        Some(journal) => builder.finish(journal),
        None => builder.finish(std::io::stderr()),
    };
    let lost = lines.error_counter();
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        // A line that cannot be written is lost; a complaint on the same stream would panic.
        .log_internal_errors(false)
        .with_writer(lines);
    let log_of = tracing_subscriber::registry().with(filter);
    match log.format {
        Format::Json => log_of.with(lines.event_format(json::Line)).init(),
        Format::Auto | Format::Journal if is_journal => {
            let entries = lines.event_format(Entry).fmt_fields(fields());
            log_of.with(entries).init();
        }
        Format::Auto | Format::Journal | Format::Text => {
            log_of.with(lines.fmt_fields(fields())).init();
        }
    }
    if log.format == Format::Journal && !is_journal {
        warn!(
            "log.no-journal: this host has no journal (key `format` in [log]), so lines are text"
        );
    }
    Writer {
        level,
        levels: Mutex::new(levels),
        changed: Notify::new(),
        lost,
        _guard: guard,
    }
}

/// Logs what is said about files, a line each.
pub(crate) fn say(remarks: &Remarks) {
    for line in remarks.lines() {
        let (place, help) = (line.place, line.help);
        if line.is_fault {
            error!(place, help, "configuration.fault: {}", line.sentence);
        } else {
            warn!(place, help, "configuration.caution: {}", line.sentence);
        }
    }
}

/// The fields of a line as `key=value`. A value with blanks is quoted: whoever splits a line at
/// blanks has all of it, and no value looks like another field. Nothing breaks a line: a sentence may
/// have the name of a user in it, and who chooses that must not choose lines for fail2ban.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let field = debug_fn(|line, field, value| {
        let text = format!("{value:?}");
        let is_message = field.name() == "message";
        if !is_message {
            write!(line, "{field}=")?;
        }
        let is_one = is_message || text.starts_with('"') || !text.contains(char::is_whitespace);
        if is_one && !text.contains(char::is_control) {
            write!(line, "{text}")
        } else {
            write!(line, "{text:?}")
        }
    });
    field.delimited(" ")
}

/// The name of an event and its sentence, either of which may be missing: events of libraries have no name.
fn split(text: &str) -> (Option<&str>, &str) {
    let (name, sentence) = text.split_once(": ").unwrap_or((text, ""));
    if name.contains('.') && !name.contains(char::is_whitespace) {
        (Some(name), sentence)
    } else {
        (None, text)
    }
}

fn filter(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // The library for DTLS logs what strangers send, a line for each.
    let silent = ("dimpl", LevelFilter::OFF);
    Targets::new().with_default(level).with_targets([silent])
}

/// Writes the log on a thread of its own, so that a reader that is slow or gone does not stop a
/// shard.
pub(crate) struct Writer {
    level: reload::Handle<Targets, Registry>,
    levels: Mutex<Levels>,
    changed: Notify,
    lost: ErrorCounter,
    _guard: WorkerGuard,
}

/// The levels by which lines are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) configured: Level,
    /// The level that the operator wants in place of it, and until when.
    pub(crate) wanted: Option<(Level, Option<Instant>)>,
}

impl Levels {
    /// The one that holds.
    pub(crate) fn in_force(self) -> Level {
        self.wanted.map_or(self.configured, |(level, _)| level)
    }
}

impl Writer {
    /// From now on these lines are logged, unless the operator wants others.
    pub(crate) fn set_level(&self, level: Level) {
        self.change(|levels| levels.configured = level);
    }

    /// The operator wants these lines, until then; or no others than the configuration.
    pub(crate) fn want(&self, wanted: Option<(Level, Option<Instant>)>) {
        self.change(|levels| levels.wanted = wanted);
        self.changed.notify_one();
    }

    pub(crate) fn levels(&self) -> Levels {
        *self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the operator wants other lines.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Levels)) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut levels);
        // It fails where there is no log any more.
        let _ = self.level.reload(filter(levels.in_force()));
    }

    /// How many lines were lost because the reader was too slow.
    pub(crate) fn lost_lines(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// Lines that wait for a slow reader; more than these are lost.
const WAITING_LINES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::info;

    use super::*;

    #[derive(Clone, Default)]
    pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        /// All that was written.
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// All that is written of what is said.
    pub(super) fn written(said: impl FnOnce()) -> String {
        let lines = Lines::default();
        let out = lines.clone();
        let log = fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(fields())
            .with_writer(move || out.clone());
        tracing::subscriber::with_default(log.finish(), said);
        lines.text()
    }

    #[test]
    fn a_value_with_blanks_is_quoted_and_splits_into_no_two() {
        let written = written(|| {
            let (reason, address) = ("no user has this name", "192.0.2.7:3478");
            info!(code = 401, %reason, %address, user = "a \"b\" c=d", "request.refused");
            let forged = "x\nINFO forged";
            info!(reason = %forged, nobody = None::<&str>, "a line of words");
        });
        let expected = " INFO request.refused code=401 reason=\"no user has this name\" \
                        address=192.0.2.7:3478 user=\"a \\\"b\\\" c=d\"\n \
                        INFO a line of words reason=\"x\\nINFO forged\"\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn no_name_in_a_sentence_or_value_makes_a_line_of_its_own() {
        let name = "\"x\n WARN auth.failed client=192.0.2.7:1 transport=udp\r\x1b[1m\u{85}";
        let written = written(|| {
            error!("`{name}` is a whole number");
            error!(%name, "a line");
        });
        assert_eq!(written.lines().count(), 2);
        assert!(!written.contains(['\r', '\x1b', '\u{85}']), "{written:?}");
        let escaped = r#"\"x\n WARN auth.failed client=192.0.2.7:1 transport=udp\r\u{1b}[1m\u{85}"#;
        assert_eq!(written.matches(escaped).count(), 2, "{written}");
    }
}
