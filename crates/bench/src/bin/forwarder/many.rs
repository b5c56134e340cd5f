//! Neighbours of one flow in one call: what comes together is received together (GRO, `recvmmsg`), and leaves as
//! segments of one message (GSO).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg,
};
use wire::ChannelData;

use crate::flows::Flows;
use crate::{Moves, is_for_later};

/// Room for many messages, and where the datagrams in them are.
pub(crate) struct Mover {
    buffer: Vec<u8>,
    datagrams: Vec<Datagram>,
}

struct Datagram {
    from: SocketAddr,
    place: Range<usize>,
}

impl Mover {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MOST * ROOM],
            datagrams: Vec::with_capacity(MOST),
        }
    }

    /// Receives at most so many messages; says whether that many have come.
    fn receive(&mut self, socket: &UdpSocket, most: usize) -> io::Result<bool> {
        self.datagrams.clear();
        // The control buffers of `MultiHeaders` shrink to what was received last, so that they serve once.
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(most, Some(cmsg_space!(i32)));
        let rooms = self.buffer.chunks_exact_mut(ROOM).take(most);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            rooms.map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, flags, None) {
            Ok(messages) => messages,
            Err(error) if is_for_later(&error.into()) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut count = 0;
        for message in messages {
            let segment = message.cmsgs()?.find_map(|control| {
                let ControlMessageOwned::UdpGroSegments(segment) = control else {
                    return None;
                };
                usize::try_from(segment).ok()
            });
            let segment = segment.unwrap_or(message.bytes).max(1);
            let (start, end) = (count * ROOM, count * ROOM + message.bytes);
            let from = message.address.map(SocketAddrV4::from);
            let from = from.ok_or(io::ErrorKind::InvalidData)?.into();
            self.datagrams
                .extend((start..end).step_by(segment).map(|start| Datagram {
                    from,
                    place: start..end.min(start + segment),
                }));
            count += 1;
        }
        Ok(count == most)
    }

    fn bytes(&self, datagram: &Datagram) -> &[u8] {
        &self.buffer[datagram.place.clone()]
    }
}

impl Moves for Mover {
    const JOINS: bool = true;

    fn up(&mut self, listener: &UdpSocket, flows: &mut Flows) -> io::Result<()> {
        self.receive(listener, MOST)?;
        for run in self.datagrams.chunk_by(are_of_one_flow) {
            let client = run[0].from;
            let mut slices = Vec::with_capacity(run.len());
            for datagram in run {
                match ChannelData::parse(self.bytes(datagram)) {
                    Ok(data) => slices.push(IoSlice::new(data.payload)),
                    Err(_) => flows.handle_request(listener, client, self.bytes(datagram))?,
                }
            }
            if let Some(flow) = flows.of(client) {
                send(&flow.relay, flow.peer, &slices, 1);
            }
        }
        Ok(())
    }

    fn down(&mut self, listener: &UdpSocket, flows: &mut Flows, place: usize) -> io::Result<()> {
        let Some(flow) = flows.at(place) else {
            return Ok(());
        };
        self.receive(&flow.relay, MOST_OF_A_PEER)?;
        for run in self.datagrams.chunk_by(are_of_one_flow) {
            if run[0].from != flow.peer {
                continue;
            }
            let headers: Vec<_> = run.iter().map(|it| flow.header(it.place.len())).collect();
            let pairs = headers.iter().zip(run);
            let slices: Vec<_> = pairs
                .flat_map(|(header, datagram)| {
                    [IoSlice::new(header), IoSlice::new(self.bytes(datagram))]
                })
                .collect();
            send(listener, flow.client, &slices, 2);
        }
        Ok(())
    }
}

/// Whether a datagram may be a segment behind another one. A shorter one would have to be the last.
fn are_of_one_flow(one: &Datagram, next: &Datagram) -> bool {
    one.from == next.from && one.place.len() == next.place.len()
}

/// Sends datagrams of one length, each of `pieces` slices, in as few calls as the kernel allows. A datagram that it has no room for
/// is lost, as on any way.
fn send(socket: &UdpSocket, to: SocketAddr, slices: &[IoSlice<'_>], pieces: usize) {
    let SocketAddr::V4(to) = to else {
        return;
    };
    let to = SockaddrIn::from(to);
    let Some(first) = slices.get(..pieces) else {
        return;
    };
    let length: usize = first.iter().map(|slice| slice.len()).sum();
    let together = (MOST_BYTES / length.max(1)).clamp(1, MOST_SEGMENTS);
    let segment = length as u16;
    for message in slices.chunks(together * pieces) {
        let segments = [ControlMessage::UdpGsoSegments(&segment)];
        let control = if message.len() > pieces {
            &segments[..]
        } else {
            &[]
        };
        let flags = MsgFlags::MSG_DONTWAIT;
        let _ = sendmsg(socket.as_raw_fd(), message, control, flags, Some(&to));
    }
}

/// Messages of clients in a call, and of a peer, who has fewer.
const MOST: usize = 64;
const MOST_OF_A_PEER: usize = 16;
/// Room for a message.
const ROOM: usize = 65_535;
/// The bytes that a message with segments may hold. udp(7), `UDP_SEGMENT`.
const MOST_BYTES: usize = 65_000;
const MOST_SEGMENTS: usize = 64;
