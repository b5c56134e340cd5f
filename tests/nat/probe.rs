//! The probe: run on a host of a home, and its report read back.

use std::process::Command;

use lab::{PATIENCE, internet::Home, program::Program, server::hairpin_by};
use serde_json::Value;

/// A probe under way.
pub(crate) struct Probing(Program);

/// The result of a probe.
#[derive(Debug)]
pub(crate) struct Told {
    /// The exit code.
    pub(crate) code: i32,
    /// The JSON.
    pub(crate) report: Value,
}

/// Starts a probe that asks the servers of `uris`.
pub(crate) fn start(home: &Home, uris: &[String], options: &[&str]) -> Probing {
    let mut command = hairpin_by(|program| home.host.command(program));
    command.args(["probe", "--json", "--timeout", TIMEOUT]);
    Probing::start(command, uris, options)
}

/// The same, to its end.
#[track_caller]
pub(crate) fn run(home: &Home, uris: &[String], options: &[&str]) -> Told {
    start(home, uris, options).told()
}

impl Probing {
    fn start(mut command: Command, uris: &[String], options: &[&str]) -> Self {
        // Without any, it would ask public servers.
        assert!(!uris.is_empty(), "no server to ask");
        command.args(options).args(uris);
        Self(Program::start(command))
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn told(mut self) -> Told {
        let ended = self.0.wait(3 * PATIENCE);
        let report = serde_json::from_str(&ended.output);
        Told {
            code: ended.status.code().expect("it ends by itself"),
            report: report.unwrap_or_else(|why| panic!("{why}: {}", ended.output)),
        }
    }
}

impl Told {
    /// The part of the report about IPv4.
    pub(crate) fn v4(&self) -> &Value {
        &self.report["ipv4"]
    }

    /// The part of the report about IPv6.
    pub(crate) fn v6(&self) -> &Value {
        &self.report["ipv6"]
    }
}

/// A question is sent three times in this time. It is long enough for a busy machine.
const TIMEOUT: &str = "2s";
