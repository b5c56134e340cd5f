//! Losses: ICMP errors about datagrams, from the error queue of the socket that sent them.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use relay::Icmp;

use super::address::address;
use super::control::{self, Control};

/// A datagram that was lost, and whose loss was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The address that it was sent to; the port may be 0, for unknown.
    pub(crate) to: SocketAddr,
    /// The ICMP error, from a router or from this host in the place of one.
    pub(crate) icmp: Icmp,
    /// Whether this host made the error, because the datagram was too big for its own link.
    pub(crate) is_local: bool,
}

/// The next loss that the kernel noted, without waiting; `None` for a note of another kind.
/// [`super::receive_losses`] asked the kernel for them.
///
/// # Errors
/// `WouldBlock` when there is no note; otherwise the error of `recvmsg(2)`.
pub(crate) fn take_loss(socket: BorrowedFd<'_>) -> io::Result<Option<Loss>> {
    // SAFETY: both are plain C structures, for which zero is a value.
    let (mut header, mut name): (libc::msghdr, libc::sockaddr_storage) = unsafe { mem::zeroed() };
    let mut control = Control::default();
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    control.receive(&mut header);
    // SAFETY: every pointer above is to a buffer of the length beside it, which outlives the call.
    let outcome = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(to) = address(&name) else {
        return Ok(None);
    };
    // SAFETY: the kernel has just filled the header's control buffer, which still lives.
    let mut messages = unsafe { control::messages(&header) };
    Ok(messages.find_map(|(level, kind, data)| loss(to, level, kind, data)))
}

/// Reads a `sock_extended_err`. The bytes of the lost datagram, which it also has, are of no use
/// here.
fn loss(to: SocketAddr, level: i32, kind: i32, data: &[u8]) -> Option<Loss> {
    if !matches!(
        (level, kind),
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    ) {
        return None;
    }
    let (&[e0, e1, e2, e3, origin, kind, code, _], rest) = data.split_first_chunk()?;
    let errno = i32::from_ne_bytes([e0, e1, e2, e3]);
    let data = u32::from_ne_bytes(*rest.first_chunk()?);
    let too_big = match to {
        // Destination unreachable: fragmentation needed. Packet too big.
        SocketAddr::V4(_) => (3, 4),
        SocketAddr::V6(_) => (2, 0),
    };
    let (is_local, (kind, code)) = match origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => (false, (kind, code)),
        libc::SO_EE_ORIGIN_LOCAL if errno == libc::EMSGSIZE => (true, too_big),
        _ => return None,
    };
    Some(Loss {
        to,
        icmp: Icmp { kind, code, data },
        is_local,
    })
}
