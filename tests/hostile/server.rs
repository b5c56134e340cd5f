//! A server on the test's own host, and its state as seen from outside.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::{
    PATIENCE,
    program::{Ended, Program},
    server::{PASSWORD, REALM, USER},
    wait_for,
};

/// The server's address, unless a test says otherwise. The host is the test's own, and so is the
/// port.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3478);

/// The server that a test wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Each is a UDP and a TCP listener.
    pub(crate) listen: &'static [&'static str],
    /// One, so that all clients share it and any disturbance reaches them.
    pub(crate) threads: usize,
    /// Below the ports that clients get from the system.
    pub(crate) relay_ports: &'static str,
    /// The address that relays.
    pub(crate) relay: Ipv4Addr,
    /// The peers that are allowed beside public ones.
    pub(crate) allow: &'static [&'static str],
    /// Whether anybody can allocate.
    pub(crate) users: bool,
    /// The table `[unauthenticated]`, where it is not the default.
    pub(crate) unauthenticated: &'static str,
    /// The limits of TCP clients, where they are not the default.
    pub(crate) tcp: &'static str,
    /// The only processor that the server may use, where it is not free to choose.
    pub(crate) processor: Option<usize>,
    /// Its limit of open files, where it is not the test's.
    pub(crate) open_files: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            listen: &["127.0.0.1:3478"],
            threads: 1,
            relay_ports: "20000-29999",
            relay: Ipv4Addr::LOCALHOST,
            allow: &["127.0.0.0/8"],
            users: true,
            unauthenticated: "",
            tcp: "",
            processor: None,
            open_files: None,
        }
    }
}

/// A running server, stopped when dropped.
pub(crate) struct Server {
    program: Program,
    _files: TempDir,
}

impl Server {
    /// Starts a server and waits until it listens.
    #[track_caller]
    pub(crate) fn start(setup: Setup) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let program = setup.start(&files);
        Self::ready(program, files, 2 * setup.listen.len())
    }

    /// Starts a server without configuration, which keeps its state in `home`.
    #[track_caller]
    pub(crate) fn start_unconfigured(home: &Path, arguments: &[&str]) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        // Both families, UDP and TCP.
        Self::ready(start_unconfigured(home, arguments), files, 4)
    }

    #[track_caller]
    fn ready(program: Program, files: TempDir, listeners: usize) -> Self {
        let mut server = Self {
            program,
            _files: files,
        };
        wait_for("the server to listen", PATIENCE, || {
            if let Some(status) = server.program.ended() {
                panic!("the server ended with {status}");
            }
            let listening = server.log().matches(" listening ").count();
            (listening == listeners).then_some(())
        });
        server
    }

    /// The server's log so far.
    pub(crate) fn log(&self) -> String {
        self.program.output()
    }

    /// Waits for a line that has all of these words.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, words: &[&str]) -> String {
        wait_for(&format!("a line with {words:?}"), PATIENCE, || {
            let log = self.log();
            let line = log
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            line.map(str::to_owned)
        })
    }

    /// The memory that the process has, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that the process ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The processor time that the server has used.
    pub(crate) fn processor_time(&self) -> Duration {
        let pid = self.program.pid().as_raw_nonzero();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
        // The second field, a name in parentheses, may hold spaces. proc_pid_stat(5)
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Asks the server to end; its last lines have the totals.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Totals {
        self.program.signal(Signal::TERM);
        let Ended { status, output } = self.program.wait(TIME_TO_STOP);
        assert_eq!(status.code(), Some(0), "{output}");
        assert_sane(&output);
        Totals(output)
    }

    fn status(&self, field: &str) -> u64 {
        let pid = self.program.pid().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kib.expect("a size").parse::<u64>().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test has its message already; a second panic would hide it.
        if !thread::panicking() {
            assert_sane(&self.log());
        }
    }
}

#[track_caller]
fn assert_sane(log: &str) {
    assert!(!log.contains("panicked"), "the server panicked:\n{log}");
}

/// The totals that a server logs at its end.
#[derive(Debug)]
pub(crate) struct Totals(String);

impl Totals {
    /// How often this happened at the sockets.
    pub(crate) fn sockets(&self, what: &str) -> u64 {
        self.number(&format!("sockets what=\"{what}\" count="))
    }

    /// How many packets were dropped for this cause.
    pub(crate) fn dropped(&self, cause: &str) -> u64 {
        self.number(&format!("dropped cause=\"{cause}\" packets="))
    }

    /// A number that is zero is not logged.
    fn number(&self, label: &str) -> u64 {
        let Some((_, rest)) = self.0.split_once(label) else {
            return 0;
        };
        let number = rest.split_whitespace().next().expect("a number");
        number.parse().expect("a number")
    }
}

pub(crate) fn hairpin() -> Command {
    serving(Command::new(binary()))
}

/// The binary that the environment names, or Cargo's.
fn binary() -> String {
    env::var("HAIRPIN_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hairpin").to_owned())
}

fn serving(mut command: Command) -> Command {
    command.arg("serve");
    // Variables of the test's own environment must not reach the server.
    for variable in ["HAIRPIN_CONFIG", "STATE_DIRECTORY", "XDG_STATE_HOME"] {
        command.env_remove(variable);
    }
    command
}

/// Starts a server without configuration, which may fail before it listens.
pub(crate) fn start_unconfigured(home: &Path, arguments: &[&str]) -> Program {
    let mut command = hairpin();
    command.args(arguments).env("HOME", home);
    Program::start(command, "util-linux")
}

impl Setup {
    /// Starts a server, which may fail before it listens.
    pub(crate) fn start(&self, files: &TempDir) -> Program {
        let config = files.path().join("turnserver.toml");
        fs::write(&config, self.toml()).expect("the temporary directory is ours");
        let within = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary());
            serving(command)
        };
        let mut command = match (self.processor, self.open_files) {
            (Some(processor), _) => within("taskset", &["-c", &processor.to_string()]),
            (None, Some(files)) => within("prlimit", &[&format!("--nofile={files}:{files}")]),
            (None, None) => hairpin(),
        };
        command.arg("--config").arg(config);
        Program::start(command, "util-linux")
    }

    pub(crate) fn toml(&self) -> String {
        let Self {
            threads,
            relay_ports,
            relay,
            allow,
            unauthenticated,
            tcp,
            ..
        } = self;
        let listeners: String = self
            .listen
            .iter()
            .flat_map(|listen| {
                ["udp", "tcp"].map(|transport| {
                    format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{listen}\"\n")
                })
            })
            .collect();
        let users = if self.users {
            format!("[auth.users]\n{USER} = \"{PASSWORD}\"\n{CROWD} = \"{PASSWORD}\"\n")
        } else {
            String::new()
        };
        format!(
            "realm = \"{REALM}\"\n\
             threads = {threads}\n\
             {listeners}\
             [relay]\n\
             addresses = [\"{relay}\"]\n\
             ports = \"{relay_ports}\"\n\
             {users}\
             [unauthenticated]\n\
             {unauthenticated}\n\
             [tcp]\n\
             {tcp}\n\
             [peers]\n\
             allow = {allow:?}\n"
        )
    }
}

/// A second user, of whom there are many clients.
pub(crate) const CROWD: &str = "crowd";
/// The longest time that the server may take after SIGTERM.
const TIME_TO_STOP: Duration = Duration::from_secs(5);
