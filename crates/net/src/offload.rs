//! Offload: neighbours of one flow that the kernel brings in one message (GRO) and takes in one call
//! (GSO), where it can.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::marking::Marking;
use crate::sys::{self, Batch, Label};

/// Whether neighbours of one flow are received and sent in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Where the kernel can.
    #[default]
    Auto,
    /// Never: one datagram a message.
    Off,
}

/// The ways in which neighbours of one flow go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// The kernel may bring several in one message. udp(7), `UDP_GRO`.
    pub received: bool,
    /// The kernel takes several in one call. udp(7), `UDP_SEGMENT`.
    pub sent: bool,
}

impl Offload {
    /// The ways that this host has, found out with a socket on loopback. A host without loopback
    /// cannot be tried, and has none.
    pub fn find(self) -> Together {
        match self {
            Self::Off => Together::default(),
            Self::Auto => LOOPBACK
                .iter()
                .find_map(|ip| trial(*ip).ok())
                .unwrap_or_default(),
        }
    }
}

/// Sends two datagrams in one call to the socket itself. To be told of an error is not enough:
/// kernels that do not know the option ignore it, and send one datagram with the bytes of both.
fn trial(ip: IpAddr) -> io::Result<Together> {
    let any = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&any.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let own = socket.local_addr()?.as_socket();
    let label = Label {
        to: own.ok_or(io::ErrorKind::AddrNotAvailable)?,
        from: None,
        marking: Marking::PLAIN,
        dont_fragment: false,
    };
    let received = sys::receive_together(socket.as_fd()).is_ok();
    let bytes = [0; 2 * SEGMENT];
    let parts = [IoSlice::new(&bytes)];
    let taken = sys::send_together(socket.as_fd(), &label, &parts, SEGMENT as u16).is_ok();
    let sent = taken && lengths(&socket)? == [SEGMENT; 2];
    Ok(Together { received, sent })
}

/// The lengths of the datagrams that come.
fn lengths(socket: &Socket) -> io::Result<Vec<usize>> {
    let (mut batch, mut lengths) = (Batch::new(), Vec::new());
    while lengths.iter().sum::<usize>() < 2 * SEGMENT {
        // Waits for the next.
        socket.peek(&mut [MaybeUninit::uninit()])?;
        batch.receive(socket.as_fd())?;
        let datagrams = batch.datagrams().flatten();
        lengths.extend(datagrams.map(|(_, bytes)| bytes.len()));
    }
    Ok(lengths)
}

/// Says once that what was to go together went one by one.
pub(crate) fn say_apart(apart: sys::Apart) {
    let (said, why) = match apart {
        sys::Apart::Route => (&SAID[0], "a device or its route takes one datagram a call"),
        sys::Apart::Length => (&SAID[1], "the datagrams do not fit their route whole"),
        sys::Apart::Full | sys::Apart::Failed => return,
    };
    if !said.swap(true, Ordering::Relaxed) {
        tracing::info!(
            why,
            "datapath.apart: the kernel refused to send datagrams together, so they were sent one by one"
        );
    }
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Bytes of each datagram of the trial.
const SEGMENT: usize = 100;

/// The longest wait for a datagram on loopback. It comes at once, but on a host whose processors are
/// all busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether each reason was said by now.
static SAID: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_not_tried_and_this_host_does_both() {
        assert_eq!(Offload::Off.find(), Together::default());
        let both = Together {
            received: true,
            sent: true,
        };
        assert_eq!(Offload::Auto.find(), both);
        assert_eq!(trial(LOOPBACK[1]).unwrap_or(both), both);
    }
}
