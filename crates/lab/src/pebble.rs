//! Pebble, an ACME server for tests (RFC 8555), at the clients' host of a world, with a DNS that leads
//! every name to the server's host.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    PATIENCE,
    authority::{Authority, Key, Name, Wish},
    program::{Program, here},
    wait_for,
    world::{CLIENT_V4, SERVER_V4},
};

/// A running Pebble, which forgets everything when it is dropped.
pub struct Pebble {
    programs: Vec<Program>,
    files: TempDir,
}

/// The differences from a Pebble that gives everybody everything.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How long certificates hold.
    pub lifetime: Duration,
    /// Whether an account needs one that was opened elsewhere: [`ACCOUNT`].
    pub wants_account: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(90 * 24 * 3600),
            wants_account: false,
        }
    }
}

/// The name and the key of an account that was opened elsewhere.
pub const ACCOUNT: [&str; 2] = ["kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG4"];

impl Pebble {
    /// Starts it, and waits until it answers.
    #[track_caller]
    pub fn start(habits: Habits) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let authority = Authority::make();
        let issued = authority.issue(Wish {
            names: &[Name::Address(CLIENT_V4.into())],
            key: Key::P256,
            days: 90,
            is_complete: true,
        });
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).expect("the directory is ours");
            path
        };
        write(DIRECTORY_ROOT, authority.root());
        let config = json!({ "pebble": {
            "listenAddress": acme(),
            "managementListenAddress": management(),
            "certificate": write("chain.pem", &issued.chain),
            "privateKey": write("key.pem", &issued.key),
            "httpPort": 80,
            "tlsPort": 443,
            "certificateValidityPeriod": habits.lifetime.as_secs(),
            "externalAccountBindingRequired": habits.wants_account,
            "externalAccountMACKeys": { ACCOUNT[0]: ACCOUNT[1] },
        }});
        let path = write("pebble.json", &config.to_string());
        let dns = start_dns();
        let mut command = here("pebble");
        command.arg("-config").arg(path);
        command.args(["-dnsserver", &resolver().to_string()]);
        // Without it, it waits up to 15 seconds before it looks.
        command.env("PEBBLE_VA_NOSLEEP", "1");
        // A name that was proved before is proved again.
        command.env("PEBBLE_AUTHZREUSE", "0");
        let mut server = Program::start(command);
        server.wait_for_words("ACME directory available");
        Self {
            programs: vec![server, dns],
            files,
        }
    }

    /// Ends it, and leaves its files.
    pub fn stop(&mut self) {
        self.programs.clear();
    }

    /// The URL of its directory, and the file with the root by which it is believed there.
    pub fn directory(&self) -> [String; 2] {
        let root = self.files.path().join(DIRECTORY_ROOT);
        [
            format!("https://{}/dir", acme()),
            root.display().to_string(),
        ]
    }

    /// The keys of `[tls.acme]` by which a server comes here for these names.
    pub fn keys(&self, names: &[&str]) -> String {
        let [url, root] = self.directory();
        format!("[tls.acme]\nnames = {names:?}\ndirectory = '{url}'\nca-file = '{root}'\n")
    }

    /// The file with the root of its certificates.
    #[track_caller]
    pub fn root(&self) -> String {
        let path = self.files.path().join("root.pem");
        let mut command = here("openssl");
        command.args(["s_client", "-quiet", "-connect"]);
        command.arg(management().to_string());
        let (mut program, mut input) = Program::start_talking(command);
        input
            .write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n")
            .expect("a program that reads");
        let answer = program.wait(PATIENCE).output;
        fs::write(&path, answer).expect("the directory is ours");
        path.to_str().expect("a path of ASCII").to_owned()
    }
}

/// By which Pebble itself is believed; what it issues has a root of its own.
const DIRECTORY_ROOT: &str = "directory-root.pem";

fn start_dns() -> Program {
    let mut command: Command = here("pebble-challtestsrv");
    command.args(["-defaultIPv4", &SERVER_V4.to_string(), "-defaultIPv6", ""]);
    command.args(["-dns01", &resolver().to_string()]);
    for other in ["-http01", "-https01", "-tlsalpn01"] {
        command.args([other, ""]);
    }
    command.args(["-management", "127.0.0.1:8055"]);
    let program = Program::start(command);
    wait_for_dns();
    program
}

/// It says that it starts before it listens. A name that Pebble could not look up is refused, and the next order comes
/// minutes later.
#[track_caller]
fn wait_for_dns() {
    // RFC 1035 §4.1: one question, for the address of `a`.
    let question = b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    let socket = UdpSocket::bind((CLIENT_V4, 0)).expect("an address of ours");
    let patience = Some(Duration::from_millis(100));
    socket.set_read_timeout(patience).expect("a duration");
    socket.connect(resolver()).expect("a route");
    wait_for("an answer of the DNS", PATIENCE, || {
        // Either fails while nobody listens.
        socket.send(question).ok()?;
        socket.recv(&mut [0; 512]).ok()
    });
}

fn acme() -> SocketAddr {
    (CLIENT_V4, 14000).into()
}

fn management() -> SocketAddr {
    (CLIENT_V4, 15000).into()
}

fn resolver() -> SocketAddr {
    (CLIENT_V4, 8053).into()
}
