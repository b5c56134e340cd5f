//! `hairpin health`: whether the server of this host answers, for a container's health check.

use std::env;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use relay::Transport;
use serde::Serialize;
use wire::{Class, Message, Method, TransactionId, Writer};

use super::admin::{self, Asking, api};
use super::{ConfigFile, Failure};
use crate::config::{AdminSocket, Config, Listener, Machine};

/// Ask the server of this host whether it is well, as a container's health check does.
///
/// Sends a Binding to each UDP and TCP listener of the configuration, connects to those
/// for TLS alone, and asks the server's socket for its status where there is one. Prints
/// one line. A server that drains is well: it still serves its calls.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Health {
    #[command(flatten)]
    config: ConfigFile,

    #[command(flatten)]
    server: Asking,

    /// Time to wait for each answer; a Binding is sent three times within it.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl Health {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (healthy, told) = match self.examine() {
            Ok(told) => (true, told),
            Err(told) => (false, told),
        };
        let code = if healthy {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
        let health = Told { healthy, told };
        self.server.print(&health, |Told { told, .. }| {
            let word = if healthy { "healthy" } else { "unhealthy" };
            format!("{word}: {told}\n")
        })?;
        Ok(code)
    }

    /// The answer in words: `Ok` of a server that is well, `Err` of one that is not.
    fn examine(&self) -> Result<String, String> {
        // The listeners' ports are taken, by the server itself.
        let loaded = crate::config::load(self.config.path(), &Machine::anywhere())
            .map_err(|fault| first_fault(&fault.to_string()))?;
        let config = &loaded.config;
        let (mut seen, mut has_answered) = (Vec::new(), false);
        for listener in config.listeners.iter().filter(|it| is_open(**it, config)) {
            let at = reached(listener.listen);
            let transports = listener.transports;
            let asked = if transports.has(Transport::Udp) {
                binding(at, self.timeout)
            } else if transports.has(Transport::Tcp) {
                binding_on_stream(at, self.timeout)
            } else if transports.are_streams() {
                TcpStream::connect_timeout(&at, self.timeout).map(drop)
            } else {
                continue;
            };
            has_answered |= transports.has(Transport::Udp) || transports.has(Transport::Tcp);
            let name = format!("{at} over {}", transports.protocol().to_uppercase());
            match asked {
                Ok(()) => seen.push(name),
                Err(error) => {
                    let hint = self.hint();
                    return Err(format!("{name} does not answer: {error}{hint}"));
                }
            }
        }
        let status = self.status(&config.admin.socket)?;
        // The kernel takes connections for a server that stands still.
        if !has_answered && status.is_none() {
            return Err(
                "there is nothing that could answer: no listener for UDP or TCP that serves this \
                        host, and no socket of the server (`[admin] socket`)"
                    .to_owned(),
            );
        }
        let answers = (!seen.is_empty()).then(|| format!("it answers at {}", seen.join(", ")));
        let told: Vec<String> = answers.into_iter().chain(status).collect();
        Ok(told.join("; "))
    }

    /// Why a server that is well may not answer.
    fn hint(&self) -> &'static str {
        if self.config.path().is_none() && env::var_os("HAIRPIN_CONFIG_TOML").is_none() {
            "; without --config the default ports are asked"
        } else {
            ""
        }
    }

    /// The state of the server by its socket, in words, if it has one that this user may ask.
    fn status(&self, socket: &AdminSocket) -> Result<Option<String>, String> {
        let (told, answer) = mpsc::channel();
        let server = self.server.or_of(socket);
        // A control side that hangs would hold up this process as well.
        thread::spawn(move || {
            // Nobody waits any more, if it came too late.
            let _ = told.send(server.get::<api::Status>("/v1/status"));
        });
        let status = match answer.recv_timeout(self.timeout) {
            Ok(Ok(status)) => status,
            Ok(Err(Failure::Admin(fault))) if is_closed(&fault) => return Ok(None),
            Ok(Err(failure)) => return Err(first_line(&failure.to_string())),
            Err(_) => {
                let timeout = humantime::format_duration(self.timeout);
                return Err(format!("its socket gives no status within {timeout}"));
            }
        };
        let draining = if status.draining { ", draining" } else { "" };
        Ok(Some(format!("{} sessions{draining}", status.allocations)))
    }
}

