//! The Python that the tests' Python clients run in: a virtual environment with the packages of
//! `tests/requirements.txt`, each pinned by version and hash.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{run, succeeds};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Makes the environment, unless it is there and has what the list asks for.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let wanted = workspace.read(REQUIREMENTS)?;
    let venv = directory(workspace);
    // The list that was installed last, kept beside it.
    let stamp = venv.join("requirements.txt");
    let interpreter = interpreter(workspace);
    let current = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    // The interpreter that it was made from may be gone.
    if current && succeeds(Command::new(&interpreter).args(["-c", "import aiortc"])) {
        return Ok(());
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv))?;
    run(Command::new(&interpreter)
        .args("-m pip install --quiet --disable-pip-version-check --only-binary :all:".split(' '))
        .args(["--require-hashes", "--requirement"])
        .arg(workspace.root().join(REQUIREMENTS)))?;
    fs::write(&stamp, wanted).map_err(|source| Failure::File {
        path: stamp,
        source,
    })
}

/// The path of the environment's interpreter.
pub(crate) fn interpreter(workspace: &Workspace) -> PathBuf {
    directory(workspace).join("bin/python")
}

/// Whether this machine's Python can make virtual environments. Debian has that in a package of its
/// own.
pub(crate) fn can_make_environments() -> bool {
    succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target().join("venv")
}

const REQUIREMENTS: &str = "tests/requirements.txt";
