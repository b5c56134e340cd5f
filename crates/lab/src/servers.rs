//! Servers on the Internet, each kind at addresses of its own, so that all of them run at once.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
};

use crate::{
    authority::{SERVER_NAME, Wish},
    internet::{server_host, server_v4, server_v6},
    machine::{Machine, name_hosts},
    program::here,
    server::Server,
    setup::Setup,
};

/// The kinds of servers, by how they show the behaviour of a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Hairpin on a host with two addresses: RFC 5780.
    Alternate,
    /// Two of Hairpin with one address each, as partners: the same.
    Partners,
    /// Coturn on a host with two addresses: the same.
    Coturn,
    /// Hairpin at two addresses, without RFC 5780.
    Ordinary,
}

/// Servers that run. They are stopped when dropped.
pub struct Serving {
    // Fields are dropped in this order: the servers must be gone before their host.
    _servers: Vec<Server>,
    _host: Option<Machine>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Alternate,
        Self::Partners,
        Self::Coturn,
        Self::Ordinary,
    ];

    /// Whether it speaks RFC 5780.
    pub const fn tells_all(self) -> bool {
        match self {
            Self::Alternate | Self::Partners | Self::Coturn => true,
            Self::Ordinary => false,
        }
    }

    /// The URIs that a probe is given for it.
    pub fn uris(self) -> Vec<String> {
        self.asked(|last| format!("stun:{}", server_v4(last)))
    }

    /// The same over IPv6.
    pub fn uris_v6(self) -> Vec<String> {
        self.asked(|last| format!("stun:[{}]", server_v6(last)))
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> Serving {
        let [first, second] = self.addresses();
        let server = match self {
            Self::Alternate => {
                let table = format!("[nat-discovery]\nalternate = {}\n", at_3479(second));
                hairpin(&[first], &table)
            }
            Self::Partners => return partners(first, second),
            Self::Coturn => coturn(&[first, second], &[]),
            Self::Ordinary => hairpin(&[first, second], ""),
        };
        Serving {
            _servers: vec![server],
            _host: None,
        }
    }

    /// The last bytes of its addresses.
    const fn addresses(self) -> [u8; 2] {
        match self {
            Self::Alternate => [1, 2],
            Self::Partners => [11, 12],
            Self::Coturn => [21, 22],
            Self::Ordinary => [31, 32],
        }
    }

    /// A server that announces its other address is asked at one only.
    fn asked(self, uri: impl Fn(u8) -> String) -> Vec<String> {
        let [first, second] = self.addresses().map(uri);
        if self.tells_all() {
            vec![first]
        } else {
            vec![first, second]
        }
    }
}

/// Starts Hairpin. It relays from the first of its addresses, to homes and to itself.
#[track_caller]
pub fn hairpin(addresses: &[u8], more: &str) -> Server {
    hairpin_on(here, addresses, more)
}

/// The same, and at the first address it takes all streams on port 443, as a web server does.
#[track_caller]
pub fn hairpin_on_443(address: u8, more: &str) -> Server {
    let listen = SocketAddr::new(server_v4(address).into(), 443);
    let setup = setup(&[address], more)
        .with_certificates(&[Wish::RIGHT])
        .with(&format!(
            "[[listener]]\ntransport = 'auto'\nlisten = '{listen}'"
        ));
    name_hosts(&[(listen.ip(), SERVER_NAME)]);
    Server::start(setup)
}

#[track_caller]
fn hairpin_on(how: impl FnOnce(&str) -> Command, addresses: &[u8], more: &str) -> Server {
    Server::start_by(how, setup(addresses, more))
}

fn setup(addresses: &[u8], more: &str) -> Setup {
    Setup::at(&listeners(addresses), &[server_v4(addresses[0]).into()])
        .with("threads = 2\npeers.allow = ['203.0.113.0/24']")
        .with(more)
}

/// Two servers that have met, the second on another host.
fn partners(first: u8, second: u8) -> Serving {
    let table = |other| {
        let other = at_3479(other);
        format!("[nat-discovery]\npartner = {other}\nsecret = \"known to the two of them\"\n")
    };
    let host = server_host(second);
    let servers = vec![
        hairpin(&[first], &table(second)),
        hairpin_on(|program| host.command(program), &[second], &table(first)),
    ];
    for (server, other) in servers.iter().zip([second, first]) {
        server.wait_for_news("partner.met", both(other));
    }
    Serving {
        _servers: servers,
        _host: Some(host),
    }
}

/// Starts coturn, which speaks RFC 5780 if it has two addresses.
#[track_caller]
pub fn coturn(addresses: &[u8], more: &[&str]) -> Server {
    let discovery = ["--stun-only", "--no-dtls", "--alt-listening-port", "3479"];
    Server::coturn(here, &listeners(addresses), &[&discovery, more].concat())
}

/// The second address and port of an RFC 5780 server, of both families, in the form of the
/// configuration.
fn at_3479(last: u8) -> String {
    let [v4, v6] = both(last).map(|ip| SocketAddr::new(ip, 3479));
    format!("[\"{v4}\", \"{v6}\"]")
}

fn listeners(addresses: &[u8]) -> Vec<SocketAddr> {
    let ips = addresses.iter().flat_map(|last| both(*last));
    ips.map(|ip| SocketAddr::new(ip, 3478)).collect()
}

fn both(last: u8) -> [IpAddr; 2] {
    [server_v4(last).into(), server_v6(last).into()]
}
