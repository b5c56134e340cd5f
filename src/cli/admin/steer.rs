//! `hairpin drain` and `hairpin reload`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, path};

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{Asking, Fault, api, span};
use crate::cli::Failure;

/// Let the running server grant no new sessions, and end after the last one.
///
/// Existing sessions go on. New clients are sent to another server by a `[[redirect]]` with
/// when = "draining", or refused. SIGUSR1 does the same. The answer says how many sessions are
/// left, of which realms, and how long they may last; `hairpin status` says so again.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  hairpin drain\n  hairpin drain --within 10m\n  hairpin drain --undo"
)]
pub(in crate::cli) struct Drain {
    /// After this time end the sessions that are left, and the server.
    #[arg(long, value_name = "DURATION", value_parser = within, conflicts_with = "undo")]
    within: Option<Duration>,

    /// Grant sessions again.
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    asking: Asking,
}

/// A time that a person may wait for.
fn within(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(within) if within <= Duration::from_secs(366 * 86_400) => Ok(within),
        Ok(_) | Err(_) => Err("expected a duration such as 90s, 10m or 2h"),
    }
}

/// Let the running server read its configuration again, and list the keys that changed.
///
/// SIGHUP does the same; this command also shows the outcome: the keys that changed, or every
/// fault of the file. A faulty file changes nothing.
#[derive(Args)]
#[command(after_long_help = "Examples:\n  hairpin reload\n  hairpin reload --dry-run")]
pub(in crate::cli) struct Reload {
    /// Change nothing, and list the keys that would change.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    asking: Asking,
}

impl Drain {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let words = |status: api::Status| match (status.draining, status.left) {
            (true, Some(left)) => draining(&left),
            (true, None) => "draining\n".to_owned(),
            (false, _) => "sessions are granted\n".to_owned(),
        };
        if self.undo {
            self.asking.run(Method::DELETE, "/v1/drain", &(), words)?;
            return Ok(ExitCode::SUCCESS);
        }
        let drain = api::Drain {
            // A second that has begun counts.
            within: self
                .within
                .map(|within| within.as_millis().div_ceil(1000) as u64),
        };
        self.asking.run(Method::POST, "/v1/drain", &drain, words)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The allocations that a server which drains waits for, in lines.
pub(super) fn draining(left: &api::Left) -> String {
    let mut text = match left.sessions {
        0 => "draining: no session is left, the server ends\n".to_owned(),
        1 => "draining: 1 session is left, and the server ends with it\n".to_owned(),
        count => {
            format!("draining: {count} sessions are left, and the server ends with the last\n")
        }
    };
    if let Some(ends) = left.ends {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let wait = ends.saturating_sub(now.unwrap_or_default().as_secs());
        let _ = writeln!(text, "in {} it ends whatever is left", span(wait));
    }
    if left.sessions > 0 {
        for (realm, count) in &left.realms {
            let _ = writeln!(text, "{count} of {}", realm.escape_debug());
        }
        let (oldest, longest) = (span(left.oldest), span(left.longest));
        let _ = writeln!(
            text,
            "the oldest has lived {oldest}; the last ends in {longest} if none is refreshed"
        );
    }
    for shard in &left.silent_shards {
        let _ = writeln!(
            text,
            "shard {shard} does not answer: its sessions are missing"
        );
    }
    text
}

impl Reload {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let reload = api::Reload {
            dry_run: self.dry_run,
        };
        self.asking
            .run(Method::POST, "/v1/reload", &reload, |reloaded| {
                changes(&reloaded)
            })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The difference between the running server's configuration and its file.
pub(in crate::cli) struct Difference(api::Reloaded);

impl Difference {
    /// Has the server say it.
    pub(in crate::cli) fn ask(asking: &Asking) -> Result<Self, Failure> {
        let reload = api::Reload { dry_run: true };
        let answer = asking.ask(Method::POST, "/v1/reload", &reload)?;
        Ok(Self(serde_json::from_value(answer).map_err(Fault::from)?))
    }

    /// The server's file, if it reads one.
    pub(in crate::cli) fn file(&self) -> Option<&Path> {
        self.0.file.as_deref().map(Path::new)
    }

