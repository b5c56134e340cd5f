//! coturn's own clients: `turnutils_uclient` and `turnutils_stunclient`.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    credentials::{EXPIRED_IN_2001, VALID_UNTIL_2038},
    lab::{
        PATIENCE,
        program::{Ended, Program},
        server::{PASSWORD, Server, Setup, USER},
        world::{CLIENT_V4, CLIENT_V6, PEER_V4, PEER_V6, SERVER_V4, SERVER_V6, in_own_world},
    },
};

#[test]
fn channels_carry_data_over_udp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer).relays_everything();
    });
}

#[test]
fn channels_carry_data_over_tcp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-t")
            .relays_everything();
    });
}

#[test]
fn send_indications_carry_data_over_udp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-s")
            .relays_everything();
    });
}

#[test]
fn send_indications_carry_data_over_tcp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-s")
            .flag("-t")
            .relays_everything();
    });
}

#[test]
fn two_clients_meet_relay_to_relay_over_udp() {
    in_own_world(|world| {
        // The relayed addresses are the server's own: no rule has to allow them.
        let _server = world.serve(closed());
        Uclient::pair(SERVER_V4.into()).relays_everything();
    });
}

#[test]
fn two_clients_meet_relay_to_relay_over_tcp_with_send_indications() {
    in_own_world(|world| {
        let _server = world.serve(closed());
        Uclient::pair(SERVER_V4.into())
            .flag("-s")
            .flag("-t")
            .relays_everything();
    });
}

#[test]
fn an_ipv6_relay_carries_data_for_an_ipv6_client() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V6.into());
        Uclient::to_peer(SERVER_V6.into(), peer)
            .flag("-x")
            .relays_everything();
    });
}

#[test]
fn an_ipv6_relay_carries_data_for_an_ipv4_client_over_tcp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V6.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-x")
            .flag("-t")
            .relays_everything();
    });
}

#[test]
fn reserved_ports_for_rtcp_carry_data_over_udp() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo_with_rtcp(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .with_rtcp()
            .relays_everything();
    });
}

#[test]
fn reserved_ports_for_rtcp_carry_data_over_tcp_for_several_clients() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo_with_rtcp(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .with_rtcp()
            .flag("-t")
            .flag("-m")
            .flag("5")
            .relays_everything();
    });
}

#[test]
fn two_clients_with_rtcp_meet_relay_to_relay() {
    in_own_world(|world| {
        let _server = world.serve(closed());
        Uclient::pair(SERVER_V4.into())
            .with_rtcp()
            .relays_everything();
    });
}

#[test]
fn a_dual_allocation_carries_data_to_an_ipv4_peer() {
    in_own_world(|world| {
        let server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-Z")
            .relays_everything();
        assert_dual(&server);
    });
}

