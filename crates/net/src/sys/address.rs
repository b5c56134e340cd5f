//! Addresses as the kernel writes and reads them.

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The transport address in a storage; `None` if it is of neither IPv4 nor IPv6.
pub(super) fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds; it is large and aligned
            // enough for every one.
            let name = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            // The scope tells link-local clients apart, and their answers need it.
            let scope = name.sin6_scope_id;
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, scope).into())
        }
        _ => None,
    }
}

/// A transport address as the kernel reads it: a quarter of a `sockaddr_storage`, which is made for each datagram.
#[derive(Clone, Copy)]
pub(super) enum Name {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => {
                // SAFETY: a plain C structure, for which zero is a value.
                let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
                name.sin_family = libc::AF_INET as libc::sa_family_t;
                name.sin_port = address.port().to_be();
                name.sin_addr.s_addr = u32::from(*address.ip()).to_be();
                Self::V4(name)
            }
            SocketAddr::V6(address) => {
                // SAFETY: as above.
                let mut name: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                name.sin6_port = address.port().to_be();
                name.sin6_addr.s6_addr = address.ip().octets();
                name.sin6_scope_id = address.scope_id();
                Self::V6(name)
            }
        }
    }
}

impl Name {
    /// Lets a header send to it.
    pub(super) const fn send(&self, header: &mut libc::msghdr) {
        // The kernel only reads through this pointer, although its type allows writing.
        let (pointer, length) = match self {
            Self::V4(name) => ((&raw const *name).cast_mut().cast(), size_of_val(name)),
            Self::V6(name) => ((&raw const *name).cast_mut().cast(), size_of_val(name)),
        };
        header.msg_name = pointer;
        header.msg_namelen = length as libc::socklen_t;
    }
}
