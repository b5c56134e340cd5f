//! The machine that was measured on.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::servers::Programs;
use crate::command::quiet_output;
use crate::workspace::{Workspace, read};

/// The machine and the programs, in words.
#[derive(Serialize)]
pub(super) struct Machine {
    processor: String,
    kernel: String,
    hairpin: String,
    coturn: String,
    rust: String,
    placed: String,
    /// The load averages before the first measurement.
    load_before: String,
}

impl Machine {
    /// Looks at it. A fact that cannot be found out is said to be unknown.
    pub(super) fn look(programs: &Programs, workspace: &Workspace) -> Self {
        let told = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            let told = quiet_output(command.args(arguments).current_dir(workspace.root()));
            told.map_or_else(|| "unknown".to_owned(), |told| told.trim().to_owned())
        };
        let file = |path: &str| read(Path::new(path)).unwrap_or_default();
        let info = file("/proc/cpuinfo");
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let hairpin = told(&programs.hairpin.to_string_lossy(), &["--version"]);
        let commit = told("git", &["describe", "--always", "--dirty"]);
        let load = file("/proc/loadavg");
        let load: Vec<&str> = load.split(' ').take(3).collect();
        Self {
            processor: format!(
                "{} of {}",
                programs.processors.count,
                model.map_or("an unknown model", |(_, model)| model)
            ),
            kernel: format!("Linux {}", file("/proc/sys/kernel/osrelease").trim()),
            hairpin: format!("{hairpin} ({commit})"),
            coturn: format!(
                "coturn {}",
                told("dpkg-query", &["-W", "-f", "${Version}", "coturn"])
            ),
            rust: told("rustc", &["--version"]),
            placed: programs.processors.to_string(),
            load_before: load.join(", "),
        }
    }

    /// All of it as one paragraph.
    pub(super) fn paragraph(&self) -> String {
        let Self {
            processor,
            kernel,
            hairpin,
            coturn,
            rust,
            placed,
            load_before,
        } = self;
        format!(
            "Processors: {processor}; {kernel}; {hairpin}, {coturn}, {rust}. Loopback of a network namespace; {placed}. \
             Load averages before: {load_before}."
        )
    }
}
