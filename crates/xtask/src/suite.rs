//! The README's test command: it installs what the tests need, runs the checks and then every test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use cargo_metadata::Message;
use clap::ValueEnum;

use crate::background::Background;
use crate::check::{self, Check};
use crate::command::{cargo, output, path_with_sbin};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{clients, python, tools};

/// Runs all of it. The tests run even if a check fails.
///
/// The calls of ten minutes decide how long it takes, and hardly use the machine: what they need is built first, and
/// everything else goes on beside them. All other builds give way to that, and checks that compile to the tests.
pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    let start = |command: &mut Command, log: &str| start(workspace, command, log);
    let itself = kept_itself(workspace)?;
    // The tests that run the server run the build that an operator would. It takes some 600 s of processor
    // time. A debug build was tried in its place: on two processors it is too slow for ten thousand sessions, a flood or
    // four browsers beside the other tests.
    let release = start(programs(workspace).arg("--release"), "release.log")?;
    steps.run("tools", || tools::install(workspace))?;
    let mut long_calls = None;
    steps.run("build of the calls", || {
        long_calls = Some(program_of(workspace, "calls")?);
        Ok(())
    })?;
    let tests = start(
        &mut nice(server_tests(workspace).arg("--no-run")),
        "tests.log",
    )?;
    steps.join("release", release)?;
    // All of them side by side, whatever the number of cores. Cargo would wait for the build of the other tests.
    let long_calls = long_calls.map(|mut calls| {
        calls.args(["--ignored", "--test-threads", "64"]);
        start(&mut calls, "long-calls.log")
    });
    let long_calls = long_calls.transpose()?;
    // Steps remembers the failures.
    let _ = check::run(|check| !check.compiles(), workspace, steps);
    steps.join("build of tests", tests)?;
    let compiling = compiling_checks(&itself, workspace)?;
    let _ = run_tests(compiling, workspace, steps);
    let _ = long_calls.map(|calls| steps.join("long calls", calls));
    steps.all_passed()
}

/// Every test but those of ten minutes. Tests of the binary mostly wait, for timers, browsers and silent hosts: all of the
/// black box's take a minute and a half of processor time, and 22 minutes one after the other on a busy machine. So four
/// of these and four of the others go at once, and beside both the checks that compile. Those of the crates compute, and
/// have times to keep as well: they come when all these are done, and last those that need the machine for themselves.
fn run_tests(
    compiling: Background,
    workspace: &Workspace,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let start = |command: &mut Command, log: &str| start(workspace, command, log);
    let black_box = start(&mut four_at_once(workspace, [BLACK_BOX]), "black-box.log")?;
    let others = workspace.test_targets("hairpin");
    let others = others
        .filter(|target| *target != BLACK_BOX && !ALONE.iter().any(|(alone, _)| alone == target));
    let others = start(&mut four_at_once(workspace, others), "others.log")?;
    // Steps remembers the failures.
    let _ = steps.join("tests of the binary", others);
    let _ = steps.join("black box", black_box);
    let _ = steps.join("compiling checks", compiling);
    let _ = steps.run("tests of the crates", || {
        start(&mut tests_of_crates(workspace), "crates.log")?.join()
    });
    for (target, threads) in ALONE {
        let _ = steps.run(target, || {
            let mut alone = server_tests(workspace);
            alone.env("RUST_TEST_THREADS", threads);
            alone.args(["--no-fail-fast", "--test", target]);
            start(&mut alone, &format!("{target}.log"))?.join()
        });
    }
    steps.run("documentation's examples", || {
        start(server_tests(workspace).arg("--doc"), "documentation.log")?.join()
    })
}

/// Starts a program that writes to a file of this name in the build directory.
fn start(workspace: &Workspace, command: &mut Command, log: &str) -> Result<Background, Failure> {
    Background::start(command, workspace.target().join(log))
}

