//! Programs that run beside everything else, and whose output is printed when they are waited for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{mem, thread};

use crate::command::{ended, line};
use crate::failure::Failure;
use crate::told;

/// A program that runs. It ends with this value; an interrupt from the keyboard ends it, too.
pub(crate) struct Background {
    line: String,
    child: Child,
    output: PathBuf,
    started: Instant,
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
                started: Instant::now(),
            }),
            Err(source) => Err(Failure::Spawn {
                command: line,
                source,
            }),
        }
    }

    /// When it started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Prints what it wrote and what it writes until its end. The failure has what failed tests said.
    pub(crate) fn join(mut self) -> Result<(), Failure> {
        let at = |source| Failure::File {
            path: self.output.clone(),
            source,
        };
        let mut output = Vec::new();
        let mut reader = File::open(&self.output).map_err(at)?;
        let status = loop {
            // Asked before the last reading, which thus has all.
            let status = self.child.try_wait();
            let known = output.len();
            reader.read_to_end(&mut output).map_err(at)?;
            // There is nobody to tell that nobody listens.
            let _ = io::stderr().write_all(&output[known..]);
            match status {
                Ok(None) => thread::sleep(Duration::from_millis(200)),
                Ok(Some(status)) => break Ok(status),
                Err(source) => break Err(source),
            }
        };
        let told = told::failures(&String::from_utf8_lossy(&output));
        match ended(mem::take(&mut self.line), status) {
            Err(Failure::Unsuccessful { command, status }) if !told.is_empty() => {
                Err(Failure::Tests {
                    command,
                    status,
                    told,
                })
            }
            outcome => outcome,
        }
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
    use std::fs;
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
