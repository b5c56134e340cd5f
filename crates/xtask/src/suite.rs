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
    let _ = run_tests(workspace, steps);
    let _ = steps.run("compiling checks", || compiling.join());
    let _ = steps.run("long calls", || long_calls.join());
    steps.all_passed()
}

/// Every test but those of ten minutes. Tests of the binary mostly wait, for timers, browsers and silent hosts: four
/// of them go at once, and those of the crates, which compute, beside them. Those that need the machine for themselves
/// come last.
fn run_tests(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("build of tests", || {
        run_program(server_tests(workspace).arg("--no-run"))
    })?;
    let log = workspace.target().join("crates.log");
    let crates = Background::start(&mut nice(&tests_of_crates(workspace)), log)?;
    // Steps remembers the failures.
    let _ = steps.run("tests of the binary", || {
        let mut waiting = server_tests(workspace);
        waiting.arg("--no-fail-fast").env("RUST_TEST_THREADS", "4");
        for target in workspace.test_targets("hairpin") {
            if !ALONE.contains(&target) {
                waiting.args(["--test", target]);
            }
        }
        run_program(&mut waiting)
    });
    let _ = steps.run("tests of the crates", || crates.join());
    let _ = steps.run("tests that go alone", || {
        let mut alone = server_tests(workspace);
        alone.arg("--no-fail-fast");
        for target in ALONE {
            alone.args(["--test", target]);
        }
        run_program(&mut alone)
    });
    steps.run("documentation's examples", || {
        run_program(server_tests(workspace).arg("--doc"))
    })
}

/// Libraries, the binary's own, examples, and the test targets of all crates but the binary's.
fn tests_of_crates(workspace: &Workspace) -> Command {
    let mut crates = server_tests(workspace);
    crates.args(["--no-fail-fast", "--lib", "--bins", "--examples"]);
    let packages = workspace.metadata.workspace_packages();
    let others = packages.iter().filter(|package| package.name != "hairpin");
    for target in others.flat_map(|package| workspace.test_targets(&package.name)) {
        crates.args(["--test", target]);
    }
    crates
}

/// The same at the lowest priority: what is tested beside it has times to keep.
fn nice(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"])
        .arg(command.get_program())
        .args(command.get_args());
    let variables = command.get_envs();
    nice.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        nice.current_dir(directory);
    }
    nice
}

/// Attacks, which must not meet other tests, and rooms of browsers, each of which draws and decodes pictures.
const ALONE: [&str; 2] = ["call_page", "hostile"];

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
