//! `hairpin status`: the running server as a whole.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use hyper::Method;

use super::{Asking, api, bytes, span};
use crate::cli::Failure;

/// Show how the running server is: sessions, limits and how far they are used, traffic.
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
        Ok(ExitCode::SUCCESS)
    }
}

/// The status as a table of two columns.
pub(super) fn words(status: api::Status) -> String {
    let draining = if status.draining {
        " (draining: nothing new is granted)"
    } else {
        ""
    };
    let up = span(status.uptime(SystemTime::now()));
    let rows = [
        ("version", status.version),
        ("up for", up),
        ("configuration", status.configuration),
        ("sessions", format!("{}{draining}", status.allocations)),
        (
            "relay ports",
            format!("{} of {} taken", status.ports_taken, status.ports),
        ),
        (
            "connections",
            format!("{} of {}", status.connections, status.connections_limit),
        ),
        ("opened", format!("{} since the start", status.opened)),
        ("refused", format!("{} requests", status.refused)),
        ("failed", format!("{} authentications", status.failed)),
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
        let _ = writeln!(text, "{name:<14} {value}");
    }
    for (transport, listen) in status.listeners {
        let _ = writeln!(text, "{:<14} {listen} {transport}", "listening");
    }
    text
}
