//! Servers on the Internet, each kind at addresses of its own, so that all of them run at once.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    process::Command,
    thread,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    lab::{
        PATIENCE,
        program::Program,
        server::{PASSWORD, REALM, USER, answers_udp, binary},
        wait_for,
    },
    net::{server_v4, server_v6},
};

/// A running server. It is stopped, and must not have panicked, when dropped.
pub(crate) struct Server {
    program: Program,
    _files: TempDir,
}

/// What a server can tell of a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hairpin on a host with two addresses: RFC 5780.
    Alternate,
    /// Coturn on a host with two addresses: the same.
    Coturn,
    /// Hairpin twice without RFC 5780.
    Ordinary,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Alternate, Self::Coturn, Self::Ordinary];

    /// Whether it speaks RFC 5780.
    pub(crate) const fn tells_all(self) -> bool {
        match self {
            Self::Alternate | Self::Coturn => true,
            Self::Ordinary => false,
        }
    }

    /// The last bytes of its addresses.
    const fn addresses(self) -> [u8; 2] {
        match self {
            Self::Alternate => [1, 2],
            Self::Coturn => [21, 22],
            Self::Ordinary => [31, 32],
        }
    }

    /// What a probe is given to ask it.
    pub(crate) fn uris(self) -> Vec<String> {
        let [first, second] = self
            .addresses()
            .map(|last| format!("stun:{}", server_v4(last)));
        match self {
            Self::Alternate | Self::Coturn => vec![first],
            Self::Ordinary => vec![first, second],
        }
    }

    /// The same over IPv6.
    pub(crate) fn uris_v6(self) -> Vec<String> {
        let [first, second] = self
            .addresses()
            .map(|last| format!("stun:[{}]", server_v6(last)));
        match self {
            Self::Alternate | Self::Coturn => vec![first],
            Self::Ordinary => vec![first, second],
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(self) -> Server {
        let [first, second] = self.addresses();
        match self {
            Self::Alternate => {
                let [v4, v6] = [IpAddr::from(server_v4(second)), server_v6(second).into()]
                    .map(|ip| SocketAddr::new(ip, 3479));
                let more = format!("[nat-discovery]\nalternate = [\"{v4}\", \"{v6}\"]\n");
                hairpin(&[first], &more)
            }
            Self::Coturn => coturn(&[first, second], &[]),
            Self::Ordinary => hairpin(&[first, second], ""),
        }
    }
}

/// Starts Hairpin. It relays from the first of its addresses, to homes and to itself.
pub(crate) fn hairpin(addresses: &[u8], more: &str) -> Server {
    let files = TempDir::new().expect("a temporary directory");
    let listeners: String = listeners(addresses)
        .flat_map(|listen| ["udp", "tcp"].map(|transport| (transport, listen)))
        .map(|(transport, listen)| {
            format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{listen}\"\n")
        })
        .collect();
    let config = format!(
        "realm = \"{REALM}\"\n\
         threads = 2\n\
         {listeners}\
         [relay]\n\
         addresses = [\"{}\"]\n\
         [auth.users]\n\
         {USER} = \"{PASSWORD}\"\n\
         [peers]\n\
         allow = [\"203.0.113.0/24\"]\n\
         {more}",
        server_v4(addresses[0])
    );
    let path = files.path().join("turnserver.toml");
    fs::write(&path, config).expect("the temporary directory is ours");
    let mut command = Command::new(binary());
    command.args(["serve", "--config"]).arg(path);
    Server::ready(Program::start(command, "util-linux"), files, addresses)
}

/// Starts coturn, which serves RFC 5780 if it has two addresses.
pub(crate) fn coturn(addresses: &[u8], more: &[&str]) -> Server {
    let files = TempDir::new().expect("a temporary directory");
    let mut command = Command::new("turnserver");
    command.args(["-n", "--log-file", "stdout", "--simple-log", "--no-cli"]);
    command.args(["--stun-only", "--no-dtls"]);
    for address in addresses {
        for ip in [
            server_v4(*address).to_string(),
            server_v6(*address).to_string(),
        ] {
            command.args(["--listening-ip", &ip]);
        }
    }
    command.args(["--listening-port", "3478", "--alt-listening-port", "3479"]);
    command.arg("--pidfile").arg(files.path().join("pid"));
    command.arg("--userdb").arg(files.path().join("users"));
    command.args(more);
    Server::ready(Program::start(command, "coturn"), files, addresses)
}

impl Server {
    fn ready(program: Program, files: TempDir, addresses: &[u8]) -> Self {
        let mut server = Self {
            program,
            _files: files,
        };
        for listener in listeners(addresses) {
            wait_for("the server to answer", PATIENCE, || {
                if let Some(status) = server.program.ended() {
                    panic!("the server ended with {status}");
                }
                (answers_udp(listener) && TcpStream::connect(listener).is_ok()).then_some(())
            });
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test has its message already; a second panic would hide it.
        if thread::panicking() {
            return;
        }
        self.program.signal(Signal::TERM);
        let log = self.program.wait(PATIENCE).output;
        assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
    }
}

fn listeners(addresses: &[u8]) -> impl Iterator<Item = SocketAddr> {
    addresses.iter().flat_map(|last| {
        [IpAddr::from(server_v4(*last)), server_v6(*last).into()]
            .map(|ip| SocketAddr::new(ip, 3478))
    })
}
