//! The README's test command: it installs what the tests need, runs the checks and then every test.

use std::env;
use std::process::Command;

use clap::ValueEnum;

use crate::background::Background;
use crate::check::{self, Check};
use crate::command::{cargo, path_with_sbin, run as run_program};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{clients, python, tools};

/// Runs all of it. The tests run even if a check fails.
///
/// The calls of ten minutes decide how long it takes, and hardly use the machine: all that they need is built side by
/// side, and everything else goes on beside them. Checks that compile leave the processors to the tests.
pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    // The tests that run the server run the build that an operator would.
    let mut release = cargo(workspace);
    release.args(["build", "--release", "--bin", "hairpin"]);
    let release = Background::start(&mut release, workspace.target().join("release.log"))?;
    steps.run("tools", || tools::install(workspace))?;
    steps.run("calls", || {
        run_program(server_tests(workspace).args(["--test", "calls", "--no-run"]))
    })?;
    steps.run("release", || release.join())?;
    let mut long_calls = server_tests(workspace);
    // All of them side by side, whatever the number of cores.
    long_calls.args(["--test", "calls", "--", "--ignored", "--test-threads", "64"]);
    let long_calls = Background::start(&mut long_calls, workspace.target().join("long-calls.log"))?;
    let compiling = compiling_checks(workspace)?;
    // Steps remembers the failures.
    let _ = check::run(|check| !check.compiles(), workspace, steps);
    let _ = steps.run("tests that wait", || run_waiting(workspace));
    let _ = steps.run("tests", || run_others(workspace));
    let _ = steps.run("compiling checks", || compiling.join());
    let _ = steps.run("long calls", || long_calls.join());
    steps.all_passed()
}

/// The targets of the binary whose tests mostly wait, for timers, browsers and silent hosts: more of them than there
/// are processors go side by side.
const WAITING: [&str; 5] = ["black_box", "browsers", "calls", "doctor", "nat"];

fn run_waiting(workspace: &Workspace) -> Result<(), Failure> {
    let mut waiting = server_tests(workspace);
    waiting.arg("--no-fail-fast").env("RUST_TEST_THREADS", "4");
    for target in WAITING {
        waiting.args(["--test", target]);
    }
    run_program(&mut waiting)
}

/// Every target but those, and then the examples in the documentation.
fn run_others(workspace: &Workspace) -> Result<(), Failure> {
    let mut others = server_tests(workspace);
    others.args([
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--benches",
        "--examples",
    ]);
    let others_of = workspace
        .test_targets()
        .filter(|target| !WAITING.contains(target));
    for target in others_of {
        others.args(["--test", target]);
    }
    let outcome = run_program(&mut others);
    outcome.and(run_program(server_tests(workspace).arg("--doc")))
}

/// Starts the checks that compile, at the lowest priority.
fn compiling_checks(workspace: &Workspace) -> Result<Background, Failure> {
    let checks = Check::value_variants().iter();
    let checks = checks.filter(|check| check.compiles());
    let mut all = Command::new("nice");
    all.args(["-n", "19"])
        .arg(env::current_exe().unwrap_or_else(|_| "xtask".into()))
        .arg("check")
        .args(checks.map(|check| check.name()));
    Background::start(&mut all, workspace.target().join("checks.log"))
}

/// Tests of everything, against the release build.
fn server_tests(workspace: &Workspace) -> Command {
    let mut all = tests(workspace, "release/hairpin");
    all.args(["--workspace", "--all-features"]);
    all
}

/// `cargo test` with the environment that tests need. `server` is the binary under test, below the target directory.
pub(crate) fn tests(workspace: &Workspace, server: &str) -> Command {
    let mut tests = cargo(workspace);
    tests
        .arg("test")
        .env("HAIRPIN_BIN", workspace.target().join(server))
        .env("HAIRPIN_TEST_CLIENTS", clients::directory(workspace))
        .env("HAIRPIN_TEST_PYTHON", python::interpreter(workspace))
        .env("PATH", path_with_sbin());
    tests
}
