//! The servers that are compared: their programs, their files, and when they are ready.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::processors::Processors;
use super::rows::Place;
use crate::background::Background;
use crate::command::{output, run};
use crate::failure::Failure;
use crate::suite;
use crate::workspace::{Workspace, read};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Hairpin,
    Coturn,
    /// The plain forwarder
    Forwarder,
    /// The forwarder with GRO and GSO
    Offload,
}

/// The programs that are measured, and those that measure.
pub(super) struct Programs {
    pub(super) hairpin: PathBuf,
    forwarder: PathBuf,
    /// The directory of the servers' files.
    place: TempDir,
    pub(super) processors: Processors,
}

impl Programs {
    /// Builds what the environment does not name, and writes the servers' files.
    pub(super) fn prepare(workspace: &Workspace) -> Result<Self, Failure> {
        let named = ["HAIRPIN_BIN", "HAIRPIN_TEST_FORWARDER"].map(env::var_os);
        if named.contains(&None) {
            run(suite::programs(workspace).arg("--release"))?;
        }
        let built = |name: &str| workspace.target().join("release").join(name);
        let [hairpin, forwarder] = named;
        let programs = Self {
            hairpin: hairpin.map_or_else(|| built("hairpin"), PathBuf::from),
            forwarder: forwarder.map_or_else(|| built("forwarder"), PathBuf::from),
            place: tempfile::tempdir().map_err(|source| Failure::File {
                path: env::temp_dir(),
                source,
            })?,
            processors: Processors::of_this_process(),
        };
        programs.write_files()?;
        Ok(programs)
    }

    fn write_files(&self) -> Result<(), Failure> {
        let write = |name: &str, content: &str| {
            let path = self.place.path().join(name);
            fs::write(&path, content).map_err(|source| Failure::File { path, source })
        };
        write(PINNED, &format!("threads = 1\n{CONFIG}"))?;
        write(FREE, CONFIG)?;
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                    -subj /CN=bench.test -addext subjectAltName=IP:127.0.0.1,DNS:bench.test";
        let mut openssl = Command::new("openssl");
        openssl
            .args(line.split_whitespace())
            .current_dir(self.place.path());
        openssl.args(["-out", CERTIFICATE, "-keyout", KEY]);
        // It tells its progress as if it were an error.
        output(openssl.stderr(Stdio::null())).map(|_| ())
    }

    /// Starts a server, and waits until its sockets are open.
    pub(super) fn start(&self, kind: Kind, place: Place) -> Result<Background, Failure> {
        let mut command = match kind {
            Kind::Hairpin => self.hairpin(place),
            Kind::Coturn => self.coturn(place),
            Kind::Forwarder => self.forwarder("plain"),
            Kind::Offload => self.forwarder("offload"),
        };
        command.stdin(Stdio::null()).current_dir(self.place.path());
        let log = self
            .place
            .path()
            .join(format!("{kind}.log").replace(' ', "-"));
        let mut server = Background::start(&mut command, log.clone())?;
        let ports: &[(&str, u16)] = match kind {
            Kind::Hairpin | Kind::Coturn => &[("udp", PORT), ("tcp", PORT), ("tcp", TLS_PORT)],
            Kind::Forwarder | Kind::Offload => &[("udp", PORT)],
        };
        let until = Instant::now() + PATIENCE;
        while !ports
            .iter()
            .all(|(protocol, port)| is_open(protocol, *port))
        {
            if server.has_ended() || Instant::now() > until {
                let log = read(&log).unwrap_or_default();
                let why = last_lines(&log);
                let finding = format!("{kind} does not start; it said last:\n{why}");
                return Err(Failure::Findings(vec![finding]));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn hairpin(&self, place: Place) -> Command {
        let mut command = self.placed(place, &self.hairpin);
        let config = match place {
            Place::Pinned => PINNED,
            Place::Free => FREE,
        };
        command.args(["serve", "--config", config]);
        command
    }

    fn coturn(&self, place: Place) -> Command {
        let mut command = self.placed(place, Path::new("turnserver"));
        let line = format!(
            "-n --no-cli --no-dtls --lt-cred-mech --realm bench.test --user {USER}:{PASSWORD} \
             -L {LOOPBACK} -E {LOOPBACK} --allow-loopback-peers --min-port 20000 --max-port 29999 \
             --log-file stdout --simple-log --cert {CERTIFICATE} --pkey {KEY} --pidfile pid --userdb users"
        );
        command.args(line.split_whitespace());
        match place {
            Place::Pinned => command.args(["--relay-threads", "1"]),
            Place::Free => &mut command,
        };
        command
    }

    fn forwarder(&self, how: &str) -> Command {
        let mut command = self.placed(Place::Pinned, &self.forwarder);
        command.args([how, &format!("{LOOPBACK}:{PORT}")]);
        command
    }

    fn placed(&self, place: Place, program: &Path) -> Command {
        let program = program.to_string_lossy();
        match place {
            Place::Pinned => self.processors.for_server(&program),
            Place::Free => Command::new(program.as_ref()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hairpin => "Hairpin",
            Self::Coturn => "coturn",
            Self::Forwarder => "forwarder",
            Self::Offload => "GSO forwarder",
        })
    }
}

/// The end of a log, where the reason is.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}

/// Whether a socket of this network namespace has the port. proc_pid_net(5)
fn is_open(protocol: &str, port: u16) -> bool {
    let table = read(Path::new(&format!("/proc/thread-self/net/{protocol}"))).unwrap_or_default();
    let end = format!(":{port:04X}");
    let mut sockets = table.lines().skip(1);
    sockets.any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next(), fields.next());
        // A listening socket has no other end.
        local.is_some_and(|local| local.ends_with(&end))
            && remote.is_some_and(|remote| remote.ends_with(":0000"))
    })
}

pub(super) const LOOPBACK: &str = "127.0.0.1";
pub(super) const PORT: u16 = 3478;
pub(super) const TLS_PORT: u16 = 5349;
pub(super) const USER: &str = "alice";
pub(super) const PASSWORD: &str = "wonderland";

const CERTIFICATE: &str = "bench.pem";
const KEY: &str = "bench.key";
const PINNED: &str = "pinned.toml";
const FREE: &str = "free.toml";
const PATIENCE: Duration = Duration::from_secs(20);

/// Without the limits that a load of one user from one host would meet.
const CONFIG: &str = r#"
realm = "bench.test"
[[listener]]
transport = "udp"
listen = "127.0.0.1:3478"
[[listener]]
transport = "tcp"
listen = "127.0.0.1:3478"
[[listener]]
transport = "tls"
listen = "127.0.0.1:5349"
[[tls.certificates]]
cert = "bench.pem"
key = "bench.key"
[tcp]
per-prefix = 1000000
[unauthenticated]
per-prefix = "unlimited"
total = "unlimited"
[allocation]
per-user = 0
[relay]
addresses = ["127.0.0.1"]
# Below those that clients get from the system.
ports = "20000-29999"
[auth.users]
alice = "wonderland"
[peers]
allow = ["127.0.0.0/8"]
"#;
