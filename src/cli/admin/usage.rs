//! `hairpin usage`: who used how much in this month.

use std::fmt::Write;
use std::process::ExitCode;

use ::admin::api::usage as shown;
use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asking, bytes};
use crate::cli::Failure;

/// Show the bytes of each user in this calendar month, and the users over a cap.
///
/// Users with the most bytes come first. Bytes are counted where `[usage]` or a `[[cap]]` asks
/// for it; those of sessions that run now are some ten seconds old at most. SESSIONS are those
/// that have ended, UNUSED those of them that carried no call (10,000 bytes at most). OVER is
/// the consequence of the exceeded caps: warn, throttle or refuse. A user is let in again when
/// the cap is raised or taken out of the file, and the file is reloaded.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct Usage {
    /// The users of this realm.
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,

    /// This user: the name without realm and expiry.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// The most users to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,

    #[command(flatten)]
    asking: Asking,
}

impl Usage {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let mut path = format!("/v1/usage?limit={}", self.limit);
        for (name, value) in [("realm", &self.realm), ("user", &self.user)] {
            if let Some(value) = value {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                let _ = write!(path, "&{name}={value}");
            }
        }
        let user = self.user.as_deref();
        let words = |usage| words(usage, user);
        self.asking.run(Method::GET, &path, &(), words)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn words(usage: shown::Usage, asked: Option<&str>) -> String {
    if !usage.counted {
        return "nothing is counted: write `file` or `webhook` under [usage], or a [[cap]]\n"
            .to_owned();
    }
    let mut text = format!(
        "{:<24} {:<24} {:>10} {:>10} {:>10} {:>9} {:>9}  {}\n",
        usage.month, "REALM", "BYTES", "TO PEERS", "FROM PEERS", "SESSIONS", "UNUSED", "OVER"
    );
    if let Some(user) = asked.filter(|_| usage.users.is_empty()) {
        let user = user.escape_debug();
        let _ = writeln!(text, "of user {user} nothing is counted in this month");
    }
    for user in usage.users {
        text += &line(
            &user.user.escape_debug().to_string(),
            &user.realm,
            user.used,
            &user.over,
        );
    }
    if usage.more > 0 {
        let _ = writeln!(text, "and {} more (--limit)", usage.more);
    }
    for realm in usage.realms {
        text += &line("(all)", &realm.realm, realm.used, &realm.over);
    }
    text + &events(&usage.events)
}

fn line(user: &str, realm: &str, used: shown::Used, over: &[String]) -> String {
    let line = format!(
        "{user:<24} {:<24} {:>10} {:>10} {:>10} {:>9} {:>9}  {}",
        realm.escape_debug().to_string(),
        bytes(used.bytes),
        bytes(used.sent),
        bytes(used.received),
        used.allocations,
        used.unused,
        over.join(",")
    );
    format!("{}\n", line.trim_end())
}

/// Where the events are, in one line.
fn events(events: &shown::Events) -> String {
    let mut text = format!(
        "events since the start: {} delivered, {} waiting, {} lost\n",
        events.delivered, events.waiting, events.dropped
    );
    if let Some(why) = &events.failing {
        let _ = writeln!(text, "the webhook fails: {}", why.escape_debug());
    }
    text
}

/// Rows for `hairpin status`, if anything is counted.
pub(super) fn rows(usage: &shown::Usage) -> String {
    if !usage.counted {
        return String::new();
    }
    let over: Vec<String> = usage
        .over
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(then, count)| format!("{count} ({then})"))
        .collect();
    let mut text = format!("{:<15} {}", "usage", events(&usage.events));
    if !over.is_empty() {
        let _ = writeln!(text, "{:<15} {}", "over a cap", over.join(", "));
    }
    text
}

const AFTER_HELP: &str = "\
Examples:
  hairpin usage
  hairpin usage --user alice
  hairpin usage --realm example.net --limit 100 --json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_breaks_no_line_and_what_fails_is_said() {
        let used = shown::Used {
            bytes: 2_000_000,
            sent: 1_500_000,
            received: 500_000,
            allocations: 5,
            unused: 4,
        };
        let usage = shown::Usage {
            counted: true,
            month: "2026-11".to_owned(),
            users: vec![shown::OfUser {
                realm: "example.org".to_owned(),
                user: "al\nice".to_owned(),
                used,
                over: vec!["warn".to_owned(), "refuse".to_owned()],
            }],
            events: shown::Events {
                waiting: 7,
                failing: Some("it answers 500".to_owned()),
                ..shown::Events::default()
            },
            ..shown::Usage::default()
        };
        let text = words(usage, None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("al\\nice "), "{text}");
        assert!(lines[1].ends_with("  warn,refuse"), "{text}");
        assert_eq!(
            lines[2],
            "events since the start: 0 delivered, 7 waiting, 0 lost"
        );
        assert_eq!(lines[3], "the webhook fails: it answers 500");
        let none = || shown::Usage {
            counted: true,
            ..shown::Usage::default()
        };
        assert!(words(none(), Some("b\nob")).contains("of user b\\nob nothing is counted"));
        assert!(!words(none(), None).contains("nothing"));
        assert!(words(shown::Usage::default(), None).starts_with("nothing is counted"));
    }
}
