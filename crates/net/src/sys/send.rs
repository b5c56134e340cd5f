//! One datagram out, gathered from parts.

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

use super::control::{CONTROL, Control, write_source};

/// Sends one datagram, gathered from parts, without waiting. `from` chooses the source address on
/// a host that has several.
///
/// # Errors
/// What `sendmsg(2)` says.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    to: SocketAddr,
    from: Option<IpAddr>,
    parts: &[IoSlice<'_>],
) -> io::Result<()> {
    let to = SockAddr::from(to);
    let mut control = Control::default();
    // SAFETY: a plain C structure, for which zero is a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // The kernel only reads through these, whatever the pointer types say.
    header.msg_name = to.as_ptr().cast_mut().cast();
    header.msg_namelen = to.len();
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len() as _;
    if let Some(from) = from {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        write_source(&mut header, from);
    }
    // SAFETY: `IoSlice` is guaranteed to have the layout of `iovec`, and everything the header
    // points to outlives the call.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &raw const header,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
