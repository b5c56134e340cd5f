//! Frames: neighbours of a turn that leave on one stream in one call. RFC 8656 §12.5.

use std::io::IoSlice;

use arrayvec::ArrayVec;
use relay::{ClientTuple, Destination, Outgoing, RelayHeader};

use crate::sys::BATCH;

/// Application data to one client on a stream, in its order.
pub(crate) struct Frames<'d> {
    pub(crate) client: ClientTuple,
    frames: ArrayVec<Frame<'d>, BATCH>,
}

/// Application data under its header.
struct Frame<'d> {
    header: RelayHeader,
    payload: &'d [u8],
}

impl<'d> Frames<'d> {
    /// The frames that begin with this one; `None` if it is no data for a stream.
    pub(crate) fn begin(outgoing: &Outgoing<&'d [u8]>) -> Option<Self> {
        let (client, frame) = frame_of(outgoing)?;
        let mut frames = ArrayVec::new();
        frames.push(frame);
        Some(Self { client, frames })
    }

    /// Takes the next one of the turn, if it leaves on the same stream.
    pub(crate) fn take(&mut self, outgoing: &Outgoing<&'d [u8]>) -> bool {
        match frame_of(outgoing) {
            Some((client, frame)) if client == self.client => self.frames.try_push(frame).is_ok(),
            Some(_) | None => false,
        }
    }

    /// The bytes of each, as they leave.
    pub(crate) fn parts(&self) -> ArrayVec<[IoSlice<'_>; 3], BATCH> {
        self.frames.iter().map(Frame::parts).collect()
    }
}

impl Frame<'_> {
    /// On a stream every frame ends at a multiple of four.
    fn parts(&self) -> [IoSlice<'_>; 3] {
        let padding = wire::padding(self.header.len() + self.payload.len());
        [&self.header, self.payload, &[0; 3][..padding]].map(IoSlice::new)
    }
}

fn frame_of<'d>(outgoing: &Outgoing<&'d [u8]>) -> Option<(ClientTuple, Frame<'d>)> {
    let payload = outgoing.contents;
    match outgoing.to {
        Destination::Client { client, header } if client.transport.is_stream() => {
            Some((client, Frame { header, payload }))
        }
        Destination::Client { .. }
        | Destination::Peer(_)
        | Destination::Relayed(_)
        | Destination::Answer(_)
        | Destination::Partner(_) => None,
    }
}

#[cfg(test)]
mod tests;
