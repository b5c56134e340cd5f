//! The stacks, and how their peers are started.

use std::process::Command;

use lab::{
    authority::SERVER_NAME,
    browser::Browser,
    foreign::{built, node, python, script},
    internet::server_v4,
    machine::Machine,
    nat::Nat,
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
    Tls,
    Dtls,
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

    pub(crate) const fn over_tls(self) -> End {
        End {
            stack: self,
            transport: Transport::Tls,
        }
    }

    pub(crate) const fn over_dtls(self) -> End {
        End {
            stack: self,
            transport: Transport::Dtls,
        }
    }

    /// The means to run its peer on a host.
    pub(crate) fn means(self, host: &Machine) -> Means {
        let how = |program: &str| host.command(program);
        let program = match self {
            Self::Chromium => return Means::Page(Browser::Chromium),
            Self::Firefox => return Means::Page(Browser::Firefox),
            Self::Aioice => script(how, &python(), "aioice_peer.py"),
            Self::Aiortc => script(how, &python(), "aiortc_peer.py"),
            // Debian has libnice only for its own Python.
            Self::Libnice => script(how, "/usr/bin/python3", "nice_peer.py"),
            Self::NodeDatachannel => node(how, "node-datachannel"),
            Self::Pion => how(&built("pion_peer").to_string_lossy()),
            Self::Werift => node(how, "werift"),
        };
        Means::Program(program)
    }
}

impl Transport {
    /// The URI of the first server there is. Firefox opens no TLS to an address; libnice takes only
    /// addresses.
    pub(crate) fn uri(self, stack: Stack) -> String {
        let address = server_v4(1);
        match self {
            Self::Udp => format!("turn:{address}:3478?transport=udp"),
            Self::Tcp => format!("turn:{address}:3478?transport=tcp"),
            Self::Tls if stack == Stack::Libnice => format!("turns:{address}:443?transport=tcp"),
            Self::Tls => format!("turns:{SERVER_NAME}:443?transport=tcp"),
            Self::Dtls => format!("turns:{SERVER_NAME}:443?transport=udp"),
        }
    }

    /// The NAT that makes a peer need TURN over this transport.
    pub(crate) const fn nat(self) -> Nat {
        match self {
            Self::Udp | Self::Dtls => Nat::Symmetric,
            Self::Tcp => Nat::UdpBlocked,
            Self::Tls => Nat::WebOnly,
        }
    }
}
