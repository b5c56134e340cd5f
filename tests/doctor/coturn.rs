//! Coturn on the server's host, with any fault that a test gives it; and Hairpin with any file.

use std::env;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lab::{
    PATIENCE,
    program::Program,
    server::{PASSWORD, REALM, USER},
    wait_for,
    world::{SERVER_V4, World},
};
use sha1::Sha1;
use tempfile::TempDir;

/// A running coturn, which ends with this value.
pub(crate) struct Coturn {
    _program: Program,
    _files: TempDir,
}

impl Coturn {
    /// With a user.
    pub(crate) fn start(world: &World, options: &[&str]) -> Self {
        let user = format!("{USER}:{PASSWORD}");
        let with_user = ["--lt-cred-mech", "--user", &user];
        Self::start_bare(world, &[&with_user, options].concat())
    }

    /// With a shared secret.
    pub(crate) fn start_with_secret(world: &World, secret: &str) -> Self {
        let secret = format!("--static-auth-secret={secret}");
        Self::start_bare(world, &["--use-auth-secret", &secret])
    }

    pub(crate) fn start_bare(world: &World, options: &[&str]) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let mut command = world.on_server_host("turnserver");
        command.args(["-n", "--log-file", "stdout", "--simple-log", "--no-cli"]);
        command.args(["--realm", REALM, "--listening-ip", &SERVER_V4.to_string()]);
        command.args(["--relay-ip", &SERVER_V4.to_string()]);
        command.arg("--pidfile").arg(files.path().join("pid"));
        command.arg("--userdb").arg(files.path().join("users"));
        command.args(options);
        let program = Program::start(command, "coturn");
        let coturn = Self {
            _program: program,
            _files: files,
        };
        wait_for_binding(SocketAddr::new(SERVER_V4.into(), 3478));
        if !options.contains(&"--no-tcp") {
            wait_for_connection(SocketAddr::new(SERVER_V4.into(), 3478));
        }
        coturn
    }
}

/// Hairpin on the server's host, with this configuration.
pub(crate) fn hairpin_with(world: &World, config: &Path) -> Program {
    let mut command = world.on_server_host(&hairpin());
    command.arg("serve").arg("--config").arg(config);
    command.env_remove("HAIRPIN_CONFIG");
    Program::start(command, "util-linux")
}

/// The binary that the environment names, or Cargo's.
pub(crate) fn hairpin() -> String {
    env::var("HAIRPIN_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hairpin").to_owned())
}

/// Waits until a Binding request is answered.
pub(crate) fn wait_for_binding(server: SocketAddr) {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).expect("a free port");
    let patience = Some(Duration::from_millis(100));
    socket.set_read_timeout(patience).expect("a time");
    wait_for("an answer over UDP", PATIENCE, || {
        let mut answer = [0; 512];
        // The server may not listen yet.
        let _ = socket.send_to(b"\x00\x01\x00\x00\x21\x12\xA4\x42is it there?", server);
        socket.recv(&mut answer).ok()
    });
}

fn wait_for_connection(server: SocketAddr) {
    wait_for("a TCP listener", PATIENCE, || {
        TcpStream::connect(server).ok()
    });
}

/// A user name that expires at `expiry`, and its password. The TURN REST convention.
pub(crate) fn minted(secret: &str, user: &str, expiry: u64) -> (String, String) {
    let name = format!("{expiry}:{user}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(name.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    (name, password)
}
