//! Servers: started, waited for, read and stopped.

use std::{
    env,
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use client::Transport;
use rustix::process::Signal;
use serde_json::{Deserializer, Value};
use tempfile::TempDir;

use crate::{
    PATIENCE,
    namespaces::{LIFETIME, in_own_namespaces},
    program::{Ended, Program, here},
    setup::Setup,
    socket::LiveSocket,
    wait_for,
    world::World,
};

/// A running server, stopped when dropped.
pub struct Server {
    /// The server itself.
    pub program: Program,
    files: TempDir,
    is_hairpin: bool,
}

impl Server {
    /// Starts Hairpin on the test's own host, and waits until it listens.
    #[track_caller]
    pub fn start(setup: Setup) -> Self {
        Self::start_by(here, setup)
    }

    /// The same by a command from `how`, which says where and how a program runs.
    #[track_caller]
    pub fn start_by(how: impl FnOnce(&str) -> Command, setup: Setup) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        Self::listening(setup.command(how, files.path()), files)
    }

    /// Starts Hairpin as a new user does: without a configuration. It keeps its state in `home`.
    #[track_caller]
    pub fn unconfigured(
        how: impl FnOnce(&str) -> Command,
        home: &Path,
        arguments: &[&str],
    ) -> Self {
        let mut command = serve(how);
        command.args(arguments).env("HOME", home);
        Self::listening(command, TempDir::new().expect("a temporary directory"))
    }

    #[track_caller]
    fn listening(command: Command, files: TempDir) -> Self {
        let mut program = Program::start(command);
        // All listeners are bound before the first is logged.
        program.wait_for_words("listening");
        Self {
            program,
            files,
            is_hairpin: true,
        }
    }

    /// Starts coturn by a command from `how`, and waits until it answers.
    #[track_caller]
    pub fn coturn(
        how: impl FnOnce(&str) -> Command,
        listeners: &[SocketAddr],
        options: &[&str],
    ) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let mut command = how("turnserver");
        command.args(["-n", "--log-file", "stdout", "--simple-log", "--no-cli"]);
        for listener in listeners {
            command.args(["--listening-ip", &listener.ip().to_string()]);
            command.args(["--listening-port", &listener.port().to_string()]);
        }
        command.arg("--pidfile").arg(files.path().join("pid"));
        command.arg("--userdb").arg(files.path().join("users"));
        command.args(options);
        let mut program = Program::start(command);
        for listener in listeners {
            wait_for("coturn to answer", PATIENCE, || {
                if let Some(status) = program.ended() {
                    panic!("coturn ended with {status}");
                }
                let is_tcp = options.contains(&"--no-tcp") || TcpStream::connect(listener).is_ok();
                (is_tcp && answers_udp(*listener)).then_some(())
            });
        }
        Self {
            program,
            files,
            is_hairpin: false,
        }
    }

    /// The file of the configuration.
    pub fn config(&self) -> String {
        self.file("turnserver.toml")
    }

    /// The file of this name beside the configuration.
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.program.output()
    }

    /// Waits for a line of the log that has all of these words.
    #[track_caller]
    pub fn wait_for_line(&self, words: &[&str]) {
        wait_for(&format!("a line with {words:?}"), PATIENCE, || {
            let log = self.log();
            let mut lines = log.lines();
            lines
                .any(|line| words.iter().all(|word| line.contains(word)))
                .then_some(())
        });
    }

    /// Waits until the log has these words so many times.
    #[track_caller]
    pub fn wait_for_lines(&self, words: &str, count: usize) {
        wait_for(&format!("{count} lines with {words}"), 2 * PATIENCE, || {
            (self.log().matches(words).count() == count).then_some(())
        });
    }

    /// Waits until this is the last news of each of these partners: on a busy machine one may be lost for a while.
    #[track_caller]
    pub fn wait_for_news(&self, news: &str, partners: [IpAddr; 2]) {
        for ip in partners {
            // Its port does not matter.
            let partner = SocketAddr::new(ip, 0).to_string();
            let partner = partner.trim_end_matches('0');
            wait_for(&format!("{news} of {partner}"), 2 * PATIENCE, || {
                let log = self.log();
                let last = log.lines().rfind(|line| {
                    let is_news = line.contains("partner.met") || line.contains("partner.lost");
                    is_news && line.contains(partner)
                })?;
                last.contains(news).then_some(())
            });
        }
    }

    /// The `iceServers` that a server without configuration prints for a web page.
    #[track_caller]
    pub fn printed_ice_servers(&self) -> Value {
        wait_for("iceServers", PATIENCE, || {
            let log = self.log();
            let object = &log[log.find("{\n")?..];
            let mut values = Deserializer::from_str(object).into_iter::<Value>();
            let mut printed = values.next()?.ok()?;
            Some(printed["iceServers"].take())
        })
    }

    /// Asks the server to end, and returns how it did; its last lines have the totals.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.program.signal(Signal::TERM);
        let ended = self.wait();
        // Coturn leaves the signal to the system.
        let is_orderly = ended.status.success() || !self.is_hairpin;
        assert!(
            is_orderly && !ended.output.contains("panicked"),
            "{ended:?}"
        );
        ended
    }

    /// Asks the server to grant nothing new and to end with its last allocation.
    #[track_caller]
    pub fn drain(&self) {
        self.program.signal(Signal::USR1);
        self.wait_for_line(&["draining"]);
    }

    /// Waits for the server to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        self.program.wait(TIME_TO_STOP)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test has its message already; a second panic would hide it.
        if !thread::panicking() {
            self.stop();
        }
    }
}

