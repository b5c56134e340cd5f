//! Many datagrams per call, each in its envelope; of one sender several may come in one message (GRO).

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::slice;

use super::address::address;
use super::control::{self, Control};
use crate::marking::Marking;

/// Messages per call.
pub(crate) const BATCH: usize = 16;

/// Room for the largest datagram there is.
const SLOT: usize = 65_536;

/// Receives datagrams, many at a time, into buffers that are used again and again.
pub(crate) struct Batch {
    /// The headers of the messages, which point into the other lists. These are made once and reached by pointers
    /// only: a reference to one of them would end what the headers may do with it.
    headers: Vec<libc::mmsghdr>,
    /// The headers point here for the place of the bytes. It is never read here.
    _slices: Vec<libc::iovec>,
    buffers: Vec<u8>,
    /// The senders and the control messages, as the kernel writes them.
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    /// How many headers the kernel may have written to since they were made ready.
    written: usize,
    received: [Option<Message>; BATCH],
    count: usize,
    runs: Runs,
}

/// Messages of one call that each brought several datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) messages: usize,
    /// The datagrams in them.
    pub(crate) datagrams: usize,
}

/// A message in its buffer: a datagram, or several of one sender that came one behind the other.
#[derive(Clone, Copy, Debug)]
struct Message {
    length: usize,
    /// The length of each datagram but the last, which may be shorter.
    segment: usize,
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
    /// The length of each of several datagrams in one message, where [`super::receive_together`] asked
    /// for them.
    segment: Option<usize>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut buffers = vec![0; BATCH * SLOT];
        // SAFETY: a plain C structure, for which zero is a value.
        let mut names = vec![unsafe { mem::zeroed::<libc::sockaddr_storage>() }; BATCH];
        let slice = |index| libc::iovec {
            iov_base: buffers.as_mut_ptr().wrapping_add(index * SLOT).cast(),
            iov_len: SLOT,
        };
        let mut slices: Vec<_> = (0..BATCH).map(slice).collect();
        let header = |index| {
            // SAFETY: as above.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = names.as_mut_ptr().wrapping_add(index).cast();
            header.msg_hdr.msg_iov = slices.as_mut_ptr().wrapping_add(index);
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        Self {
            headers: (0..BATCH).map(header).collect(),
            _slices: slices,
            buffers,
            names,
            controls: vec![Control::default(); BATCH],
            written: BATCH,
            received: [None; BATCH],
            count: 0,
            runs: Runs::default(),
        }
    }

    /// Makes the headers ready that the last call wrote to.
    fn make_ready(&mut self) {
        let (names, controls) = (self.names.as_mut_ptr(), self.controls.as_mut_ptr());
        for (index, header) in self.headers.iter_mut().enumerate().take(self.written) {
            let header = &mut header.msg_hdr;
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            // SAFETY: both lists have as many places as there are headers, and nobody else reaches them meanwhile.
            // A name of an earlier call is none of this one.
            unsafe {
                (*names.add(index)).ss_family = 0;
                (*controls.add(index)).receive(header);
            }
        }
    }

    /// Receives the messages that are there, at most [`BATCH`], without waiting; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` when there are none; otherwise the error of `recvmmsg(2)`.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.make_ready();
        // SAFETY: every pointer in the headers is to a place of the length beside it, in a list of `self` that never
        // grows, and which nobody else reads or writes during the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.count = 0;
        self.runs = Runs::default();
        self.written = 1;
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.count = count;
        // One more: the kernel may have begun with it.
        self.written = (count + 1).min(BATCH);
        let names = self.names.as_ptr();
        for (index, header) in self.headers.iter().enumerate().take(count) {
            // If a control message is cut off, the answer could leave from another address.
            let cut = libc::MSG_TRUNC | libc::MSG_CTRUNC;
            let whole = header.msg_hdr.msg_flags & cut == 0;
            // SAFETY: there is a name for each header, and the kernel is done with it.
            let from = address(unsafe { &*names.add(index) }).filter(|_| whole);
            self.received[index] = from.map(|from| {
                let mut envelope = Envelope {
                    from,
                    to: None,
                    marking: Marking::PLAIN,
                    overflow: None,
                    segment: None,
                };
                // SAFETY: the kernel has just filled the header's control buffer, which still
                // lives.
                let messages = unsafe { control::messages(&header.msg_hdr) };
                messages.for_each(|(level, kind, data)| envelope.read(level, kind, data));
                let length = header.msg_len as usize;
                let segment = envelope.segment.filter(|it| *it > 0).unwrap_or(length);
                if segment < length {
                    self.runs.messages += 1;
                    self.runs.datagrams += length.div_ceil(segment);
                }
                Message {
                    length,
                    segment,
                    envelope,
                }
            });
        }
        Ok(count)
    }

    /// The messages of the last [`Batch::receive`] that brought several datagrams each.
    pub(crate) const fn runs(&self) -> Runs {
        self.runs
    }

    /// The datagrams of the last [`Batch::receive`]; `None` for one that could not be read whole.
    pub(crate) fn datagrams(&self) -> Datagrams<'_> {
        Datagrams {
            batch: self,
            message: 0,
            offset: 0,
        }
    }
}

/// The datagrams of a batch, in the order in which they came.
pub(crate) struct Datagrams<'b> {
    batch: &'b Batch,
    message: usize,
    /// Where the next one begins in its message.
    offset: usize,
}

impl<'b> Iterator for Datagrams<'b> {
    type Item = Option<(Envelope, &'b [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.message == self.batch.count {
            return None;
        }
        let Some(Message {
            length,
            segment,
            envelope,
        }) = self.batch.received[self.message]
        else {
            self.message += 1;
            return Some(None);
        };
        let start = self.message * SLOT + self.offset;
        // A message without a byte is a datagram, too.
        let taken = segment.min(length - self.offset);
        self.offset += taken;
        if self.offset == length {
            self.message += 1;
            self.offset = 0;
        }
        // By its pointer, as a reference to all buffers would end what the headers may do with them.
        assert!(start + taken <= self.batch.buffers.len());
        // SAFETY: these are within the buffers, which are written only by a call that borrows the batch alone.
        let bytes = unsafe { slice::from_raw_parts(self.batch.buffers.as_ptr().add(start), taken) };
        Some(Some((envelope, bytes)))
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
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let length = data.first_chunk().map(|it| i32::from_ne_bytes(*it));
                self.segment = length.and_then(|length| length.try_into().ok());
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.overflow = data.first_chunk().map(|it| u32::from_ne_bytes(*it));
            }
            _ => self.marking = control::marking(level, kind, data).unwrap_or(self.marking),
        }
    }
}