/// The answer as JSON.
#[derive(Serialize)]
struct Told {
    healthy: bool,
    told: String,
}

/// Whether nobody can ask: there is no socket, or it is for other users.
fn is_closed(fault: &admin::Fault) -> bool {
    let is_others = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    matches!(fault, admin::Fault::NotFound(_))
        || matches!(fault, admin::Fault::Unreachable { source, .. } if is_others(source))
}

/// Whether a listener answers this host: it is left out where `[clients]` does not admit it, and where a proxy on
/// this host has to introduce everybody.
fn is_open(listener: Listener, config: &Config) -> bool {
    let from = reached(listener.listen).ip();
    let proxies = if listener.transports.are_streams() {
        &config.proxies.tcp
    } else {
        &config.proxies.udp
    };
    config.clients.rules().admit(from) && !proxies.has(from)
}

/// The address by which this host reaches a listener.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks for the address of a connection. RFC 8489 §6.2.2.
fn binding_on_stream(at: SocketAddr, timeout: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&at, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let transaction = TransactionId::new(rand::random());
    stream.write_all(&request(transaction))?;
    // A Binding success has its transaction within the first twenty bytes, whatever follows.
    let mut header = [0; 20];
    stream.read_exact(&mut header)?;
    if header[..2] == [0x01, 0x01] && header[4..] == request(transaction)[4..20] {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn request(transaction: TransactionId) -> Vec<u8> {
    let mut request = Vec::new();
    Writer::new(&mut request, Method::Binding, Class::Request, transaction);
    request
}

/// Asks for the address of this socket, three times within `timeout`. RFC 8489 §12.
fn binding(at: SocketAddr, timeout: Duration) -> io::Result<()> {
    let any: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(at)?;
    let transaction = TransactionId::new(rand::random());
    for _ in 0..ATTEMPTS {
        socket.send(&request(transaction))?;
        if answered(&socket, transaction, timeout / ATTEMPTS)? {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether the answer comes to a socket within `timeout`.
fn answered(socket: &UdpSocket, transaction: TransactionId, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    let mut buffer = [0; 1500];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let answer = Message::parse(&buffer[..length]);
                if answer
                    .is_ok_and(|it| it.transaction() == transaction && it.class() == Class::Success)
                {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The first line that is no warning: what keeps the server from starting.
fn first_fault(text: &str) -> String {
    let fault = text.lines().find(|line| line.starts_with("error"));
    fault.map_or_else(|| first_line(text), str::to_owned)
}

const ATTEMPTS: u32 = 3;

const AFTER_HELP: &str = "\
Examples:
  hairpin health
  hairpin health --config /etc/hairpin/turnserver.toml
  hairpin health --json
  HEALTHCHECK CMD [\"/hairpin\", \"health\"]     of a container

Exit codes: 0 healthy, 1 unhealthy, 2 wrong usage.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_at_every_address_is_asked_at_loopback() {
        for (listen, at) in [
            ("0.0.0.0:3478", "127.0.0.1:3478"),
            ("[::]:3478", "[::1]:3478"),
            ("192.0.2.7:443", "192.0.2.7:443"),
        ] {
            assert_eq!(reached(listen.parse().unwrap()), at.parse().unwrap());
        }
    }

    #[test]
    fn a_listener_that_does_not_serve_this_host_is_not_asked() {
        let mut config = Config::defaults(&Machine::anywhere());
        let listener = config.listeners[0];
        assert!(is_open(listener, &config));
        config.clients.deny = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
        assert!(!is_open(listener, &config));
    }

    #[test]
    fn a_port_that_nobody_has_is_silent_or_refuses() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = free.local_addr().unwrap();
        assert!(binding(at, Duration::from_millis(30)).is_err());
    }

    #[test]
    fn a_connection_that_only_the_kernel_took_is_no_answer() {
        let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = frozen.local_addr().unwrap();
        let asked = binding_on_stream(at, Duration::from_millis(30));
        assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_fault_is_told_and_not_the_warning_before_it() {
        let told = "warning: a\n --> b\nerror: c\n";
        assert_eq!(first_fault(told), "error: c");
        assert_eq!(first_fault("no such file"), "no such file");
    }
}
