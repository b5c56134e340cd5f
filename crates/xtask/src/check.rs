//! The checks that read the sources, without running them.

use std::process::Command;

use clap::ValueEnum;

use crate::command::{cargo, kept_tool, output, run as run_program};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{layers, links, logs, paths, promised, purity, tables};

/// The checks, quickest first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// rustfmt would change nothing
    Format,
    /// Arrows between our crates only point down
    Layers,
    /// The pure crates are fenced, and nothing below them has a clock, a socket, a thread or dice
    Purity,
    /// No file names a path of somebody's machine
    Paths,
    /// Links between our documents, and names of files in them, lead somewhere
    Links,
    /// Rows of tables begin with a name
    Tables,
    /// Every test that the documents name exists, and every obligation of docs/conformance.md has a test or a reason
    Promised,
    /// docs/logs.md has every event of the log with its levels and fields, and no other
    Logs,
    /// The crates that others embed can be packaged for a registry
    Packages,
    /// Every package of the graph has a licence and a source that deny.toml allows (cargo-deny)
    Licences,
    /// Every declared dependency is used (cargo-machete)
    Stale,
    /// Clippy has nothing to say
    Clippy,
    /// Documentation builds, private items included, and its links lead somewhere
    Docs,
}

/// Runs the chosen checks; one that fails does not stop the others.
pub(crate) fn run(
    chosen: impl Fn(Check) -> bool,
    workspace: &Workspace,
    steps: &mut Steps,
) -> Result<(), Failure> {
    for check in Check::value_variants()
        .iter()
        .filter(|check| chosen(**check))
    {
        // Steps remembers the failure.
        let _ = steps.run(check.name(), || check.verdict(workspace));
    }
    steps.all_passed()
}

impl Check {
    /// Whether it compiles a tool or the workspace.
    pub(crate) const fn compiles(self) -> bool {
        matches!(
            self,
            Self::Licences | Self::Stale | Self::Clippy | Self::Docs
        )
    }

    /// Its name on the command line and above its output.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Layers => "layers",
            Self::Purity => "purity",
            Self::Licences => "licences",
            Self::Stale => "stale",
            Self::Paths => "paths",
            Self::Links => "links",
            Self::Tables => "tables",
            Self::Promised => "promised",
            Self::Logs => "logs",
            Self::Packages => "packages",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
        }
    }

    fn verdict(self, workspace: &Workspace) -> Result<(), Failure> {
        match self {
            Self::Format => {
                run_program(cargo(workspace).args(["fmt", "--all", "--check"]))?;
                let apart = [
                    "fmt",
                    "--check",
                    "--manifest-path",
                    "examples/sfu/Cargo.toml",
                ];
                run_program(cargo(workspace).args(apart))
            }
            Self::Layers => layers::check(workspace),
            Self::Purity => purity::check(workspace),
            Self::Licences => {
                let mut deny = kept_tool(workspace, "cargo-deny", "0.20.2")?;
                run_program(
                    deny.args("--locked --workspace check licenses bans sources".split(' ')),
                )
            }
            Self::Stale => {
                let mut machete = kept_tool(workspace, "cargo-machete", "0.9.2")?;
                run_program(machete.args(["--with-metadata", "--skip-target-dir"]))
            }
            Self::Paths => paths::check(workspace),
            Self::Links => links::check(workspace),
            Self::Tables => tables::check(workspace),
            Self::Promised => promised::check(workspace),
            Self::Logs => logs::check(workspace),
            Self::Packages => packages(workspace),
            Self::Clippy => {
                let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
                run_program(apart(workspace).args(clippy.split(' ')))
            }
            Self::Docs => {
                let doc = "doc --workspace --all-features --no-deps --document-private-items";
                run_program(
                    apart(workspace)
                        .args(doc.split(' '))
                        .env("RUSTDOCFLAGS", "-D warnings"),
                )
            }
        }
    }
}

/// Packs the crates that may go to a registry. The tests have built them; the release workflow builds what is packed.
fn packages(workspace: &Workspace) -> Result<(), Failure> {
    let package = |more: &[&str]| {
        let mut package = cargo(workspace);
        package.args(["package", "--quiet", "--allow-dirty"]);
        package.args(more);
        package
    };
    let mut package_all = package(&["--no-verify"]);
    let mut findings = Vec::new();
    for name in workspace.published() {
        package_all.args(["--package", name]);
        let files = output(&mut package(&["--list", "--package", name]))?;
        for wanted in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            if !files.lines().any(|file| file == wanted) {
                findings.push(format!("the package of {name} has no {wanted}"));
            }
        }
    }
    Failure::unless_empty(findings)?;
    run_program(&mut package_all)
}

/// Cargo with a build directory of its own: in the common one it would hold up the tests that run at the same time.
fn apart(workspace: &Workspace) -> Command {
    let mut cargo = cargo(workspace);
    cargo.env("CARGO_TARGET_DIR", workspace.target().join("checks"));
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_called_on_the_command_line_what_its_heading_says() {
        for check in Check::value_variants() {
            assert_eq!(check.to_possible_value().unwrap().get_name(), check.name());
        }
    }
}
