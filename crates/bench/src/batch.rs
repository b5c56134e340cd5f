//! Many datagrams in one system call, both ways.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, sendmsg,
};

/// Room for a batch of datagrams.
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
    lengths: Vec<usize>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(MOST, None),
            buffer: vec![0; MOST * ROOM],
            lengths: Vec::with_capacity(MOST),
        }
    }

    /// Sends a datagram for each stamp on a connected socket, with the same bytes before and behind it. Returns how
    /// many the kernel took.
    pub(crate) fn send(
        &mut self,
        socket: RawFd,
        before: &[u8],
        stamps: &[impl AsRef<[u8]>],
        behind: &[u8],
    ) -> Result<usize, Errno> {
        let slices: Vec<[IoSlice<'_>; 3]> = stamps
            .iter()
            .map(|stamp| [before, stamp.as_ref(), behind].map(IoSlice::new))
            .collect();
        let nowhere = vec![None; slices.len()];
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(socket, &mut self.headers, &slices, nowhere, [], flags)?;
        Ok(sent.count())
    }

    /// The same in one message with a segment for each stamp (GSO), as a network card that joins what arrives together
    /// would hand it to a server that asks for that (GRO). udp(7), `UDP_SEGMENT`.
    pub(crate) fn send_together(
        socket: RawFd,
        before: &[u8],
        stamps: &[impl AsRef<[u8]>],
        behind: &[u8],
    ) -> Result<usize, Errno> {
        let slices = stamps.iter().map(|stamp| [before, stamp.as_ref(), behind]);
        let slices: Vec<IoSlice<'_>> = slices.flatten().map(IoSlice::new).collect();
        let length: usize = slices.iter().take(3).map(|slice| slice.len()).sum();
        let segments = [ControlMessage::UdpGsoSegments(&(length as u16))];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg::<SockaddrStorage>(socket, &slices, &segments, flags, None)?;
        Ok(stamps.len())
    }

    /// Receives what is there; returns how many datagrams.
    pub(crate) fn receive(&mut self, socket: RawFd) -> Result<usize, Errno> {
        let rooms = self.buffer.chunks_exact_mut(ROOM);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            rooms.map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket, &mut self.headers, &mut slices, flags, None)?;
        self.lengths.clear();
        self.lengths.extend(received.map(|message| message.bytes));
        Ok(self.lengths.len())
    }

    /// A datagram of those that were received last.
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        let from = index * ROOM;
        &self.buffer[from..from + self.lengths[index]]
    }
}

/// Datagrams in a batch.
pub(crate) const MOST: usize = 64;
/// Room for one of them.
const ROOM: usize = 2048;
