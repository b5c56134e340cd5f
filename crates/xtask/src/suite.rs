//! The README's test command: what the tests need, the checks, every test.

use std::env;
use std::ffi::OsString;

use crate::command::{cargo, run as run_program};
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

/// Debian keeps `ip` and `nft` where the path of an ordinary user does not lead.
pub(crate) fn path_with_sbin() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    // Only a colon in a directory's name makes this fail, and no directory of PATH has one.
    env::join_paths(places).unwrap_or(path)
}
