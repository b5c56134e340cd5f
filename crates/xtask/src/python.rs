//! The Pythons that tests run: virtual environments with the packages of a list, each pinned by version and hash.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{run, succeeds};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// A virtual environment. Each has versions of its own: what one of them needs is not what another may have.
pub(crate) struct Environment {
    /// Below `target`.
    directory: &'static str,
    /// The list of its packages.
    requirements: &'static str,
    /// A module that it has.
    module: &'static str,
}

/// The Python clients of the tests.
pub(crate) const CLIENTS: Environment = Environment {
    directory: "venv",
    requirements: "tests/requirements.txt",
    module: "aiortc",
};

/// The Matrix server of a recipe.
pub(crate) const SYNAPSE: Environment = Environment {
    directory: "synapse",
    requirements: "tests/synapse.txt",
    module: "synapse",
};

impl Environment {
    /// Makes the environment, unless it is there and has what the list asks for.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<(), Failure> {
        let wanted = workspace.read(self.requirements)?;
        let venv = self.directory(workspace);
        // The list that was installed last, kept beside it.
        let stamp = venv.join("requirements.txt");
        let interpreter = self.interpreter(workspace);
        let current = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
        // The interpreter that it was made from may be gone.
        let import = format!("import {}", self.module);
        if current && succeeds(Command::new(&interpreter).args(["-c", &import])) {
            return Ok(());
        }
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv))?;
        run(Command::new(&interpreter)
            .args(
                "-m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all:".split(' '),
            )
            .args(["--require-hashes", "--requirement"])
            .arg(workspace.root().join(self.requirements)))?;
        fs::write(&stamp, wanted).map_err(|source| Failure::File {
            path: stamp,
            source,
        })
    }

    /// The path of the environment's interpreter.
    pub(crate) fn interpreter(&self, workspace: &Workspace) -> PathBuf {
        self.directory(workspace).join("bin/python")
    }

    /// The directory of the environment.
    pub(crate) fn directory(&self, workspace: &Workspace) -> PathBuf {
        workspace.target().join(self.directory)
    }
}

/// Whether this machine's Python can make virtual environments. Debian has that in a package of its
/// own.
pub(crate) fn can_make_environments() -> bool {
    succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

/// Whether Debian's own Python has a module, which is a package of Debian's.
pub(crate) fn debians_has(module: &str) -> bool {
    succeeds(Command::new("/usr/bin/python3").args(["-c", &format!("import {module}")]))
}
