//! The marking of a stream's packets.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::control::{self, Control};
use super::options::set_option;
use crate::marking::Marking;

/// The marking of the packets of a TCP client. The option is switched on only for this call: while
/// it is on, the kernel keeps a copy of every segment that may have a new marking.
///
/// # Errors
/// The error of `getsockopt(2)`.
pub(crate) fn stream_marking(stream: BorrowedFd<'_>, is_v6: bool) -> io::Result<Marking> {
    let (level, ask, tell) = if is_v6 {
        let level = libc::IPPROTO_IPV6;
        (level, libc::IPV6_RECVTCLASS, libc::IPV6_2292PKTOPTIONS)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVTOS, libc::IP_PKTOPTIONS)
    };
    set_option(stream, level, ask, 1)?;
    let marking = told(stream, level, tell);
    set_option(stream, level, ask, 0)?;
    marking
}

/// The marking in the control messages that a socket option holds.
fn told(stream: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<Marking> {
    let mut control = Control::default();
    // SAFETY: a plain C structure, for which zero is a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    control.receive(&mut header);
    let mut length = header.msg_controllen as libc::socklen_t;
    // SAFETY: the header points to a buffer of the length given, which outlives the call.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            level,
            option,
            header.msg_control,
            &raw mut length,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    header.msg_controllen = length as _;
    // SAFETY: the kernel has just filled the header's control buffer, which still lives.
    let mut messages = unsafe { control::messages(&header) };
    let marking = messages.find_map(|(level, kind, data)| control::marking(level, kind, data));
    Ok(marking.unwrap_or(Marking::PLAIN))
}
