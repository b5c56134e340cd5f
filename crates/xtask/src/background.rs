//! Programs that run beside everything else, and whose output nobody reads before their end.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::command::{ended, line};
use crate::failure::Failure;

/// A program that runs. An interrupt from the keyboard ends it, too.
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

    /// Waits for its end and prints what it wrote.
    pub(crate) fn join(mut self) -> Result<(), Failure> {
        let status = self.child.wait();
        match fs::read(&self.output) {
            Ok(output) => eprint!("{}", String::from_utf8_lossy(&output)),
            Err(source) => eprintln!("{}: {source}", self.output.display()),
        }
        ended(self.line, status)
    }
}