    pub(in crate::cli) fn print(&self, asking: &Asking) -> Result<(), Failure> {
        asking.print(&self.0, changes)
    }
}

/// Prints the difference, if this is the server's file.
pub(in crate::cli) fn against_running(asking: &Asking, file: &Path) -> Result<(), Failure> {
    let difference = Difference::ask(asking)?;
    if !is_same(file, difference.file()) {
        return Err(Fault::OtherFile {
            named: file.to_owned(),
            own: difference.0.file,
        }
        .into());
    }
    difference.print(asking)
}

fn is_same(file: &Path, own: Option<&Path>) -> bool {
    let Some(own) = own else {
        return false;
    };
    match (fs::canonicalize(file), fs::canonicalize(own)) {
        (Ok(one), Ok(other)) => one == other,
        // This user may not look into a directory that the server reads.
        (Ok(_) | Err(_), _) => path::absolute(file).is_ok_and(|file| file == own),
    }
}

fn changes(reloaded: &api::Reloaded) -> String {
    let (changed, restart) = if reloaded.dry_run {
        ("a reload would change", "would need a restart")
    } else {
        ("changed", "needs a restart")
    };
    let mut text = match reloaded.changed.join(", ") {
        none if none.is_empty() => format!("{changed}: nothing\n"),
        keys => format!("{changed}: {keys}\n"),
    };
    if !reloaded.needs_restart.is_empty() {
        let keys = reloaded.needs_restart.join(", ");
        let _ = writeln!(text, "{restart}: {keys}");
    }
    for changed in reloaded.values.iter().take(VALUES) {
        let _ = writeln!(text, "  {}", value(changed));
    }
    if let Some(more @ 1..) = reloaded.values.len().checked_sub(VALUES) {
        let _ = writeln!(text, "  and {more} more values (--json has them)");
    }
    text
}

/// The change of a value, in a line.
fn value(api::Changed { key, from, to }: &api::Changed) -> String {
    let none = Vec::new();
    let elements = |value: &Option<Value>| match value {
        Some(Value::Array(elements)) => Some(elements.clone()),
        None => Some(none.clone()),
        Some(_) => None,
    };
    let is_list = [from, to]
        .iter()
        .any(|value| value.as_ref().is_some_and(Value::is_array));
    if is_list && let (Some(mut gone), Some(mut come)) = (elements(from), elements(to)) {
        // One that stands twice counts twice.
        gone.retain(|element| match come.iter().position(|it| it == element) {
            Some(at) => {
                come.remove(at);
                false
            }
            None => true,
        });
        let signed = |sign| move |element: &Value| format!(" {sign} {}", cut(element));
        let all: String = gone
            .iter()
            .map(signed('-'))
            .chain(come.iter().map(signed('+')))
            .collect();
        return match all.as_str() {
            "" => format!("{key}: in another order"),
            all => format!("{key}:{all}"),
        };
    }
    let [from, to] = [from, to].map(|value| value.as_ref().map_or("not written".to_owned(), cut));
    format!("{key}: {from} -> {to}")
}

/// A value as JSON, to a length that fits a line.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// How many values are told.
const VALUES: usize = 30;
/// The characters of one.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_told_by_its_elements_that_came_and_went_and_another_value_whole() {
        for (from, to, told) in [
            (Some(json!([])), Some(json!(["a"])), r#"k: + "a""#),
            (
                Some(json!(["a", "b", "b"])),
                Some(json!(["b", "c"])),
                r#"k: - "a" - "b" + "c""#,
            ),
            (
                Some(json!([1, 2])),
                Some(json!([2, 1])),
                "k: in another order",
            ),
            (None, Some(json!([{ "a": 1 }])), r#"k: + {"a":1}"#),
            (Some(json!("1h")), Some(json!("2h")), r#"k: "1h" -> "2h""#),
            (Some(json!(1)), None, "k: 1 -> not written"),
        ] {
            let key = "k".to_owned();
            assert_eq!(value(&api::Changed { key, from, to }), told);
        }
        assert!(cut(&json!("é".repeat(300))).chars().count() <= WIDTH + 1);
    }
}
