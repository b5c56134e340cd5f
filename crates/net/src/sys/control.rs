//! Control messages: values beside a datagram's bytes, from the kernel and to it.

use std::{iter, slice};

use crate::marking::Marking;

/// Room for the control messages of one datagram, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    bytes: [u8; CONTROL],
    /// How many bytes were written.
    length: usize,
}

/// The most at once: of a datagram from IPv6 its destination (40), traffic class (24), the overflow
/// (24) and, of several in one, the length of each (24).
const CONTROL: usize = 128;

impl Default for Control {
    fn default() -> Self {
        Self {
            bytes: [0; CONTROL],
            length: 0,
        }
    }
}

impl Control {
    /// Lets a header receive as much as there is room for.
    pub(super) const fn receive(&mut self, header: &mut libc::msghdr) {
        header.msg_control = self.bytes.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
    }

    /// Lets a header send the messages that were pushed.
    pub(super) const fn send(&mut self, header: &mut libc::msghdr) {
        if self.length > 0 {
            header.msg_control = self.bytes.as_mut_ptr().cast();
            header.msg_controllen = self.length as _;
        }
    }

    /// Appends a message. All messages of one datagram must fit together.
    pub(super) fn push<T: Copy>(&mut self, level: i32, kind: i32, value: T) {
        let length = size_of::<T>() as u32;
        // SAFETY: these only compute.
        let (whole, space) = unsafe { (libc::CMSG_LEN(length), libc::CMSG_SPACE(length)) };
        assert!(self.length + space as usize <= CONTROL, "no room");
        // SAFETY: there is room for the whole message at this place, which is aligned because the
        // buffer is and every message takes a multiple of its alignment.
        unsafe {
            let message = self.bytes.as_mut_ptr().add(self.length);
            let message = message.cast::<libc::cmsghdr>();
            (*message).cmsg_level = level;
            (*message).cmsg_type = kind;
            (*message).cmsg_len = whole as _;
            libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
        }
        self.length += space as usize;
    }
}

/// The control messages of a header: level, type, data.
///
/// # Safety
/// The header's control buffer is aligned for a `cmsghdr`, was filled by the kernel, which set its
/// length, and lives as long as the header is borrowed.
pub(super) unsafe fn messages(header: &libc::msghdr) -> impl Iterator<Item = (i32, i32, &[u8])> {
    // SAFETY: the caller guarantees it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    iter::from_fn(move || {
        // SAFETY: the macros give null or a message that lies in the buffer.
        let message = unsafe { next.as_ref() }?;
        // SAFETY: this only computes.
        let before_data = unsafe { libc::CMSG_LEN(0) } as usize;
        let length = (message.cmsg_len as usize).checked_sub(before_data)?;
        // SAFETY: the kernel wrote as much data as the message says.
        let data = unsafe { slice::from_raw_parts(libc::CMSG_DATA(next), length) };
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
        Some((message.cmsg_level, message.cmsg_type, data))
    })
}

/// The marking of a packet, if this control message holds it: IPv4 in a byte, IPv6 in an `int`.
pub(super) fn marking(level: i32, kind: i32, data: &[u8]) -> Option<Marking> {
    let octet = match ((level, kind), data) {
        ((libc::IPPROTO_IP, libc::IP_TOS), &[octet]) => octet,
        ((libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS), _) => {
            i32::from_ne_bytes(*data.first_chunk()?).try_into().ok()?
        }
        _ => return None,
    };
    Some(Marking(octet))
}
