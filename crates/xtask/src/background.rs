//! Programs that run beside everything else, and whose output is read only when they have ended.

use std::fs::{self, File};
use std::mem;
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::command::{ended, line};
use crate::failure::Failure;

/// A program that runs. It ends with this value; an interrupt from the keyboard ends it, too.
pub(crate) struct Background {
    line: String,
    child: Child,
    output: PathBuf,
}

impl Background {
    /// Starts `command`, which writes both of its outputs to the file `output`.
    pub(crate) fn start(command: &mut Command, output: PathBuf) -> Result<Self, Failure> {
        let at = |source| Failure::File {
            path: output.clone(),
            source,
        };
        let writer = File::create(&output).map_err(at)?;
        let second = writer.try_clone().map_err(at)?;
        let line = line(command);
        match command.stdout(writer).stderr(second).spawn() {
            Ok(child) => Ok(Self {
                line,
                child,
                output,
            }),
            Err(source) => Err(Failure::Spawn {
                command: line,
                source,
            }),
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and prints what it wrote.
    pub(crate) fn join(mut self) -> Result<(), Failure> {
        let status = self.child.wait();
        match fs::read(&self.output) {
            Ok(output) => eprint!("{}", String::from_utf8_lossy(&output)),
            Err(source) => eprintln!("{}: {source}", self.output.display()),
        }
        ended(mem::take(&mut self.line), status)
    }
}

impl Drop for Background {
    /// Programs that it started itself are not ended with it: tests have a lifetime of their own.
    fn drop(&mut self) {
        // There is nobody to tell. After `join` both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_program_that_fails_in_the_background_fails_when_it_is_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo said; exit 3"]);
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        let background = Background::start(&mut command, output.clone()).unwrap();
        let failure = background.join().unwrap_err().to_string();
        assert_eq!(
            failure,
            "`sh -c echo said; exit 3` ended with exit status: 3"
        );
        assert_eq!(fs::read_to_string(&output).unwrap(), "said\n");
    }

    #[test]
    fn a_program_in_the_background_ends_when_nobody_waits_for_it() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let directory = tempfile::tempdir().unwrap();
        let background = Background::start(&mut command, directory.path().join("output")).unwrap();
        let process = format!("/proc/{}", background.id());
        assert!(Path::new(&process).exists());
        drop(background);
        assert!(!Path::new(&process).exists());
    }
}
