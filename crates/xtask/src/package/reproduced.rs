//! Whether the same sources give the same binary: a second build, of a copy in another directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::MetadataCommand;

use super::binary::{self, Target};
use super::{at, empty};
use crate::command::run;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Builds once more, elsewhere, and compares.
pub(super) fn check(
    workspace: &Workspace,
    target: Target,
    glibc: Option<&str>,
    first: &Path,
) -> Result<(), Failure> {
    let elsewhere = workspace.target().join("second-build");
    let sources = elsewhere.join("sources");
    empty(&sources)?;
    let mut copy = Command::new("sh");
    copy.args([
        "-ec",
        "git ls-files -z | xargs -0 cp --parents --target-directory \"$0\"",
    ]);
    run(copy.arg(&sources).current_dir(workspace.root()))?;
    let second = Workspace {
        metadata: MetadataCommand::new().current_dir(&sources).exec()?,
    };
    let second = binary::build(&second, target, glibc, &elsewhere.join("target"))?;
    let read = |path: &Path| fs::read(path).map_err(at(path));
    if read(first)? != read(&second)? {
        let (first, second) = (first.display(), second.display());
        let differ = format!("{first} and {second} differ: the build is not reproducible");
        return Err(Failure::Findings(vec![differ]));
    }
    println!("two builds in two directories are the same");
    Ok(())
}
