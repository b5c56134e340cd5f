//! Two connections as one stream: that of a client, and that of a peer of its TCP allocation.
//! RFC 6062 §5.4.
//!
//! A stream loses nothing: an end is read only while the other takes what was read, so each way at
//! most [`CHUNK`] bytes wait in this process, and mostly none. A client or peer that sends no more is
//! passed on as such, and hears the other to its end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use relay::{ConnectionId, Passage, Way};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time;

use crate::clock;
use crate::connection::Connection;
use crate::gate::Place;
use crate::local::Handle;
use crate::stream::turn;
use crate::sys::BATCH;

/// A connection with a peer that is promised to a client's connection.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) connection: ConnectionId,
    pub(crate) passage: Passage,
    /// The peer's socket.
    pub(crate) socket: oneshot::Receiver<TcpStream>,
    /// Resolves when the core closes the connection.
    pub(crate) closed: oneshot::Receiver<Infallible>,
}

/// Carries all data each way until both ends have ended, one of them is lost, or the core closes the
/// connection. `first` came from the client already.
pub(crate) async fn carry(
    shard: &Handle,
    client: &Connection,
    carried: Carried,
    first: BytesMut,
    places: [Place; 2],
) {
    let Carried {
        connection,
        passage,
        socket,
        closed,
    } = carried;
    let both = async {
        client.drain_all().await?;
        let peer = socket.await.map_err(io::Error::other)?;
        let ends = Ends {
            shard,
            passage: &passage,
            client,
            peer: &peer,
        };
        let [out, inward] = places;
        tokio::try_join!(
            ends.carry(Way::Out, first, out),
            ends.carry(Way::In, BytesMut::new(), inward)
        )?;
        io::Result::Ok(())
    };
    tokio::select! {
        // A failure of one end is told to the other as its end.
        _ = both => {}
        _ = closed => {}
    }
    let mut shard = shard.shard.borrow_mut();
    shard.peers.close(connection);
    shard.server.handle_ended(connection);
    shard.perform_effects();
    shard.publish();
}

/// The two ends.
struct Ends<'a> {
    shard: &'a Handle,
    passage: &'a Passage,
    client: &'a Connection,
    peer: &'a TcpStream,
}

impl Ends<'_> {
    /// Carries one way until its source has ended.
    ///
    /// # Errors
    /// If the source is lost.
    async fn carry(&self, way: Way, first: BytesMut, place: Place) -> io::Result<()> {
        let place = RefCell::new(place);
        let mut waiting = first;
        self.note(way, waiting.len());
        loop {
            if self.write_out(way, waiting).await.is_err() {
                // The receiver is gone: what it has sent before is still carried.
                return Ok(());
            }
            self.allowed(way).await;
            self.readable(way).await?;
            turn(self.shard, &place).await;
            waiting = match self.pass(way) {
                Ok(None) => return Ok(()),
                Ok(Some(waiting)) => waiting,
                Err(error) if error.kind() == ErrorKind::WouldBlock => BytesMut::new(),
                Err(error) => return Err(error),
            };
            // Others have their turn before the next one.
            tokio::task::yield_now().await;
        }
    }

    /// Reads once, and writes as much of that as is taken. Returns the rest, or `None` at the end of
    /// the source, of which the receiver is told.
    fn pass(&self, way: Way) -> io::Result<Option<BytesMut>> {
        let mut scratch = self.shard.scratch.borrow_mut();
        let most = CHUNK.min(scratch.len());
        let read = self.try_read(way, &mut scratch[..most]);
        let packets = read.as_ref().map_or(1, |bytes| bytes / SEGMENT);
        // To decrypt a record costs as much as a packet, however small it is.
        let packets = packets.max(self.client.take_records());
        let gates = &mut self.shard.shard.borrow_mut().gates;
        gates.streams.spend(packets.clamp(1, BATCH));
        let read = read?;
        if read == 0 {
            // A receiver that is gone need not be told.
            let _ = self.end(way);
            return Ok(None);
        }
        let bytes = &scratch[..read];
        // A receiver that is gone is seen to be when the rest is written.
        let written = self.try_write(way, bytes).unwrap_or(0);
        Ok(Some(BytesMut::from(&bytes[written..])))
    }

    /// Waits until more may be read, by the limits of bandwidth.
    async fn allowed(&self, way: Way) {
        while let Err(next) = self.may_pass(way) {
            time::sleep_until(next.into()).await;
        }
    }

    fn may_pass(&self, way: Way) -> Result<(), Instant> {
        let server = &self.shard.shard.borrow().server;
        server.may_pass(clock::now().mono, self.passage, way, CHUNK)
    }

    fn note(&self, way: Way, bytes: usize) {
        if bytes > 0 {
            let now = clock::now().mono;
            let server = &mut self.shard.shard.borrow_mut().server;
            server.note_passed(now, self.passage, way, bytes);
        }
    }

    /// Waits until the receiver has taken all that was read.
    async fn write_out(&self, way: Way, mut waiting: BytesMut) -> io::Result<()> {
        while !waiting.is_empty() {
            self.writable(way).await?;
            match self.try_write(way, &waiting) {
                Ok(written) => waiting.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        match way {
            Way::Out => Ok(()),
            Way::In => self.client.flush_all().await,
        }
    }

    async fn readable(&self, way: Way) -> io::Result<()> {
        match way {
            Way::Out => self.client.readable().await,
            Way::In => self.peer.readable().await,
        }
    }

    fn try_read(&self, way: Way, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match way {
            Way::Out => self.client.try_read(buffer),
            Way::In => self.peer.try_read(buffer),
        };
        read.inspect(|bytes| self.note(way, *bytes))
    }

    async fn writable(&self, way: Way) -> io::Result<()> {
        match way {
            Way::Out => self.peer.writable().await,
            Way::In => self.client.writable().await,
        }
    }

    fn try_write(&self, way: Way, bytes: &[u8]) -> io::Result<usize> {
        match way {
            Way::Out => self.peer.try_write(bytes),
            Way::In => self.client.try_write(bytes),
        }
    }

    /// Tells the receiver that nothing more comes.
    fn end(&self, way: Way) -> io::Result<()> {
        match way {
            Way::Out => SockRef::from(self.peer).shutdown(Shutdown::Write),
            Way::In => self.client.end_sending(),
        }
    }
}

/// The most that is read at once, and so the most that waits each way.
const CHUNK: usize = 32 * 1024;

/// Bytes that count as one frame among those of other clients.
const SEGMENT: usize = 1400;
