//! The system calls that std does not have: many datagrams per call, IP headers, the errors of
//! datagrams that were lost, socket options. The only `unsafe` of this crate.

mod address;
mod control;
mod losses;
mod options;
mod receive;
mod send;
mod stream;

use std::io;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use losses::{Loss, take_loss};
pub(crate) use options::{
    allow_fragmentation, force_receive_buffer, receive_destination, receive_losses,
    receive_marking, receive_overflow,
};
pub(crate) use receive::{BATCH, Batch, Envelope};
pub(crate) use send::{Label, send};
pub(crate) use stream::stream_marking;

/// Registers a socket with the runtime of this thread, for reading only. The kernel signals a loss
/// as priority data, and the runtime that as something to read.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and names the same one until it is dropped. Taking it
    // out of the `AsyncFd` ends the registration.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::PRIORITY) }
        .map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
