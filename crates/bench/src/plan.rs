//! The plan of a measurement.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use client::Credentials;

use crate::carrier::datagrams;
use crate::packet::STAMP;
use crate::{Fault, Trust};

/// A measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub server: SocketAddr,
    /// How clients reach it.
    pub transport: Transport,
    /// The server's name in its certificate, and whom to believe it; only for TLS.
    pub trust: Option<Trust>,
    /// The user, unless only Bindings are asked for.
    pub credentials: Option<Credentials>,
    /// The address that peers send from; the one by which this host reaches the server if `None`.
    pub peer: Option<IpAddr>,
    /// The kind of load.
    pub mode: Mode,
    /// Whether data passes in Send and Data indications, and not in ChannelData.
    pub indications: bool,
    /// Bytes of application data in each packet.
    pub payload: usize,
    /// How many packets of a lane leave at a time.
    pub burst: usize,
    /// Whether a burst leaves in one message with segments (GSO), so that a server which asks for it receives it in one
    /// (GRO).
    pub together: bool,
    /// How many clients there are; of [`Mode::Relay`] half of them send to the other half.
    pub flows: usize,
    /// How many packets are sent.
    pub rate: Rate,
    /// How long it is measured, after a warm-up of a tenth of this.
    pub duration: Duration,
    /// Threads that send and receive.
    pub threads: usize,
    /// The process of the server, if it is on this host and its processor time is wanted.
    pub pid: Option<i32>,
}

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream within TLS.
    Tls,
}

/// The kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From clients to peers.
    Up,
    /// From peers to clients.
    Down,
    /// Both ways.
    Both,
    /// From one client to another, through the relayed addresses of both.
    Relay,
    /// Binding requests.
    Binding,
    /// Allocate, Refresh to 0, and again.
    Allocate,
    /// Connections that are opened and closed again; over TLS each with a whole handshake.
    Connect,
    /// Allocations that are opened and held.
    Idle,
}

/// How many packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As many as come back: each lane waits for what it has sent, so that next to nothing is lost.
    Max,
    /// So many a second, evenly.
    Even(u64),
    /// The highest rate at which no more than one packet in 200 is lost: it is searched for.
    Ramp,
}

impl Plan {
    /// Whether the server is on this host or in a private network, where a load disturbs nobody else. The kernel is
    /// asked for the route; no packet is sent.
    pub fn is_nearby(&self) -> bool {
        self.is_private() || self.is_on_this_host()
    }

    /// Whether the server has an address of this host.
    pub(crate) fn is_on_this_host(&self) -> bool {
        own_address(self.server).is_ok_and(|own| own == self.server.ip())
    }

    fn is_private(&self) -> bool {
        match self.server.ip().to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let wrong = |why: &'static str| Err(Fault::Plan(why));
        if self.payload < STAMP || self.payload > LARGEST {
            return wrong("the payload is from 28 to 1,472 bytes");
        }
        if self.burst == 0 || self.burst > MOST_IN_A_BURST {
            return wrong("a burst has from 1 to 64 packets");
        }
        if self.together && (self.transport != Transport::Udp || self.mode == Mode::Binding) {
            return wrong("only data over UDP leaves together");
        }
        if self.together && self.burst * (self.payload + MOST_FRAMING) > MOST_TOGETHER {
            return wrong("a burst that leaves together has at most 65,000 bytes");
        }
        if self.flows == 0 || self.flows > MOST_FLOWS {
            return wrong("there are from 1 to 100,000 flows");
        }
        if self.mode == Mode::Relay && self.flows < 2 {
            return wrong("from client to client there are at least two flows");
        }
        if self.rate == Rate::Even(0) {
            return wrong("the rate is at least one packet a second");
        }
        let has_no_packets = matches!(self.mode, Mode::Allocate | Mode::Connect | Mode::Idle);
        if self.rate == Rate::Ramp && has_no_packets {
            return wrong(
                "only for packets and Bindings is the highest rate searched: others take `max` or a rate",
            );
        }
        if self.mode == Mode::Binding && self.transport != Transport::Udp {
            return wrong("Bindings are measured over UDP only");
        }
        if self.mode == Mode::Connect && self.transport == Transport::Udp {
            return wrong("connections are measured over TCP and TLS only");
        }
        if self.threads == 0 {
            return wrong("there is at least one thread");
        }
        Ok(())
    }
}

/// The address by which this host reaches the server: the server's own, if it is of this host.
pub(crate) fn own_address(server: SocketAddr) -> io::Result<IpAddr> {
    let socket = datagrams(server, 0)?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// The largest payload, in bytes: a datagram of it fits an Ethernet frame without a TURN header.
const LARGEST: usize = 1472;
const MOST_IN_A_BURST: usize = 64;
/// The bytes that a message with segments may hold, and the most that is around a payload in it: a Send indication to IPv6.
const MOST_TOGETHER: usize = 65_000;
const MOST_FRAMING: usize = 52;
const MOST_FLOWS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(server: &str) -> Plan {
        Plan {
            server: server.parse().unwrap(),
            transport: Transport::Udp,
            trust: None,
            credentials: None,
            peer: None,
            mode: Mode::Up,
            indications: false,
            payload: 160,
            burst: 1,
            together: false,
            flows: 1,
            rate: Rate::Max,
            duration: Duration::from_secs(1),
            threads: 1,
            pid: None,
        }
    }

    #[test]
    fn only_loopback_and_private_addresses_are_nearby() {
        for near in [
            "127.0.0.1:1",
            "10.1.2.3:1",
            "[::1]:1",
            "[fd00::1]:1",
            "[::ffff:192.168.0.1]:1",
        ] {
            assert!(plan(near).is_nearby(), "{near}");
        }
        for far in [
            "192.0.2.1:1",
            "8.8.8.8:1",
            "[2001:db8::1]:1",
            "[::ffff:8.8.8.8]:1",
        ] {
            assert!(!plan(far).is_nearby(), "{far}");
        }
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_the_range() {
        let near = || plan("127.0.0.1:3478");
        near().check().unwrap();
        for wrong in [
            Plan {
                payload: 27,
                ..near()
            },
            Plan {
                payload: 1473,
                ..near()
            },
            Plan { burst: 0, ..near() },
            Plan { flows: 0, ..near() },
            Plan {
                mode: Mode::Relay,
                ..near()
            },
            Plan {
                rate: Rate::Even(0),
                ..near()
            },
            Plan {
                mode: Mode::Allocate,
                rate: Rate::Ramp,
                ..near()
            },
            Plan {
                together: true,
                burst: 64,
                payload: 1000,
                ..near()
            },
            Plan {
                together: true,
                transport: Transport::Tcp,
                ..near()
            },
            Plan {
                mode: Mode::Connect,
                ..near()
            },
            Plan {
                threads: 0,
                ..near()
            },
        ] {
            assert!(matches!(wrong.check(), Err(Fault::Plan(_))), "{wrong:?}");
        }
    }
}