/// Tests of the binary that wait.
fn four_at_once<'t>(workspace: &Workspace, targets: impl IntoIterator<Item = &'t str>) -> Command {
    let mut waiting = server_tests(workspace);
    waiting.arg("--no-fail-fast").env("RUST_TEST_THREADS", "4");
    for target in targets {
        waiting.args(["--test", target]);
    }
    waiting
}

/// Builds a test target of the binary, and returns the program with the environment that tests need.
fn program_of(workspace: &Workspace, target: &str) -> Result<Command, Failure> {
    let mut build = server_tests(workspace);
    build.args(["--test", target, "--no-run"]);
    build.arg("--message-format=json-render-diagnostics");
    let told = output(&mut build)?;
    let mut programs = Message::parse_stream(told.as_bytes()).filter_map(|message| {
        let Message::CompilerArtifact(built) = message.ok()? else {
            return None;
        };
        built.executable.filter(|_| built.target.name == target)
    });
    let missing = || Failure::Findings(vec![format!("cargo built no test `{target}`")]);
    let mut program = Command::new(programs.next().ok_or_else(missing)?);
    program.current_dir(workspace.root());
    let variables = build.get_envs();
    program.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    Ok(program)
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

/// The target with most of the tests.
const BLACK_BOX: &str = "black_box";

/// Targets that must not meet other tests or a compiler, and how many of their tests go at once. A browser that waits for a processor
/// for seconds gives a call up by itself, and what it measures of a line is that waiting. A room of three or four browsers,
/// each of which draws and decodes pictures, has two processors to itself, and so has the test page, which finds losses
/// where a machine has no time for it. Attacks meet one another.
const ALONE: [(&str, &str); 4] = [
    ("browsers", "2"),
    ("demo", "1"),
    ("examples", "1"),
    ("hostile", "2"),
];

/// A copy of this program: the build of the tests puts another one in its place.
fn kept_itself(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let copy = workspace.target().join("xtask-of-the-suite");
    let copied = env::current_exe().and_then(|program| fs::copy(program, &copy));
    copied.map_err(|source| Failure::File {
        path: copy.clone(),
        source,
    })?;
    Ok(copy)
}

/// Starts the checks that compile, at the lowest priority.
fn compiling_checks(itself: &Path, workspace: &Workspace) -> Result<Background, Failure> {
    let checks = Check::value_variants().iter();
    let checks = checks.filter(|check| check.compiles());
    let mut all = Command::new(itself);
    all.arg("check").args(checks.map(|check| check.name()));
    start(workspace, &mut nice(&all), "checks.log")
}

/// Builds the server, and the forwarder that it is measured against. They are named together, so that both are built of
/// the same dependencies.
pub(crate) fn programs(workspace: &Workspace) -> Command {
    let mut build = cargo(workspace);
    build.args(["build", "-p", "hairpin", "-p", "hairpin-bench"]);
    build.args(["--bin", "hairpin", "--bin", "forwarder"]);
    build
}

/// Tests of everything, against the release build.
fn server_tests(workspace: &Workspace) -> Command {
    let mut all = tests(workspace, "release");
    all.args(["--workspace", "--all-features"]);
    all
}

/// `cargo test` with the environment that tests need. The binaries under test are of this profile.
pub(crate) fn tests(workspace: &Workspace, profile: &str) -> Command {
    let built = workspace.target().join(profile);
    let mut tests = cargo(workspace);
    tests
        .arg("test")
        .env("HAIRPIN_BIN", built.join("hairpin"))
        .env("HAIRPIN_TEST_FORWARDER", built.join("forwarder"))
        .env("HAIRPIN_TEST_CLIENTS", clients::directory(workspace))
        .env(
            "HAIRPIN_TEST_PYTHON",
            python::CLIENTS.interpreter(workspace),
        )
        .env("HAIRPIN_TEST_SYNAPSE", python::SYNAPSE.directory(workspace))
        .env("PATH", path_with_sbin());
    tests
}