/// Runs the test `promise` in a world of its own, in which this server runs. Call it as the test's
/// only statement.
pub fn serving<F: FnOnce(&World, &mut Server)>(setup: Setup, promise: F) {
    in_own_namespaces::<F>(LIFETIME, || {
        let world = World::new();
        promise(&world, &mut world.serve(setup));
    });
}

impl World {
    /// Starts the server under test on the server's host: Hairpin, or coturn to find out which of
    /// them is at fault when a test fails.
    #[track_caller]
    pub fn serve(&self, setup: Setup) -> Server {
        let how = |program: &str| self.on_server_host(program);
        match env::var("HAIRPIN_TEST_SERVER").as_deref() {
            Err(_) | Ok("hairpin") => Server::start_by(how, setup),
            Ok("coturn") => {
                let files = TempDir::new().expect("a temporary directory");
                let certificate = setup.write_certificate(files.path());
                let options = coturn_options(&setup, certificate.as_ref());
                Server::coturn(how, &setup.listeners(), &options)
            }
            Ok(other) => panic!("HAIRPIN_TEST_SERVER is hairpin or coturn, not {other}"),
        }
    }

    /// Starts Hairpin there without a configuration. It keeps its state in `home`.
    #[track_caller]
    pub fn serve_unconfigured(&self, home: &Path) -> Server {
        Server::unconfigured(|program| self.on_server_host(program), home, &[])
    }
}

/// Coturn takes users or a secret, not both: it is given the users.
fn coturn_options<'a>(setup: &'a Setup, certificate: Option<&'a [String; 2]>) -> Vec<&'a str> {
    let mut options = vec!["--no-dtls", "--lt-cred-mech", "--mobility"];
    match certificate {
        Some([chain, key]) => options.extend(["--cert", chain, "--pkey", key]),
        None => options.push("--no-tls"),
    }
    options.extend(["--realm", REALM, "--user", USER_AND_PASSWORD]);
    if let Some((first, last)) = setup.relay_ports() {
        options.extend(["--min-port", first, "--max-port", last]);
    }
    options
}

/// The port of servers for clients over this transport.
pub const fn port_of(transport: Transport) -> u16 {
    if transport.is_secure() {
        TLS_PORT
    } else {
        PORT
    }
}

/// `hairpin`: the binary that the environment names, or the one that Cargo built for the tests.
pub fn binary() -> String {
    let named = ["HAIRPIN_BIN", "CARGO_BIN_EXE_hairpin"].map(env::var);
    let mut named = named.into_iter().filter_map(Result::ok);
    named
        .next()
        .expect("a test that Cargo runs, or HAIRPIN_BIN")
}

/// `hairpin`, run by `how`, without the variables of the test's own environment. Without a home it
/// keeps no state, unless a test gives it a place.
pub fn hairpin_by(how: impl FnOnce(&str) -> Command) -> Command {
    let mut command = how(&binary());
    for variable in [
        "HAIRPIN_CONFIG",
        "HAIRPIN_SECRET",
        "HOME",
        "STATE_DIRECTORY",
        "XDG_STATE_HOME",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// `hairpin serve`, likewise.
pub fn serve(how: impl FnOnce(&str) -> Command) -> Command {
    let mut command = hairpin_by(how);
    command.arg("serve");
    command
}

/// Whether a STUN Binding request comes back as a response.
fn answers_udp(server: SocketAddr) -> bool {
    let socket = LiveSocket::to(server, Transport::Udp, 0);
    socket.datagrams().send(&BINDING).is_ok()
        && socket
            .receive(&mut [0; 512], Duration::from_millis(100))
            .is_some()
}

/// The port of servers, unless a test says otherwise.
pub const PORT: u16 = 3478;
/// The port of servers for TLS.
pub const TLS_PORT: u16 = 5349;
/// The realm of servers.
pub const REALM: &str = "hairpin.test";
/// The user of servers.
pub const USER: &str = "alice";
/// The user's password.
pub const PASSWORD: &str = "wonderland";
/// Both, as coturn takes them.
pub const USER_AND_PASSWORD: &str = "alice:wonderland";
/// The operator's token.
pub const TOKEN: &str = "b25lIHdobyBvcGVyYXRlcyBpdA==";
/// The secret that time-limited credentials are minted from.
pub const SECRET: &str = "a secret shared with the web application";
/// The longest time that the server may take after SIGTERM.
const TIME_TO_STOP: Duration = Duration::from_secs(5);
/// A Binding request: length 0, the magic cookie, a transaction id. RFC 8489 §5.
pub const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42is it there?";
