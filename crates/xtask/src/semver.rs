//! Whether the crates that others embed keep what an earlier version promised.

use crate::command::{kept_tool, run};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Compares the public items of the published crates with those of an earlier commit, and what changed with their
/// versions.
pub(crate) fn check(since: &str, workspace: &Workspace) -> Result<(), Failure> {
    let mut semver = kept_tool(workspace, "cargo-semver-checks", "0.51.0")?;
    semver.args(["semver-checks", "--baseline-rev", since]);
    for name in workspace.published() {
        semver.args(["--package", name]);
    }
    run(&mut semver)
}
