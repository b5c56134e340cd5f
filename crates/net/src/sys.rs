//! The system calls that std has no words for: many datagrams per call, the address a datagram was
//! sent to, socket options. The only `unsafe` of this crate.

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockAddr, Socket};
use tokio::io::unix::AsyncFd;

/// Datagrams per call.
pub(crate) const BATCH: usize = 16;

/// Room for the largest datagram there is.
const SLOT: usize = 65_536;

/// Receives datagrams, many at a time, into buffers that are used again and again.
pub(crate) struct Batch {
    buffers: Box<[u8]>,
    received: [Option<Received>; BATCH],
}

/// A datagram's envelope.
#[derive(Clone, Copy, Debug)]
struct Received {
    length: usize,
    envelope: Envelope,
}

/// What the kernel tells of a datagram beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// The sender.
    pub(crate) from: SocketAddr,
    /// The address it was sent to, where [`receive_destination`] asked for it.
    pub(crate) to: Option<IpAddr>,
    /// Datagrams dropped at this socket so far, once there are any.
    pub(crate) overflow: Option<u32>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH * SLOT].into(),
            received: [None; BATCH],
        }
    }

    /// Receives what is there, at most [`BATCH`] datagrams, without waiting; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise what `recvmmsg(2)` says.
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
            header.msg_control = controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
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
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let from = address(&names[index]).filter(|_| whole);
            self.received[index] = from.map(|from| {
                let mut envelope = Envelope {
                    from,
                    to: None,
                    overflow: None,
                };
                read_control(&header.msg_hdr, &mut envelope);
                Received {
                    length: header.msg_len as usize,
                    envelope,
                }
            });
        }
        Ok(count)
    }

    /// A datagram of the last [`Batch::receive`]; `None` if it could not be read whole.
    pub(crate) fn datagram(&self, index: usize) -> Option<(Envelope, &[u8])> {
        let Received { length, envelope } = self.received[index]?;
        let start = index * SLOT;
        Some((envelope, &self.buffers[start..start + length]))
    }
}

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

/// Lets the runtime of this thread watch a socket.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and names the same one until it is dropped, and
    // nothing here takes it out of the `AsyncFd`.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// Asks for [`Envelope::to`].
pub(crate) fn receive_destination(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Asks for [`Envelope::overflow`].
pub(crate) fn receive_overflow(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Sets the receive buffer beyond what `net.core.rmem_max` allows; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

/// Leaves the DF bit clear: relayed datagrams may be fragmented. RFC 8656 §14.
pub(crate) fn allow_fragmentation(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
        )
    } else {
        set_option(
            socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
        )
    }
}

fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an `int` of the length told.
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

/// Room for the control messages asked for, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

const CONTROL: usize = 96;

impl Default for Control {
    fn default() -> Self {
        Self([0; CONTROL])
    }
}

fn read_control(header: &libc::msghdr, envelope: &mut Envelope) {
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
fn write_source(header: &mut libc::msghdr, from: IpAddr) {
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

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
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
            // Link-local clients are told apart and answered by their scope.
            let scope = name.sin6_scope_id;
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
        let bind = |address: &str| UdpSocket::bind(format!("{address}:0")).unwrap();
        let wildcard = if ip.starts_with('[') {
            "[::]"
        } else {
            "0.0.0.0"
        };
        let (server, client) = (bind(wildcard), bind(ip));
        receive_destination(server.as_fd(), ip.starts_with('[')).unwrap();
        receive_overflow(server.as_fd()).unwrap();
        (server, client)
    }

    #[test]
    fn a_batch_tells_who_sent_what_to_which_address() {
        for ip in ["127.0.0.1", "[::1]"] {
            let (server, client) = pair(ip);
            let port = server.local_addr().unwrap().port();
            let target: SocketAddr = format!("{ip}:{port}").parse().unwrap();
            for text in ["one", "", "three"] {
                client.send_to(text.as_bytes(), target).unwrap();
            }
            let mut batch = Batch::new();
            assert_eq!(batch.receive(server.as_fd()).unwrap(), 3);
            for (index, text) in ["one", "", "three"].into_iter().enumerate() {
                let (envelope, bytes) = batch.datagram(index).unwrap();
                assert_eq!(bytes, text.as_bytes());
                assert_eq!(envelope.from, client.local_addr().unwrap());
                assert_eq!(envelope.to, Some(target.ip()));
            }
            let empty = batch.receive(server.as_fd()).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn an_answer_leaves_from_the_address_it_was_asked_at() {
        let (server, client) = pair("127.0.0.1");
        let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
        let from: IpAddr = "127.0.0.9".parse().unwrap();
        send(
            server.as_fd(),
            client.local_addr().unwrap(),
            Some(from),
            &parts,
        )
        .unwrap();
        let mut buffer = [0; 16];
        let (length, source) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], source.ip()), (&b"hello"[..], from));
    }

    #[test]
    fn the_largest_datagram_fits() {
        let (server, client) = pair("127.0.0.1");
        let port = server.local_addr().unwrap().port();
        client.send_to(&[7; 65_507], ("127.0.0.1", port)).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
        assert_eq!(batch.datagram(0).unwrap().1.len(), 65_507);
    }
}
