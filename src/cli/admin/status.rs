//! `hairpin status`: the running server as a whole.

use std::fmt::{Display, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use ::admin::api::configuration::Configuration;
use clap::Args;
use hyper::Method;

use super::steer::draining;
use super::story::clock;
use super::{Asking, Fault, api, bytes, span, usage};
use crate::cli::{Failure, print};

/// Show the state of the running server: sessions, limits and their use, traffic.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  hairpin status\n  hairpin status --json\n\nExit codes: 0 shown, 1 no server answers."
)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    asking: Asking,
}

impl Status {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        self.asking.run(Method::GET, "/v1/status", &(), words)?;
        if !self.asking.json {
            let configuration: Configuration = self.asking.get("/v1/config")?;
            if let Some(since) = configuration.refused {
                let since = clock(since as f64);
                let what = "the configuration before it holds; `hairpin check --against-running` has the faults";
                print(&row("file refused", format!("since {since} UTC: {what}")))?;
            }
            if !configuration.needs_restart.is_empty() {
                let keys = configuration.needs_restart.join(", ");
                print(&row("needs a restart", keys))?;
            }
            let usage = self.asking.ask(Method::GET, "/v1/usage?limit=0", &())?;
            let usage = serde_json::from_value(usage).map_err(Fault::from)?;
            print(&usage::rows(&usage))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The status as a table of two columns.
pub(super) fn words(status: api::Status) -> String {
    let grants = if status.draining {
        " (draining: nothing new is granted)"
    } else {
        ""
    };
    let up = span(status.uptime(SystemTime::now()));
    let rows = [
        ("version", status.version),
        ("up for", up),
        ("configuration", status.configuration),
        ("sessions", format!("{}{grants}", status.allocations)),
        (
            "relay ports",
            format!("{} of {} taken", status.ports_taken, status.ports),
        ),
        (
            "connections",
            format!("{} of {}", status.connections, status.connections_limit),
        ),
        ("opened", format!("{} since the start", status.opened)),
        (
            "refused",
            format!(
                "{} requests since the start{}",
                status.refused,
                causes(&status.refusals)
            ),
        ),
        (
            "failed",
            format!("{} authentications, whether answered or not", status.failed),
        ),
        ("banned", banned(status.banned)),
        (
            "to peers",
            format!(
                "{} in {} packets",
                bytes(status.sent.bytes),
                status.sent.packets
            ),
        ),
        (
            "from peers",
            format!(
                "{} in {} packets",
                bytes(status.received.bytes),
                status.received.packets
            ),
        ),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        text += &row(name, value);
    }
    for (transport, listen) in status.listeners {
        text += &row("listening", format!("{listen} {transport}"));
    }
    for (transport, listen) in status.awaited {
        let why = "this host does not have the address";
        text += &row("awaited", format!("{listen} {transport}: {why}"));
    }
    for (transport, listen) in status.retiring {
        let why = "it was taken out of the configuration, and its calls go on";
        text += &row("retiring", format!("{listen} {transport}: {why}"));
    }
    if let Some(left) = &status.left {
        text.push_str(&draining(left));
    }
    text
}

fn row(name: &str, value: impl Display) -> String {
    format!("{name:<15} {value}\n")
}

/// Why requests were refused, a line for each cause, and where one finds more.
fn causes(refusals: &[api::Refused]) -> String {
    let mut text = String::new();
    let indent = row("", "");
    let indent = indent.trim_end_matches('\n');
    for api::Refused { code, cause, count } in refusals {
        let _ = write!(text, "\n{indent}{count} {cause} ({code})");
    }
    if !refusals.is_empty() {
        let _ = write!(
            text,
            "\n{indent}whom and why: `hairpin session --user NAME` or --client IP; the log, request.refused"
        );
    }
    text
}

fn banned(networks: usize) -> String {
    match networks {
        0 => "no network".to_owned(),
        1 => "1 network: `hairpin bans`".to_owned(),
        count => format!("{count} networks: `hairpin bans`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_refusals_stand_below_each_other() {
        let refusal = |code, cause: &str, count| api::Refused {
            code,
            cause: cause.to_owned(),
            count,
        };
        let text = causes(&[
            refusal(401, "unknown-user", 12),
            refusal(403, "peer-denied", 3),
        ]);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[1..3],
            ["12 unknown-user (401)", "3 peer-denied (403)"]
        );
        assert!(lines[3].contains("hairpin session --user"), "{text}");
        assert_eq!(causes(&[]), "");
    }
}
