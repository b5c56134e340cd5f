//! The journal of systemd as the place of the log: each event with its priority and its fields, so that
//! `journalctl HAIRPIN_ALLOCATION=…` finds them. <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>
//!
//! tracing-journald writes from the thread that logs, and waits where journald is slow; a shard must not.
//! So events are text here like any other, and the writer's thread sends each as a datagram.

use std::env;
use std::fmt::{self, Debug};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Sends each line to journald.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// The journal, if this host has one.
    pub(super) fn here() -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        Path::new(SOCKET).exists().then_some(Self(socket))
    }

    /// The journal, if standard error leads to it: then systemd has named that very stream.
    pub(super) fn of_stderr() -> Option<Self> {
        let named = env::var("JOURNAL_STREAM").ok()?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
        let own = stderr.metadata().ok()?;
        let is_own = named == format!("{}:{}", own.dev(), own.ino());
        is_own.then(Self::here).flatten()
    }
}

impl Write for Journal {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // By its name each time: journald may be started anew.
        self.0.send_to(event, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes an event as journald takes it: a line for each field. MESSAGE is the line that other formats
/// have, without time and level.
pub(super) struct Entry;

impl<S, N> FormatEvent<S, N> for Entry
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = priority(*event.metadata().level());
        write!(
            to,
            "PRIORITY={priority}\nSYSLOG_IDENTIFIER=hairpin\nMESSAGE="
        )?;
        context.format_fields(to.by_ref(), event)?;
        to.write_char('\n')?;
        let mut fields = Fields(to, Ok(()));
        event.record(&mut fields);
        fields.1
    }
}

/// The priorities of syslog(3).
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Writes fields, each with a name of ours.
struct Fields<'w>(Writer<'w>, fmt::Result);

impl Fields<'_> {
    fn put(&mut self, name: &str, value: &str) {
        if self.1.is_ok() {
            self.1 = self.write(name, value);
        }
    }

    /// Journald takes capital letters, digits and underscores. A value is one line: where a
    /// client chose it, it must not go on as another field.
    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        self.0.write_str("HAIRPIN_")?;
        for letter in name.chars() {
            let is_taken = letter.is_ascii_alphanumeric();
            let letter = if is_taken {
                letter.to_ascii_uppercase()
            } else {
                '_'
            };
            self.0.write_char(letter)?;
        }
        self.0.write_char('=')?;
        for letter in value.chars() {
            if letter.is_control() {
                write!(self.0, "{}", letter.escape_debug())?;
            } else {
                self.0.write_char(letter)?;
            }
        }
        self.0.write_char('\n')
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() != "message" {
            return self.put(field.name(), &text);
        }
        if let (Some(name), _) = super::split(&text) {
            self.put("event", name);
        }
    }
}

const SOCKET: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, warn};
    use tracing_subscriber::fmt as lines;

    use super::*;

    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<u8>>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sent(said: impl FnOnce()) -> String {
        let sent = Sent::default();
        let to = sent.clone();
        let log = lines()
            .event_format(Entry)
            .fmt_fields(super::super::fields())
            .with_writer(move || to.clone());
        tracing::subscriber::with_default(log.finish(), said);
        String::from_utf8(sent.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_has_its_priority_its_line_and_its_fields() {
        let sent = sent(|| {
            let address = std::net::Ipv4Addr::LOCALHOST;
            let none = None::<&str>;
            warn!(%address, code = 401, user = "a \"b\"", none, "cat.fed: it: ate");
        });
        let expected = "PRIORITY=4\nSYSLOG_IDENTIFIER=hairpin\n\
             MESSAGE=cat.fed: it: ate address=127.0.0.1 code=401 user=\"a \\\"b\\\"\"\n\
             HAIRPIN_EVENT=cat.fed\nHAIRPIN_ADDRESS=127.0.0.1\nHAIRPIN_CODE=401\nHAIRPIN_USER=a \"b\"\n";
        assert_eq!(sent, expected);
    }

    #[test]
    fn no_value_and_no_sentence_makes_a_field_of_its_own() {
        let sent = sent(|| {
            let name = "x\nPRIORITY=0\rMESSAGE=auth.failed client=192.0.2.7:1 transport=\u{85}";
            info!(user = name, shown = %name, "cat.fed: {name}");
        });
        assert_eq!(sent.lines().count(), 6, "{sent}");
        let names = sent.lines().map(|line| line.split('=').next());
        let names: Vec<_> = names.flatten().collect();
        assert_eq!(
            names,
            [
                "PRIORITY",
                "SYSLOG_IDENTIFIER",
                "MESSAGE",
                "HAIRPIN_EVENT",
                "HAIRPIN_USER",
                "HAIRPIN_SHOWN"
            ]
        );
        assert!(!sent.contains(['\r', '\u{85}']));
    }
}
