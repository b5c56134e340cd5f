//! The stacks, and how their peers are started.

use lab::{browser::Browser, nat::Nat, world::Host};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The software of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Aioice,
    Aiortc,
    Chromium,
    Firefox,
    Libnice,
    NodeDatachannel,
    Pion,
    Werift,
}

/// How a peer reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// One end of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) stack: Stack,
    pub(crate) transport: Transport,
}

/// The means to run a peer.
pub(crate) enum Means {
    /// A program of `tests/clients`, without its arguments.
    Program(Command),
    /// `tests/pages/talk.html`.
    Page(Browser),
}

impl Stack {
    pub(crate) const fn over_udp(self) -> End {
        End {
            stack: self,
            transport: Transport::Udp,
        }
    }

    pub(crate) const fn over_tcp(self) -> End {
        End {
            stack: self,
            transport: Transport::Tcp,
        }
    }

    /// The means to run its peer on a host.
    pub(crate) fn means(self, host: &Host) -> Means {
        let program = match self {
            Self::Chromium => return Means::Page(Browser::Chromium),
            Self::Firefox => return Means::Page(Browser::Firefox),
            Self::Aioice => script(host, &python(), "aioice_peer.py"),
            Self::Aiortc => script(host, &python(), "aiortc_peer.py"),
            // Debian has libnice only for its own Python.
            Self::Libnice => script(host, "/usr/bin/python3", "nice_peer.py"),
            Self::NodeDatachannel => node(host, "node-datachannel"),
            Self::Pion => host.command(&built("pion_peer").to_string_lossy()),
            Self::Werift => node(host, "werift"),
        };
        Means::Program(program)
    }
}

impl Transport {
    /// The name in a URI.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// The NAT that makes a peer need TURN over this transport.
    pub(crate) const fn nat(self) -> Nat {
        match self {
            Self::Udp => Nat::Symmetric,
            Self::Tcp => Nat::UdpBlocked,
        }
    }
}

fn script(host: &Host, interpreter: &str, name: &str) -> Command {
    let mut command = host.command(interpreter);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    command.arg(scripts.join(name));
    command
}

/// A Python that has aiortc and aioice.
fn python() -> String {
    env::var("HAIRPIN_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A package of npm that has the interface of browsers.
fn node(host: &Host, package: &str) -> Command {
    let mut command = script(host, "node", "node_peer.cjs");
    command.args(["--stack", package]);
    command.env("NODE_PATH", built("node_modules"));
    command
}

/// The path of a program that `cargo xtask tools` built for the clients.
fn built(name: &str) -> PathBuf {
    let directory = env::var_os("HAIRPIN_TEST_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"),
        PathBuf::from,
    );
    let path = directory.join(name);
    assert!(
        path.exists(),
        "there is no {}: `cargo xtask tools` makes it, and HAIRPIN_TEST_CLIENTS says where",
        path.display()
    );
    path
}
