//! Many datagrams per call, each in its envelope.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::address;
use super::control::{self, Control};
use crate::marking::Marking;

/// Datagrams per call.
pub(crate) const BATCH: usize = 16;

/// Room for the largest datagram there is.
const SLOT: usize = 65_536;

/// Receives datagrams, many at a time, into buffers that are used again and again.
pub(crate) struct Batch {
    buffers: Box<[u8]>,
    received: [Option<Datagram>; BATCH],
}

/// A datagram in its buffer.
#[derive(Clone, Copy, Debug)]
struct Datagram {
    length: usize,
    envelope: Envelope,
}

/// The values that the kernel gives beside a datagram's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// The sender.
    pub(crate) from: SocketAddr,
    /// The address it was sent to, where [`super::receive_destination`] asked for it.
    pub(crate) to: Option<IpAddr>,
    /// Its DSCP and ECN, where [`super::receive_marking`] asked for them.
    pub(crate) marking: Marking,
    /// How many datagrams this socket has dropped, if any.
    pub(crate) overflow: Option<u32>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH * SLOT].into(),
            received: [None; BATCH],
        }
    }

    /// Receives the datagrams that are there, at most [`BATCH`], without waiting; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` when there are none; otherwise the error of `recvmmsg(2)`.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: all three are plain C structures, for which zero is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut names: [libc::sockaddr_storage; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut slices: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        let mut controls = [Control::default(); BATCH];
        for (index, buffer) in self.buffers.chunks_exact_mut(SLOT).enumerate() {
            slices[index] = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut slices[index];
            header.msg_iovlen = 1;
            controls[index].receive(header);
        }
        // SAFETY: every pointer above is to a buffer of the length beside it, which outlives the
        // call and is written by nobody else.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (index, header) in headers.iter().enumerate().take(count) {
            // If a control message is cut off, the answer could leave from another address.
            let cut = libc::MSG_TRUNC | libc::MSG_CTRUNC;
            let whole = header.msg_hdr.msg_flags & cut == 0;
            let from = address(&names[index]).filter(|_| whole);
            self.received[index] = from.map(|from| {
                let mut envelope = Envelope {
                    from,
                    to: None,
                    marking: Marking::PLAIN,
                    overflow: None,
                };
                // SAFETY: the kernel has just filled the header's control buffer, which still
                // lives.
                let messages = unsafe { control::messages(&header.msg_hdr) };
                messages.for_each(|(level, kind, data)| envelope.read(level, kind, data));
                Datagram {
                    length: header.msg_len as usize,
                    envelope,
                }
            });
        }
        Ok(count)
    }

    /// A datagram of the last [`Batch::receive`]; `None` if it could not be read whole.
    pub(crate) fn datagram(&self, index: usize) -> Option<(Envelope, &[u8])> {
        let Datagram { length, envelope } = self.received[index]?;
        let start = index * SLOT;
        Some((envelope, &self.buffers[start..start + length]))
    }
}

impl Envelope {
    /// Reads a control message.
    fn read(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            // The destination comes after the interface and the address that it was routed to.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let ip = data.get(8..).and_then(|ip| ip.first_chunk::<4>());
                self.to = ip.map(|ip| Ipv4Addr::from(*ip).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let ip = data.first_chunk::<16>();
                self.to = ip.map(|ip| Ipv6Addr::from(*ip).into());
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.overflow = data.first_chunk().map(|it| u32::from_ne_bytes(*it));
            }
            _ => self.marking = control::marking(level, kind, data).unwrap_or(self.marking),
        }
    }
}
