//! Running programs.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Cargo itself, at the root of the workspace.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    // Cargo tells its children which cargo it is; a toolchain chosen with `+` stays chosen.
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace.root());
    if env::var_os("CI").is_some() {
        // A clean checkout is built once: what would make the next build faster makes this one slower.
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Runs a program to its end; its output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status();
    ended(line(command), status)
}

/// The outcome of a program that ended.
pub(crate) fn ended(command: String, status: io::Result<ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Unsuccessful { command, status }),
        Err(source) => Err(Failure::Spawn { command, source }),
    }
}

/// The output of a program; its errors go to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Failure::Spawn {
            command: line(command),
            source,
        })?;
    if !output.status.success() {
        return Err(Failure::Unsuccessful {
            command: line(command),
            status: output.status,
        });
    }
    String::from_utf8(output.stdout).map_err(|source| Failure::Output {
        command: line(command),
        source,
    })
}

/// The output of a program that may be missing, or fail, in silence.
pub(crate) fn quiet_output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(())?;
    String::from_utf8(output.stdout).ok()
}

/// Whether a program runs and succeeds, in silence.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The search path with Debian's directories for `ip` and `nft`, which ordinary users do not have.
pub(crate) fn path_with_sbin() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    // Only a colon in a directory's name makes this fail, and no directory of PATH has one.
    env::join_paths(places).unwrap_or(path)
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A cargo subcommand of others, in the version that we have tried, built unless it is there.
///
/// A debug build is a third of the work, and quick enough for a workspace of this size.
pub(crate) fn kept_tool(
    workspace: &Workspace,
    name: &str,
    version: &str,
) -> Result<Command, Failure> {
    let tools = workspace.target().join("tools");
    let mut install = cargo(workspace);
    install.args([
        "install",
        "--quiet",
        "--locked",
        "--debug",
        name,
        "--version",
        version,
    ]);
    install
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"));
    run(install.env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
    let mut tool = Command::new(tools.join("bin").join(name));
    tool.current_dir(workspace.root());
    Ok(tool)
}
