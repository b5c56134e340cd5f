//! The system calls that std has no words for: many datagrams per call, the address a
//! datagram was sent to, socket options. The only `unsafe` of this crate.

mod address;
mod control;
mod options;
mod receive;
mod send;

use std::io;

use socket2::Socket;
use tokio::io::unix::AsyncFd;

pub(crate) use options::{
    allow_fragmentation, force_receive_buffer, receive_destination, receive_overflow,
};
pub(crate) use receive::{BATCH, Batch, Envelope};
pub(crate) use send::send;

/// Lets the runtime of this thread watch a socket.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and names the same one until it is dropped, and
    // nothing here takes it out of the `AsyncFd`.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
