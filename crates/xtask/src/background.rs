//! Programs that run beside everything else, and whose output is read only when they have ended.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_in_the_background_fails_when_it_is_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo said; exit 3"]);
        let output = std::env::temp_dir().join(format!("background.{}", std::process::id()));
        let background = Background::start(&mut command, output.clone()).unwrap();
        let failure = background.join().unwrap_err().to_string();
        assert_eq!(
            failure,
            "`sh -c echo said; exit 3` ended with exit status: 3"
        );
        assert_eq!(fs::read_to_string(&output).unwrap(), "said\n");
        fs::remove_file(output).unwrap();
    }
}
