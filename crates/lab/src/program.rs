//! Programs: started with their output kept, ended together with everything they started.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;

use crate::wait_for;

/// A running program. It leads a process group of its own, which ends with this value.
pub struct Program {
    name: String,
    child: Child,
    output: NamedTempFile,
}

/// How a program ended, and all that it wrote to both of its outputs.
#[derive(Debug)]
pub struct Ended {
    /// The exit code or the signal.
    pub status: ExitStatus,
    /// Standard output and standard error, as they came.
    pub output: String,
}

impl Program {
    /// Starts `command`, which Debian keeps in `package`.
    pub fn start(command: Command, package: &str) -> Self {
        Self::start_with(Stdio::null(), command, package)
    }

    /// The same for a program that reads its input.
    pub fn start_talking(command: Command, package: &str) -> (Self, ChildStdin) {
        let mut program = Self::start_with(Stdio::piped(), command, package);
        let input = program.child.stdin.take().expect("a pipe");
        (program, input)
    }

    fn start_with(input: Stdio, mut command: Command, package: &str) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        // A file, not a pipe: it need not be drained, and grandchildren may keep it open.
        let output = NamedTempFile::new().expect("a temporary file");
        let writer = || Stdio::from(output.as_file().try_clone().expect("a file handle"));
        command
            .stdin(input)
            .stdout(writer())
            .stderr(writer())
            .process_group(0);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{name} is not installed: apt-get install {package}")
            }
            Err(error) => panic!("{name} does not start: {error}"),
        };
        Self {
            name,
            child,
            output,
        }
    }

    /// Runs `command` to its end, which must come within `patience`.
    #[track_caller]
    pub fn run(command: Command, package: &str, patience: Duration) -> Ended {
        Self::start(command, package).wait(patience)
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> Ended {
        let what = format!("{} to end", self.name);
        let status = wait_for(&what, patience, || self.ended());
        let output = self.output();
        Ended { status, output }
    }

    /// How the program ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// The program's output so far.
    pub fn output(&self) -> String {
        let bytes = fs::read(self.output.path()).expect("the output file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        // The program may have ended already.
        let _ = kill_process(self.pid(), signal);
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, self.output());
        }
    }
}
