//! The checks that read the sources, without running them.

use clap::ValueEnum;

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{layers, licences, links, paths, promised, purity, stale};

/// The checks, quickest first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// rustfmt would change nothing
    Format,
    /// Arrows between our crates only point down
    Layers,
    /// The pure crates are fenced, and nothing below them has a clock, a socket, a thread or dice
    Purity,
    /// Every package of the graph has a licence that deny.toml allows
    Licences,
    /// Every declared dependency is used
    Stale,
    /// No file names a path of somebody's machine
    Paths,
    /// Links between our documents lead somewhere
    Links,
    /// Every test that the documents name exists, and every obligation of docs/conformance.md has a test or a reason
    Promised,
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
    /// Whether it needs the dependencies compiled.
    pub(crate) const fn compiles(self) -> bool {
        matches!(self, Self::Clippy | Self::Docs)
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
            Self::Promised => "promised",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
        }
    }

    fn verdict(self, workspace: &Workspace) -> Result<(), Failure> {
        match self {
            Self::Format => run_program(cargo(workspace).args(["fmt", "--all", "--check"])),
            Self::Layers => layers::check(workspace),
            Self::Purity => purity::check(workspace),
            Self::Licences => licences::check(workspace),
            Self::Stale => stale::check(workspace),
            Self::Paths => paths::check(workspace),
            Self::Links => links::check(workspace),
            Self::Promised => promised::check(workspace),
            Self::Clippy => {
                let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
                run_program(cargo(workspace).args(clippy.split(' ')))
            }
            Self::Docs => {
                let doc = "doc --workspace --all-features --no-deps --document-private-items";
                run_program(
                    cargo(workspace)
                        .args(doc.split(' '))
                        .env("RUSTDOCFLAGS", "-D warnings"),
                )
            }
        }
    }
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
