//! Proxies in front of the server and a web server behind it, on loopback.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod proxies;
mod quic;
mod web;

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use net::{
    Certificate, Certificates, Options, ProxyOptions, Running, StreamLimits, TlsOptions,
    TlsVersion, Transports, WebOptions,
};
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, Rules};
use rustls::pki_types::PrivateKeyDer;
use socket2::{Domain, Socket, Type};
use wire::Message;
use wire::attributes::XorMappedAddress;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The hosts of the proxies' network.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
const PROXIES: &str = "127.9.0.0/16";
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42twelve bytes";
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of one shard for all transports at one address each for streams and datagrams, with a
/// certificate for `turn.test`.
fn server(proxies: ProxyOptions, web: WebOptions, streams: StreamLimits) -> Running {
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: vec![],
        relay_ports: 20_000..=20_999,
    };
    let policy = Policy::new(Mode::Closed, vec![], vec![], own);
    let made = rcgen::generate_simple_self_signed(vec!["turn.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![made.cert.der().clone()];
    let certificate = Certificate::new(vec!["turn.test".to_owned()], chain, key).unwrap();
    let config = Config::new(
        ProcessSecret([7; 32]),
        vec![],
        PortRange::new(20_000, 20_999).unwrap(),
        Rules::new(Keys::new("hairpin.test"), policy),
    );
    let listeners = [Transports::Streams, Transports::Datagrams];
    let listeners = listeners.map(|transports| (transports, (LOCAL, 0).into()));
    net::start(Options {
        streams,
        tls: Some(TlsOptions {
            certificates: Certificates::new(vec![certificate]),
            minimum: TlsVersion::V1_2,
            tickets: rustls::crypto::ring::Ticketer::new().unwrap(),
            dtls: false,
            tell: Arc::new(|_| ()),
        }),
        proxies,
        web,
        ..Options::new(listeners, config)
    })
    .unwrap()
}

fn streams(running: &Running) -> SocketAddr {
    running.listeners()[0].1
}

fn datagrams(running: &Running) -> SocketAddr {
    running.listeners()[1].1
}

/// A connection from this host.
fn connect_from(host: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(host, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A socket of this host.
fn udp_from(host: IpAddr, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The address that a Binding's answer tells.
fn mapped(answer: &[u8]) -> SocketAddr {
    let message = Message::parse(answer).unwrap();
    let XorMappedAddress(address) = message.get().unwrap().unwrap();
    address
}

fn hear(mut stream: &TcpStream) -> SocketAddr {
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).unwrap();
    mapped(&answer)
}

/// Whether the other side closes without a word.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
