//! `turnutils_uclient`, coturn's client, and a peer for it.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    authority::Authority,
    program::{Ended, Program, number_after},
    server::{PASSWORD, TLS_PORT, USER},
    world::SERVER_V4,
};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size as set_room, set_socket_recv_buffer_size_force as force_room,
};
use tempfile::NamedTempFile;

/// One or more clients that send messages to a peer which echoes them.
pub(crate) struct Uclient {
    server: IpAddr,
    /// The host of the peer that echoes what it sends.
    peer: Option<IpAddr>,
    credential: (String, String),
    /// Whether it makes a second allocation for RTCP, on the port that is reserved with the first.
    rtcp: bool,
    /// The length of a message, in bytes.
    length: u32,
    messages: u64,
    arguments: Vec<String>,
    /// The authority that it trusts.
    root: Option<NamedTempFile>,
}

impl Uclient {
    /// A client of the world's server, and a peer at this address that echoes what it sends.
    pub(crate) fn to(peer: impl Into<IpAddr>) -> Self {
        let peer = Some(peer.into());
        Self {
            peer,
            ..Self::pair()
        }
    }

    /// Two clients that send to each other's relayed address.
    pub(crate) fn pair() -> Self {
        Self {
            server: SERVER_V4.into(),
            peer: None,
            credential: (USER.to_owned(), PASSWORD.to_owned()),
            rtcp: false,
            length: 1000,
            messages: 200,
            arguments: Vec::new(),
            root: None,
        }
    }

    /// At another address of the server.
    pub(crate) fn at(mut self, server: impl Into<IpAddr>) -> Self {
        self.server = server.into();
        self
    }

    /// Several flags, separated by spaces.
    pub(crate) fn flags(mut self, flags: &str) -> Self {
        self.arguments.extend(flags.split(' ').map(str::to_owned));
        self
    }

    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Over TLS, to a server that has a certificate of the lab's authority.
    pub(crate) fn over_tls(mut self) -> Self {
        let root = Authority::lab().root_file();
        let ca = root.path().to_string_lossy().into_owned();
        self.root = Some(root);
        self.flags(&format!("-t -S -p {TLS_PORT} -E {ca}"))
    }

    /// Over DTLS.
    pub(crate) fn over_dtls(self) -> Self {
        self.flags(&format!("-S -p {TLS_PORT}"))
    }

    /// Five clients that each move their allocation to another socket before they send.
    pub(crate) fn moving(self) -> Self {
        self.flags("-M -m 5")
    }

    pub(crate) const fn with_rtcp(mut self) -> Self {
        self.rtcp = true;
        self
    }

    pub(crate) const fn messages(mut self, messages: u64) -> Self {
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

    /// Over TCP the client takes what one read brings for one message, so where two come together, or
    /// one comes in parts, it counts wrong. The bytes are the server's to count.
    #[track_caller]
    pub(crate) fn relays_a_stream(self) {
        let messages = self.messages;
        let ended = self.run();
        let count = |name| number_after(&ended.output, name);
        let sent = count("tot_send_msgs=");
        let received = count("tot_recv_msgs=");
        let most = ended.status.success()
            && sent >= Some(messages)
            && received.is_some_and(|received| received > messages);
        assert!(most, "{} {}", ended.status, ended.output);
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
        // It begins after some seconds, and stops ten seconds after the last packet.
        Program::run(self.command(), 2 * PATIENCE)
    }

    /// Starts the client, which is ended when the program is dropped.
    pub(crate) fn start(&self) -> Program {
        Program::start(self.command())
    }

    /// Ends the client after a while if it has not ended by itself.
    pub(crate) fn run_for(self, a_while: Duration) {
        let mut program = self.start();
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
        match self.peer {
            Some(ip) => {
                let peer = if self.rtcp {
                    echo_with_rtcp(ip)
                } else {
                    echo(ip)
                };
                let port = peer.port().to_string();
                command.args(["-e", &peer.ip().to_string(), "-r", &port]);
            }
            None => drop(command.arg("-y")),
        }
        command.args(&self.arguments).arg(self.server.to_string());
        command
    }
}

/// A peer that sends everything back.
fn echo(ip: IpAddr) -> SocketAddr {
    echo_on(UdpSocket::bind((ip, 0)).expect("a free port"))
}

/// The same, also on the next port.
fn echo_with_rtcp(ip: IpAddr) -> SocketAddr {
    // Ports below those that the kernel gives out; no other program runs in this world.
    for port in [5000, 5001] {
        echo_on(UdpSocket::bind((ip, port)).expect("a port of an empty host"));
    }
    SocketAddr::new(ip, 5000)
}

fn echo_on(socket: UdpSocket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket");
    // Without the right to more, as much as everybody may have.
    force_room(&socket, ROOM)
        .or_else(|_| set_room(&socket, ROOM))
        .expect("a size");
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&packet[..length], from);
        }
    });
    address
}

/// All that clients send while the peer waits for a processor.
const ROOM: usize = 8 * 1024 * 1024;
