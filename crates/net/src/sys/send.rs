//! Sends datagrams, gathered from parts: one by one, several to one receiver at a time (GSO), or several of one
//! socket at a time (`sendmmsg`).

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use arrayvec::ArrayVec;

use super::address::Name;
use super::control::Control;
use super::options;
use super::receive::BATCH;
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
        // IPv4 has no control message for it. No other datagram is sent meanwhile: a socket belongs to one
        // thread, but for listeners of which fewer were passed than there are shards.
        options::forbid_fragmentation(socket)?;
        let outcome = send_message(socket, label, parts);
        options::allow_fragmentation(socket, false)?;
        return outcome;
    }
    send_message(socket, label, parts)
}

/// Sends several datagrams, gathered from the parts of all of them, without waiting: each has `segment`
/// bytes, and the last may have fewer. They may be fragmented on their way. Kernels take 64 at
/// most.
/// udp(7), `UDP_SEGMENT`.
///
/// # Errors
/// [`Apart`]; nothing was sent then.
pub(crate) fn send_together(
    socket: BorrowedFd<'_>,
    label: &Label,
    parts: &[IoSlice<'_>],
    segment: u16,
) -> Result<(), Apart> {
    let mut control = label.control();
    control.push(libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    let sent = send_with(socket, label, parts, control);
    sent.map_err(|error| match error.raw_os_error() {
        Some(libc::EIO) => Apart::Route,
        Some(libc::EINVAL | libc::EMSGSIZE) => Apart::Length,
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Apart::Full,
        _ => Apart::Failed,
    })
}

/// Sends datagrams from one socket, at most [`BATCH`] and whoever receives them, in as few calls as can be and without
/// waiting; returns how many the kernel did not take. They may be fragmented on their way.
pub(crate) fn send_each(socket: BorrowedFd<'_>, datagrams: &[(Label, [IoSlice<'_>; 3])]) -> usize {
    let labels = datagrams.iter().map(|(label, _)| label);
    let names: ArrayVec<Name, BATCH> = labels.clone().map(|it| it.to.into()).collect();
    let marked = labels.filter(|label| !label.is_plain());
    let mut controls: ArrayVec<Control, BATCH> = marked.map(Label::control).collect();
    let mut controls = controls.iter_mut();
    let mut headers: ArrayVec<libc::mmsghdr, BATCH> = ArrayVec::new();
    for (name, (label, parts)) in names.iter().zip(datagrams) {
        let control = (!label.is_plain()).then(|| controls.next()).flatten();
        headers.push(libc::mmsghdr {
            msg_hdr: header(name, parts, control),
            msg_len: 0,
        });
    }
    let (mut rest, mut failed) = (&mut headers[..], 0);
    while !rest.is_empty() {
        // SAFETY: everything that the headers point to outlives the call.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as _,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        // The kernel stops before one that fails, and says so when it is the first. The others leave without it.
        let done = match usize::try_from(sent) {
            Ok(sent @ 1..) => sent,
            Ok(0) | Err(_) => {
                failed += 1;
                1
            }
        };
        rest = &mut rest[done..];
    }
    failed
}

/// Why several datagrams were not sent together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Apart {
    /// The route takes none together: its device computes no checksums, or it is one of IPsec.
    Route,
    /// These do not fit the route without fragments.
    Length,
    /// There is no room for all of them: in the socket's buffer, in the queue of a device, in memory. For
    /// some there may be.
    Full,
    /// One by one would fare no better.
    Failed,
}

fn send_message(socket: BorrowedFd<'_>, label: &Label, parts: &[IoSlice<'_>]) -> io::Result<()> {
    send_with(socket, label, parts, label.control())
}

fn send_with(
    socket: BorrowedFd<'_>,
    label: &Label,
    parts: &[IoSlice<'_>],
    mut control: Control,
) -> io::Result<()> {
    let to = Name::from(label.to);
    let header = header(&to, parts, Some(&mut control));
    // SAFETY: everything that the header points to outlives the call.
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

/// A header that points to all this.
fn header(to: &Name, parts: &[IoSlice<'_>], control: Option<&mut Control>) -> libc::msghdr {
    // SAFETY: a plain C structure, for which zero is a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    to.send(&mut header);
    // The kernel only reads through this pointer, although its type allows writing. `IoSlice` is guaranteed to have
    // the layout of `iovec`.
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len() as _;
    if let Some(control) = control {
        control.send(&mut header);
    }
    header
}

impl Label {
    /// Whether no control message says anything about the datagram.
    fn is_plain(&self) -> bool {
        let leaves_whole = self.dont_fragment && self.to.is_ipv6();
        self.from.is_none() && self.marking == Marking::PLAIN && !leaves_whole
    }

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