#[test]
fn a_dual_allocation_carries_data_to_an_ipv6_peer() {
    in_own_world(|world| {
        let server = world.serve(Setup::default());
        let peer = echo(PEER_V6.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .flag("-Z")
            .relays_everything();
        assert_dual(&server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_over_udp() {
    in_own_world(|world| {
        let server = world.serve(four_shards());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .moving()
            .relays_everything();
        assert_moved(&server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_over_tcp() {
    in_own_world(|world| {
        let server = world.serve(four_shards());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .moving()
            .flag("-t")
            .relays_everything();
        assert_moved(&server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_with_send_indications_relay_to_relay() {
    in_own_world(|world| {
        let server = world.serve(Setup {
            allow_peers: false,
            ..four_shards()
        });
        Uclient::pair(SERVER_V4.into())
            .moving()
            .flag("-s")
            .flag("-t")
            .relays_everything();
        assert_moved(&server);
    });
}

#[test]
fn dual_allocations_follow_clients_that_change_their_address() {
    in_own_world(|world| {
        let server = world.serve(four_shards());
        let peer = echo(PEER_V6.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .moving()
            .flag("-Z")
            .relays_everything();
        assert_moved(&server);
    });
}

#[test]
fn a_wrong_password_opens_nothing() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        Uclient::to_peer(SERVER_V4.into(), peer)
            .credential(USER, "looking-glass")
            .gets_nothing();
    });
}

#[test]
fn a_time_limited_credential_opens_an_allocation() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        let (name, password) = VALID_UNTIL_2038;
        Uclient::to_peer(SERVER_V4.into(), peer)
            .credential(name, password)
            .relays_everything();
    });
}

#[test]
fn an_expired_credential_opens_nothing() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        let peer = echo(PEER_V4.into());
        let (name, password) = EXPIRED_IN_2001;
        Uclient::to_peer(SERVER_V4.into(), peer)
            .credential(name, password)
            .gets_nothing();
    });
}

#[test]
fn the_reflexive_address_is_the_clients_own() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        for (server, client) in [
            (IpAddr::from(SERVER_V4), IpAddr::from(CLIENT_V4)),
            (SERVER_V6.into(), CLIENT_V6.into()),
            (SERVER_V4.into(), PEER_V4.into()),
        ] {
            let mut stunclient = Command::new("turnutils_stunclient");
            stunclient
                .args(["-L", &client.to_string()])
                .arg(server.to_string());
            let ended = Program::run(stunclient, "coturn", PATIENCE);
            let seen = format!("UDP reflexive addr: {client}:");
            assert!(
                ended.status.success() && ended.output.contains(&seen),
                "{ended:?}"
            );
        }
    });
}

/// `turnutils_uclient`: one or more clients that send messages to a peer which echoes them.
pub(crate) struct Uclient {
    server: IpAddr,
    credential: (String, String),
    /// Whether it makes a second allocation for RTCP, on the port that is reserved with the first.
    rtcp: bool,
    /// Of a message, in bytes.
    length: u32,
    messages: u32,
    arguments: Vec<String>,
}

impl Uclient {
    /// A client and the peer that echoes what it sends.
    pub(crate) fn to_peer(server: IpAddr, peer: SocketAddr) -> Self {
        let (ip, port) = (peer.ip().to_string(), peer.port().to_string());
        Self::new(server)
            .flag("-e")
            .flag(&ip)
            .flag("-r")
            .flag(&port)
    }

    /// Two clients that send to each other's relayed address.
    fn pair(server: IpAddr) -> Self {
        Self::new(server).flag("-y")
    }

    fn new(server: IpAddr) -> Self {
        let credential = (USER.to_owned(), PASSWORD.to_owned());
        Self {
            server,
            credential,
            rtcp: false,
            length: 1000,
            messages: 200,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Eight clients that each take their allocation to another socket before they send.
    fn moving(self) -> Self {
        self.flag("-M").flag("-m").flag("8")
    }

    const fn with_rtcp(mut self) -> Self {
        self.rtcp = true;
        self
    }

    pub(crate) const fn messages(mut self, messages: u32) -> Self {
        self.messages = messages;
        self
    }

    pub(crate) const fn length(mut self, length: u32) -> Self {
        self.length = length;
        self
    }

    pub(crate) fn credential(mut self, user: &str, password: &str) -> Self {
        self.credential = (user.to_owned(), password.to_owned());
        self
    }

    #[track_caller]
    pub(crate) fn relays_everything(self) {
        let messages = self.messages;
        let ended = self.run();
        let count = |name| number_after(&ended.output, name);
        let (sent, received) = (count("tot_send_msgs="), count("tot_recv_msgs="));
        let whole = ended.status.success()
            && sent >= Some(messages)
            && sent == received
            && count("Total lost packets ") == Some(0)
            && count("total send dropped ") == Some(0);
        assert!(whole, "{} {}", ended.status, ended.output);
    }

    #[track_caller]
    pub(crate) fn gets_nothing(self) {
        let ended = self.run();
        let refused = !ended.status.success()
            && ended.output.contains("Cannot complete Allocation")
            && !ended.output.contains("tot_send_msgs");
        assert!(refused, "{} {}", ended.status, ended.output);
    }

    #[track_caller]
    pub(crate) fn relays_nothing(self) {
        let messages = self.messages;
        let ended = self.run();
        let count = |name| number_after(&ended.output, name);
        let none = count("tot_send_msgs=") >= Some(messages) && count("tot_recv_msgs=") == Some(0);
        assert!(none, "{} {}", ended.status, ended.output);
    }

    #[track_caller]
    fn run(self) -> Ended {
        Program::run(self.command(), "coturn", PATIENCE)
    }

    /// Ends it after a while if it has not ended by itself.
    pub(crate) fn run_for(self, a_while: Duration) {
        let mut program = Program::start(self.command(), "coturn");
        let deadline = Instant::now() + a_while;
        while program.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn command(&self) -> Command {
        let (user, password) = &self.credential;
        let mut command = Command::new("turnutils_uclient");
        command.args(["-u", user, "-w", password]);
        if !self.rtcp {
            command.arg("-c");
        }
        command.args(["-n", &self.messages.to_string(), "-z", "2"]);
        command.args(["-l", &self.length.to_string()]);
        command.args(&self.arguments).arg(self.server.to_string());
        command
    }
}

/// The number after the last place where `name` stands: the tools repeat their running totals.
fn number_after(output: &str, name: &str) -> Option<u32> {
    let (_, rest) = output.rsplit_once(name)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A peer that sends everything back.
pub(crate) fn echo(ip: IpAddr) -> SocketAddr {
    echo_on(UdpSocket::bind((ip, 0)).expect("a free port"))
}

/// The same, also on the next port.
fn echo_with_rtcp(ip: IpAddr) -> SocketAddr {
    // Below the ports that the kernel gives out, and nobody else is in this world.
    for port in [5000, 5001] {
        echo_on(UdpSocket::bind((ip, port)).expect("a port of an empty host"));
    }
    SocketAddr::new(ip, 5000)
}

fn echo_on(socket: UdpSocket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&packet[..length], from);
        }
    });
    address
}

/// The log shows an allocation with an address of each family.
#[track_caller]
fn assert_dual(server: &Server) {
    let log = server.log();
    let is_dual = |line: &str| {
        line.contains("allocation.opened")
            && line.contains(&SERVER_V4.to_string())
            && line.contains(&SERVER_V6.to_string())
    };
    assert!(log.lines().any(is_dual), "{log}");
}

/// The log shows that clients moved, and some of them from shard to shard: the allocation has
/// another name there.
#[track_caller]
fn assert_moved(server: &Server) {
    let log = server.log();
    let moved: Vec<_> = log
        .lines()
        .filter(|line| line.contains("allocation.moved"))
        .collect();
    let crossed = moved.iter().filter(|line| line.contains("was="));
    assert!(moved.len() >= 8 && crossed.count() >= 1, "{log}");
}

/// Clients rarely come to the same of four shards again.
fn four_shards() -> Setup {
    Setup {
        threads: 4,
        ..Setup::default()
    }
}

/// A server that relays to none but its own relayed addresses.
fn closed() -> Setup {
    Setup {
        allow_peers: false,
        ..Setup::default()
    }
}
