//! The README's test command: what the tests need, the checks, every test.

use crate::command::{cargo, path_with_sbin, run as run_program};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{check, python, tools};

/// Runs it all. A check that fails does not keep the tests from telling more.
pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("tools", || tools::install(workspace))?;
    // Steps remembers the failure.
    let _ = check::run(&[], workspace, steps);
    // The tests that run the server run what an operator would.
    steps.run("release", || {
        run_program(cargo(workspace).args(["build", "--release", "--bin", "hairpin"]))
    })?;
    let _ = steps.run("tests", || {
        run_program(
            cargo(workspace)
                .args(["test", "--workspace", "--all-features", "--no-fail-fast"])
                .env("HAIRPIN_BIN", workspace.target().join("release/hairpin"))
                .env("HAIRPIN_TEST_PYTHON", python::interpreter(workspace))
                .env("PATH", path_with_sbin()),
        )
    });
    steps.all_passed()
}
