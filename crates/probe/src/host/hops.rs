//! Routers that report themselves: ICMP Time Exceeded, read from the socket's error queue, which
//! needs no privilege. RFC 792, RFC 4443 §3.3.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::cmsg_space;
use nix::libc::{self, sock_extended_err, sockaddr_in, sockaddr_in6};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::sockets::Heard;

/// Asks the kernel for reports of routers. If it refuses, hops stay unknown, and nothing else is
/// lost.
pub(super) fn listen(socket: &UdpSocket, is_v4: bool) {
    let _ = if is_v4 {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    };
}

/// Sets how many routers the next datagrams pass. A failure shows as a hop without a report.
pub(super) fn set_ttl(socket: &UdpSocket, is_v4: bool, ttl: u8) {
    let socket = SockRef::from(socket);
    let _ = if is_v4 {
        socket.set_ttl_v4(ttl.into())
    } else {
        socket.set_unicast_hops_v6(ttl.into())
    };
}

/// Passes on the reports of routers.
pub(super) async fn read(socket: Arc<UdpSocket>, heard: mpsc::Sender<Heard>) {
    loop {
        let hop = socket.async_io(Interest::ERROR, || read_one(&socket)).await;
        if let Ok(Some((router, packet))) = hop
            && heard.send(Heard::Hop { router, packet }).await.is_err()
        {
            return;
        }
    }
}

/// One entry of the error queue, if it is about a TTL that ran out.
fn read_one(socket: &UdpSocket) -> std::io::Result<Option<(IpAddr, Vec<u8>)>> {
    let mut buffer = [0; QUOTED];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let length = message.bytes;
    let router = message.cmsgs()?.find_map(|control| {
        if let ControlMessageOwned::Ipv4RecvErr(error, router) = control {
            expired_v4(error, router?)
        } else if let ControlMessageOwned::Ipv6RecvErr(error, router) = control {
            expired_v6(error, router?)
        } else {
            None
        }
    });
    Ok(router.map(|router| (router, buffer[..length].to_vec())))
}

fn expired_v4(error: sock_extended_err, router: sockaddr_in) -> Option<IpAddr> {
    let is_expired =
        error.ee_origin == libc::SO_EE_ORIGIN_ICMP && error.ee_type == TIME_EXCEEDED_V4;
    let ip = Ipv4Addr::from(u32::from_be(router.sin_addr.s_addr));
    is_expired.then_some(ip.into())
}

fn expired_v6(error: sock_extended_err, router: sockaddr_in6) -> Option<IpAddr> {
    let is_expired =
        error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 && error.ee_type == TIME_EXCEEDED_V6;
    let ip = Ipv6Addr::from(router.sin6_addr.s6_addr);
    is_expired.then_some(ip.into())
}

const TIME_EXCEEDED_V4: u8 = 11;
const TIME_EXCEEDED_V6: u8 = 3;

/// More than the header, which identifies the datagram.
const QUOTED: usize = 128;
