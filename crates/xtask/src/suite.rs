//! The README's test command: it installs what the tests need, runs the checks and then every test.

use std::path::PathBuf;
use std::process::Command;

use crate::background::Background;
use crate::command::{cargo, path_with_sbin, run as run_program};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{check, clients, python, tools};

/// Runs all of it. The tests run even if a check fails.
///
/// Calls of ten minutes hardly use the machine: they begin as soon as there is a server, and go on
/// beside the checks and the other tests.
pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("tools", || tools::install(workspace))?;
    // The tests that run the server run the build that an operator would.
    steps.run("release", || {
        run_program(cargo(workspace).args(["build", "--release", "--bin", "hairpin"]))
    })?;
    // Built beforehand, so that the calls do not wait for the checks to leave the build directory.
    steps.run("calls", || {
        run_program(tests(workspace).args(["--test", "calls", "--no-run"]))
    })?;
    let long_calls = Background::start(&mut long_calls(workspace), long_calls_output(workspace))?;
    // Steps remembers the failures.
    let _ = check::run(&[], workspace, steps);
    let _ = steps.run("tests", || {
        run_program(tests(workspace).arg("--no-fail-fast"))
    });
    let _ = steps.run("long calls", || long_calls.join());
    steps.all_passed()
}

/// `cargo test` of everything, with the environment that the tests need.
fn tests(workspace: &Workspace) -> Command {
    let mut tests = cargo(workspace);
    tests
        .args(["test", "--workspace", "--all-features"])
        .env("HAIRPIN_BIN", workspace.target().join("release/hairpin"))
        .env("HAIRPIN_TEST_CLIENTS", clients::directory(workspace))
        .env("HAIRPIN_TEST_PYTHON", python::interpreter(workspace))
        .env("PATH", path_with_sbin());
    tests
}

/// All of them side by side, whatever the number of cores.
fn long_calls(workspace: &Workspace) -> Command {
    let mut calls = tests(workspace);
    calls.args(["--test", "calls", "--", "--ignored", "--test-threads", "64"]);
    calls
}

fn long_calls_output(workspace: &Workspace) -> PathBuf {
    workspace.target().join("long-calls.log")
}
