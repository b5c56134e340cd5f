//! Control messages: what the kernel tells of a datagram beside its bytes, and is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Envelope;

/// Room for the control messages asked for, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL]);

pub(super) const CONTROL: usize = 96;

impl Default for Control {
    fn default() -> Self {
        Self([0; CONTROL])
    }
}

pub(super) fn read_control(header: &libc::msghdr, envelope: &mut Envelope) {
    // SAFETY: the kernel filled the control buffer of this header and set its length; the macros
    // walk within it. The data is read unaligned, as its place promises no alignment.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(head) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = data.cast::<libc::in_pktinfo>().read_unaligned();
                    envelope.to = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    envelope.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    envelope.overflow = Some(data.cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// Writes the one control message of `header` and sets its length.
pub(super) fn write_source(header: &mut libc::msghdr, from: IpAddr) {
    match from {
        IpAddr::V4(ip) => {
            let s_addr = u32::from(ip).to_be();
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(ip) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                ipi6_ifindex: 0,
            };
            write_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
}

fn write_control<T: Copy>(header: &mut libc::msghdr, level: i32, kind: i32, value: T) {
    let length = size_of::<T>() as u32;
    // SAFETY: the control buffer is zeroed, aligned and larger than any message written here.
    unsafe {
        let Some(message) = libc::CMSG_FIRSTHDR(header).as_mut() else {
            return;
        };
        message.cmsg_level = level;
        message.cmsg_type = kind;
        message.cmsg_len = libc::CMSG_LEN(length) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
        header.msg_controllen = libc::CMSG_SPACE(length) as _;
    }
}
