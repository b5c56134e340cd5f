//! A discovery whose network is a list of rules, for cases that no virtual NAT shows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use probe::{Config, Discovery, Findings, Socket, Transmit};
use wire::attributes::{OtherAddress, Padding, ResponsePort, XorMappedAddress};
use wire::{Class, Message, Method, Writer};

pub(crate) const LOCAL: &str = "192.168.1.10";
pub(crate) const SERVER: &str = "203.0.113.1:3478";
pub(crate) const OTHER: &str = "203.0.113.2:3479";
pub(crate) const PUBLIC: &str = "198.51.100.7";

/// One datagram that comes in.
pub(crate) type Heard = (Socket, SocketAddr, Vec<u8>);

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A port of each socket, and the same behind the NAT.
pub(crate) fn port(socket: Socket, lifetime: bool) -> u16 {
    let index = Socket::all(lifetime).position(|other| other == socket);
    50_000 + u16::try_from(index.unwrap()).unwrap() * 2
}

pub(crate) fn discovery(now: Instant, lifetime: Option<Duration>) -> Discovery {
    let config = Config {
        servers: vec![address(SERVER)],
        timeout: Duration::from_secs(3),
        lifetime,
    };
    let with = lifetime.is_some();
    let sockets = Socket::all(with).map(|socket| {
        (
            socket,
            SocketAddr::new(LOCAL.parse().unwrap(), port(socket, with)),
        )
    });
    Discovery::new(now, config, sockets.collect(), [3; 32])
}

/// Runs to the end: `respond` returns the datagrams that answer each one sent, and when.
pub(crate) fn run(
    lifetime: Option<Duration>,
    mut respond: impl FnMut(Instant, &Transmit) -> Vec<Heard>,
) -> (Findings, Duration) {
    let start = Instant::now();
    let mut now = start;
    let mut discovery = discovery(now, lifetime);
    loop {
        while let Some(transmit) = discovery.poll_transmit() {
            for (at, from, packet) in respond(now, &transmit) {
                discovery.handle_input(now, at, from, &packet);
            }
        }
        let Some(deadline) = discovery.poll_timeout() else {
            break;
        };
        now = now.max(deadline);
        discovery.handle_timeout(now);
    }
    (discovery.findings(), now - start)
}

/// The answer of a server that speaks RFC 5780 to a plain request.
pub(crate) fn answer(request: &Transmit, lifetime: bool) -> Vec<u8> {
    padded_answer(request, lifetime, None)
}

/// The same with so many bytes of padding.
pub(crate) fn padded_answer(request: &Transmit, lifetime: bool, padding: Option<usize>) -> Vec<u8> {
    let mapped = SocketAddr::new(PUBLIC.parse().unwrap(), port(request.from, lifetime));
    let message = Message::parse(&request.payload).unwrap();
    let mut answer = Vec::new();
    let mut writer = Writer::new(
        &mut answer,
        Method::Binding,
        Class::Success,
        message.transaction(),
    );
    writer
        .put(&XorMappedAddress(mapped))
        .put(&OtherAddress(address(OTHER)));
    if let Some(padding) = padding {
        writer.put(&Padding(&vec![0; padding]));
    }
    answer
}

/// How many bytes of padding the request has.
pub(crate) fn padding(request: &Transmit) -> Option<usize> {
    let message = Message::parse(&request.payload).unwrap();
    message.get::<Padding<'_>>().unwrap().map(|it| it.0.len())
}

/// The port that the request wants its answer at.
pub(crate) fn response_port(request: &Transmit) -> Option<u16> {
    let message = Message::parse(&request.payload).unwrap();
    message.get::<ResponsePort>().unwrap().map(|port| port.0)
}
