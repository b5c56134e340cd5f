//! Sends one datagram, gathered from parts.

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

use super::control::Control;
use super::options;
use crate::marking::Marking;

/// The addresses and the marking of a datagram that leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    /// The receiver.
    pub(crate) to: SocketAddr,
    /// The source address, on a host that has several; else the kernel chooses.
    pub(crate) from: Option<IpAddr>,
    /// DSCP and ECN.
    pub(crate) marking: Marking,
    /// Whether it is dropped where it does not fit, instead of fragmented.
    pub(crate) dont_fragment: bool,
}

/// Sends one datagram, gathered from parts, without waiting.
///
/// # Errors
/// The error of `sendmsg(2)`.
pub(crate) fn send(socket: BorrowedFd<'_>, label: &Label, parts: &[IoSlice<'_>]) -> io::Result<()> {
    if label.dont_fragment && label.to.is_ipv4() {
        // IPv4 has no control message for it. No other datagram is sent meanwhile: a socket belongs
        // to one thread.
        options::forbid_fragmentation(socket)?;
        let outcome = send_message(socket, label, parts);
        options::allow_fragmentation(socket, false)?;
        return outcome;
    }
    send_message(socket, label, parts)
}

fn send_message(socket: BorrowedFd<'_>, label: &Label, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let to = SockAddr::from(label.to);
    let mut control = label.control();
    // SAFETY: a plain C structure, for which zero is a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // The kernel only reads through these pointers, although their types allow writing.
    header.msg_name = to.as_ptr().cast_mut().cast();
    header.msg_namelen = to.len();
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len() as _;
    control.send(&mut header);
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

impl Label {
    fn control(&self) -> Control {
        let mut control = Control::default();
        let is_v4 = self.to.is_ipv4();
        match self.from {
            Some(IpAddr::V4(ip)) => {
                let s_addr = u32::from(ip).to_be();
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(ip)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        if self.marking != Marking::PLAIN {
            let (level, kind) = if is_v4 {
                (libc::IPPROTO_IP, libc::IP_TOS)
            } else {
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
            };
            control.push(level, kind, i32::from(self.marking.0));
        }
        if self.dont_fragment && !is_v4 {
            control.push(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1);
        }
        control
    }
}
