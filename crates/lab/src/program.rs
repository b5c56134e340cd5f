//! Programs: started with their output kept, ended together with everything they started.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, getpriority_pgrp, getpriority_process, kill_process, kill_process_group,
};
use tempfile::NamedTempFile;

use crate::{PATIENCE, wait_for};

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
    /// Starts a program without input.
    pub fn start(command: Command) -> Self {
        Self::start_with(Stdio::null(), command)
    }

    /// The same for a program that reads its input.
    pub fn start_talking(command: Command) -> (Self, ChildStdin) {
        let mut program = Self::start_with(Stdio::piped(), command);
        let input = program.child.stdin.take().expect("a pipe");
        (program, input)
    }

    fn start_with(input: Stdio, mut command: Command) -> Self {
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
                panic!("{name} is not installed: `cargo xtask tools` installs what tests need")
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
    pub fn run(command: Command, patience: Duration) -> Ended {
        Self::start(command).wait(patience)
    }

    /// Runs `command` to its end, which must be a success, and returns its output.
    #[track_caller]
    pub fn succeed(command: Command) -> String {
        let what = format!("{command:?}");
        let Ended { status, output } = Self::run(command, PATIENCE);
        assert!(status.success(), "{what} ended with {status}: {output}");
        output
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
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The same as it came: a character may be there in part.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.output.path()).expect("the output file")
    }

    /// Waits until the program has written these words. It must not end before.
    #[track_caller]
    pub fn wait_for_words(&mut self, words: &str) {
        wait_for(&format!("{} to write {words}", self.name), PATIENCE, || {
            let is_written = self.output().contains(words);
            let status = self.ended().filter(|_| !is_written);
            assert_eq!(status, None, "{} ended", self.name);
            is_written.then_some(())
        });
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        // The program may have ended already.
        let _ = kill_process(self.pid(), signal);
    }

    /// Does this while the program stands still: what comes meanwhile is all there when it goes on.
    #[track_caller]
    pub fn while_stopped<T>(&self, it: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        // A thread that waits for a processor first ends the system call that it is in.
        wait_for("every thread to stop", PATIENCE, || {
            let tasks = fs::read_dir(self.proc_path("task")).expect("a living process");
            let mut states = tasks
                .flatten()
                .map(|task| fs::read_to_string(task.path().join("stat")));
            // The state follows the name, which is in parentheses. man 5 proc
            let is_stopped = |stat: String| {
                stat.rsplit(") ")
                    .next()
                    .is_some_and(|rest| rest.starts_with('T'))
            };
            states.all(|stat| stat.is_ok_and(is_stopped)).then_some(())
        });
        let done = it();
        self.signal(Signal::CONT);
        done
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The memory that the process has of its own, in bytes: not its code, of which the kernel brings in 64 KiB wherever
    /// a page runs for the first time.
    pub fn memory(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// The most memory that the process ever had of its own, in bytes. The kernel keeps the peak of all its memory: code
    /// that came after the peak is taken off it, too.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:") - self.status("RssFile:")
    }

    /// The processor time that the process has used.
    pub fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        // The second field, a name in parentheses, may hold spaces. proc_pid_stat(5)
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Whether a thread of its process group has a higher priority than the test.
    pub fn is_favoured(&self) -> bool {
        // Nice values, low where the priority is high.
        let highest = getpriority_pgrp(Some(self.pid())).expect("a living process");
        highest < getpriority_process(None).expect("our own")
    }

    fn status(&self, field: &str) -> u64 {
        1024 * number_after(&self.proc("status"), field).expect("a size in KiB")
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(self.proc_path(file)).expect("a living process")
    }

    fn proc_path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid().as_raw_nonzero())
    }
}

impl Ended {
    /// How often this happened at the sockets of a server, by its last lines.
    pub fn sockets(&self, what: &str) -> u64 {
        self.total(&format!("sockets what=\"{what}\" count="))
    }

    /// How often this happened at the server for browsers, by its last lines.
    pub fn http(&self, what: &str) -> u64 {
        self.total(&format!("http what=\"{what}\" count="))
    }

    /// How many packets a server dropped for this cause, by its last lines.
    pub fn dropped(&self, cause: &str) -> u64 {
        self.total(&format!("dropped cause=\"{cause}\" packets="))
    }

    /// A number that is zero is not logged.
    fn total(&self, label: &str) -> u64 {
        number_after(&self.output, label).unwrap_or(0)
    }
}

/// The number after the last place where `label` stands.
pub fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(label)?;
    let rest = rest.trim_start();
    let end = rest.find(|it: char| !it.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// A program on the test's own host.
pub fn here(program: &str) -> Command {
    Command::new(program)
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
