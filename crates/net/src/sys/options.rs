//! Socket options.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Asks for [`super::Envelope::to`].
pub(crate) fn receive_destination(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Lets datagrams of one sender that come one behind the other, and are of one length, be received
/// in one message. udp(7), `UDP_GRO`.
pub(crate) fn receive_together(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Asks for [`super::Envelope::overflow`], where this host has it: emulators and sandboxes may not.
pub(crate) fn receive_overflow(socket: BorrowedFd<'_>) -> io::Result<()> {
    if_known(set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1))
}

/// Sets the receive buffer beyond what `net.core.rmem_max` allows; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

/// Asks for [`super::Envelope::marking`].
pub(crate) fn receive_marking(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
    }
}

/// Asks for [`super::take_loss`]; while a loss waits to be taken, the socket is ready to be read.
pub(crate) fn receive_losses(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    if_known(set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_SELECT_ERR_QUEUE,
        1,
    ))
}

/// Lets datagrams be fragmented, on this host (to IPv6) or on their way (to IPv4, with DF clear).
/// RFC 8656 §14.
pub(crate) fn allow_fragmentation(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
        )
    } else {
        // Not `DONT`, under which the kernel does not report "fragmentation needed": that is the
        // answer to a datagram that was sent with DF a moment ago.
        discover_mtu(socket, libc::IP_PMTUDISC_OMIT)
    }
}

/// Sets the DF bit of datagrams to IPv4 from now on. The kernel sends each one, whatever MTU
/// earlier ones found out: to discover it is up to the client that asked for DF.
pub(crate) fn forbid_fragmentation(socket: BorrowedFd<'_>) -> io::Result<()> {
    discover_mtu(socket, libc::IP_PMTUDISC_PROBE)
}

fn discover_mtu(socket: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, how)
}

/// Leaves the checksums out, with which the kernel takes no datagrams together (`EINVAL`).
#[cfg(test)]
pub(crate) fn leave_checksums_out(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)
}

/// Goes on without an option that the host does not know.
fn if_known(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => Ok(()),
        _ => Err(error),
    })
}

pub(super) fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: i32,
) -> io::Result<()> {
    // SAFETY: the value is an `int` of the length given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
