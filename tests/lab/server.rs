//! The server under test: Hairpin, or coturn to find out which of them is at fault when a test
//! fails.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    ops::RangeInclusive,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Deserializer, Value};
use tempfile::TempDir;

use super::{
    PATIENCE,
    program::{Ended, Program},
    wait_for,
    world::{FAR_V4, FAR_V6, PEER_V4, PEER_V6, SERVER_V4, SERVER_V6, World},
};

pub(crate) const REALM: &str = "hairpin.test";
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland";
pub(crate) const SECRET: &str = "a secret shared with the web application";

/// The server that a test wants, in terms of no server's own.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) port: u16,
    /// Shards: 0 is one per core.
    pub(crate) threads: u16,
    pub(crate) mobility: bool,
    /// More of `[auth]`, in Hairpin's format.
    pub(crate) auth: &'static str,
    /// More of `[allocation]`.
    pub(crate) allocation: &'static str,
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// Whether the server relays to `PEER_V4`, `PEER_V6` and the far host, which have documentation
    /// addresses.
    pub(crate) allow_peers: bool,
    /// Whether there is a shared secret beside the user; if so, names cannot be hashed.
    pub(crate) has_secret: bool,
    /// `[auth] sha256`.
    pub(crate) sha256: &'static str,
    /// The content of the file of `[auth] nonce-secret-file`.
    pub(crate) nonce_secret: Option<&'static str>,
    pub(crate) log_level: &'static str,
    pub(crate) log_addresses: bool,
    /// More of the configuration, in Hairpin's format.
    pub(crate) more: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            port: 3478,
            threads: 0,
            mobility: true,
            auth: "",
            allocation: "",
            relay_ports: 49152..=65535,
            allow_peers: true,
            has_secret: true,
            sha256: "offer",
            nonce_secret: None,
            log_level: "info",
            log_addresses: false,
            more: String::new(),
        }
    }
}

/// A running server, stopped when dropped.
pub(crate) struct Server {
    pub(crate) program: Program,
    files: TempDir,
}

impl Server {
    pub(crate) fn start(world: &World, setup: Setup) -> Self {
        Self::start_prepared(world, setup, |_| ())
    }

