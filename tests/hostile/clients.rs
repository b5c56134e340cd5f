//! Clients of the hostile tests' server. The oracle knows only the authentication of RFC 5389, and the
//! log shows user names, so they do without SHA-256.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use client::{Sha256, Transport};
use lab::{live::LiveClient, server::TLS_PORT, socket::LiveSocket};

use crate::server::SERVER;
use crate::stream::connect;

/// A client on UDP.
pub(crate) fn on_udp() -> LiveClient {
    on_udp_to(SERVER)
}

/// The same of a server at another address.
pub(crate) fn on_udp_to(server: SocketAddr) -> LiveClient {
    plain(LiveClient::to(server, Transport::Udp))
}

/// A client on a socket that is connected.
pub(crate) fn on_datagrams(socket: UdpSocket) -> LiveClient {
    plain(LiveClient::on(LiveSocket::Udp(socket)))
}

/// A client on TCP, from its own address.
pub(crate) fn on_tcp() -> LiveClient {
    on_stream(connect((Ipv4Addr::LOCALHOST, 0).into(), SERVER))
}

/// A client on TLS; the server is one of `Setup::with_tls`.
pub(crate) fn on_tls() -> LiveClient {
    let stream = connect(
        (Ipv4Addr::LOCALHOST, 0).into(),
        (SERVER.ip(), TLS_PORT).into(),
    );
    plain(LiveClient::on(LiveSocket::tls_on(stream)))
}

/// A client on a connection.
pub(crate) fn on_stream(stream: TcpStream) -> LiveClient {
    plain(LiveClient::on(LiveSocket::Tcp(stream)))
}

fn plain(client: LiveClient) -> LiveClient {
    client.with(|config| config.sha256 = Sha256::Off)
}