    /// The same, once `prepare` has put files of its own beside the configuration.
    pub(crate) fn start_prepared(world: &World, setup: Setup, prepare: impl FnOnce(&Path)) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        prepare(files.path());
        let program = match Kind::under_test() {
            Kind::Hairpin => setup.hairpin(world, &files),
            Kind::Coturn => setup.coturn(world, &files),
        };
        Self::ready(program, files, setup.port)
    }

    /// Starts Hairpin as a new user does: without a configuration.
    pub(crate) fn start_unconfigured(world: &World) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let mut command = hairpin(world);
        command.arg("--state-dir").arg(files.path());
        Self::ready(Program::start(command, "util-linux"), files, 3478)
    }

    /// Starts Hairpin on any host, with a configuration of the test's own, and waits until it
    /// answers.
    pub(crate) fn start_anywhere(
        on_host: impl FnOnce(&str) -> Command,
        toml: &str,
        listeners: &[SocketAddr],
    ) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let config = files.path().join("turnserver.toml");
        fs::write(&config, toml).expect("the temporary directory is ours");
        let mut command = serve(on_host);
        command.arg("--config").arg(config);
        Self::at(listeners, Program::start(command, "util-linux"), files)
    }

    /// The server that runs as `program`, once it answers at all its `listeners`. It keeps the
    /// files until it ends.
    pub(crate) fn at(listeners: &[SocketAddr], program: Program, files: TempDir) -> Self {
        let mut server = Self { program, files };
        for listener in listeners {
            server.wait_until_ready(*listener);
        }
        server
    }

    /// Waits for a line of the log that has these words.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, words: &str) {
        wait_for(words, PATIENCE, || self.log().contains(words).then_some(()));
    }

    /// Changes a file beside the configuration, or the configuration, as a careful program does:
    /// the old content or the new one is there at any time.
    pub(crate) fn rewrite(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.files.path().join(name);
        let new = self.files.path().join("new");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&new, change(text)).expect("the temporary directory is ours");
        fs::rename(new, path).expect("the temporary directory is ours");
    }

    /// Where its configuration is.
    pub(crate) fn files(&self) -> &Path {
        self.files.path()
    }

    /// The server's log so far.
    pub(crate) fn log(&self) -> String {
        self.program.output()
    }

    /// The `iceServers` that a server without configuration prints for a web page.
    pub(crate) fn printed_ice_servers(&self) -> Value {
        wait_for("iceServers", PATIENCE, || {
            let log = self.log();
            let object = &log[log.find("{\n")?..];
            let mut values = Deserializer::from_str(object).into_iter::<Value>();
            let mut printed = values.next()?.ok()?;
            Some(printed["iceServers"].take())
        })
    }

    /// Asks the server to end, and returns how it did.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Ended {
        self.program.signal(Signal::TERM);
        self.program.wait(TIME_TO_STOP)
    }

    /// Asks the server to grant nothing new and to end with its last allocation.
    #[track_caller]
    pub(crate) fn drain(&self) {
        self.signal(Signal::USR1);
        wait_for("the server to drain", PATIENCE, || {
            self.log().contains("draining").then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Whether the server runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.program.ended().is_none()
    }

    /// Waits for the server to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Ended {
        self.program.wait(TIME_TO_STOP)
    }

    fn ready(program: Program, files: TempDir, port: u16) -> Self {
        let both = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];
        Self::at(&both.map(|ip| SocketAddr::new(ip, port)), program, files)
    }

    fn wait_until_ready(&mut self, listener: SocketAddr) {
        wait_for("the server to answer", PATIENCE, || {
            if let Some(status) = self.program.ended() {
                panic!("the server ended with {status}");
            }
            (answers_udp(listener) && TcpStream::connect(listener).is_ok()).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test has its message already; a second panic would hide it.
        if thread::panicking() {
            return;
        }
        self.stop();
        let log = self.log();
        assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
    }
}

enum Kind {
    Hairpin,
    Coturn,
}

impl Kind {
    fn under_test() -> Self {
        match env::var("HAIRPIN_TEST_SERVER").as_deref() {
            Err(_) | Ok("hairpin") => Self::Hairpin,
            Ok("coturn") => Self::Coturn,
            Ok(other) => panic!("HAIRPIN_TEST_SERVER is hairpin or coturn, not {other}"),
        }
    }
}

impl Setup {
    fn hairpin(&self, world: &World, files: &TempDir) -> Program {
        let config = files.path().join("turnserver.toml");
        fs::write(&config, self.toml()).expect("the temporary directory is ours");
        if let Some(secret) = self.nonce_secret {
            let file = files.path().join(NONCE_SECRET);
            fs::write(&file, secret).expect("the temporary directory is ours");
        }
        let mut command = hairpin(world);
        command.arg("--config").arg(config);
        Program::start(command, "util-linux")
    }

    fn toml(&self) -> String {
        let Self {
            port,
            threads,
            mobility,
            allocation,
            auth,
            relay_ports,
            ..
        } = self;
        let listeners: String = ["udp", "tcp"]
            .into_iter()
            .flat_map(|transport| {
                [
                    SocketAddr::new(SERVER_V4.into(), *port),
                    SocketAddr::new(SERVER_V6.into(), *port),
                ]
                .map(|listen| {
                    format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{listen}\"\n")
                })
            })
            .collect();
        let allow = if self.allow_peers {
            [PEER_V4, FAR_V4]
                .map(|ip| format!("\"{ip}/32\""))
                .into_iter()
                .chain([PEER_V6, FAR_V6].map(|ip| format!("\"{ip}/128\"")))
                .collect::<Vec<_>>()
                .join(", ")
        } else {
            String::new()
        };
        let secrets = if self.has_secret {
            format!("\"{SECRET}\"")
        } else {
            String::new()
        };
        let nonce_secret = match self.nonce_secret {
            Some(_) => format!("nonce-secret-file = \"{NONCE_SECRET}\"\n"),
            None => String::new(),
        };
        format!(
            "realm = \"{REALM}\"\n\
             threads = {threads}\n\
             {listeners}\
             [relay]\n\
             addresses = [\"{SERVER_V4}\", \"{SERVER_V6}\"]\n\
             ports = \"{}-{}\"\n\
             [auth]\n\
             secrets = [{secrets}]\n\
             sha256 = \"{}\"\n\
             {nonce_secret}\
             {auth}\
             [auth.users]\n\
             {USER} = \"{PASSWORD}\"\n\
             [allocation]\n\
             mobility = {mobility}\n\
             {allocation}\n\
             [peers]\n\
             allow = [{allow}]\n\
             [log]\n\
             level = \"{}\"\n\
             addresses = {}\n\
             {}",
            relay_ports.start(),
            relay_ports.end(),
            self.sha256,
            self.log_level,
            self.log_addresses,
            self.more,
        )
    }

    /// Coturn takes users or a secret, not both: it is given the users.
    fn coturn(&self, world: &World, files: &TempDir) -> Program {
        let mut command = world.on_server_host("turnserver");
        command.args(["-n", "--log-file", "stdout", "--simple-log"]);
        command.args([
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--lt-cred-mech",
            "--mobility",
        ]);
        command.args(["--realm", REALM, "--user", &format!("{USER}:{PASSWORD}")]);
        for address in [SERVER_V4.to_string(), SERVER_V6.to_string()] {
            command.args(["--listening-ip", &address, "--relay-ip", &address]);
        }
        let Self {
            port, relay_ports, ..
        } = self;
        command.args(["--listening-port", &port.to_string()]);
        command.args(["--min-port", &relay_ports.start().to_string()]);
        command.args(["--max-port", &relay_ports.end().to_string()]);
        command.arg("--pidfile").arg(files.path().join("pid"));
        command.arg("--userdb").arg(files.path().join("users"));
        Program::start(command, "coturn")
    }
}

/// `hairpin`: the binary that the environment names, or Cargo's.
pub(crate) fn binary() -> String {
    env::var("HAIRPIN_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hairpin").to_owned())
}

/// `hairpin serve` on the server's host.
fn hairpin(world: &World) -> Command {
    serve(|program| world.on_server_host(program))
}

/// `hairpin serve` on a host.
fn serve(on_host: impl FnOnce(&str) -> Command) -> Command {
    let mut command = on_host(&binary());
    // A configuration of this machine must not reach the test.
    command.arg("serve").env_remove("HAIRPIN_CONFIG");
    command
}

/// Whether a STUN Binding request comes back as a response.
fn answers_udp(server: SocketAddr) -> bool {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).expect("a free port");
    let mut answer = [0; 512];
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .is_ok()
        && socket.send_to(&BINDING_REQUEST, server).is_ok()
        && socket.recv(&mut answer).is_ok()
        && answer[4..20] == BINDING_REQUEST[4..20]
}

/// The name of the file, beside the configuration.
const NONCE_SECRET: &str = "nonce.secret";
/// The longest time that the server may take after SIGTERM.
const TIME_TO_STOP: Duration = Duration::from_secs(5);
/// Type Binding request, length 0, the magic cookie, a transaction id. RFC 8489 §5.
const BINDING_REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42is it there?";
