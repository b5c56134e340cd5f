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
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use losses::{Loss, take_loss};
#[cfg(test)]
pub(crate) use options::leave_checksums_out;
pub(crate) use options::{
    allow_fragmentation, force_receive_buffer, receive_destination, receive_losses,
    receive_marking, receive_overflow, receive_together,
};
pub(crate) use receive::{BATCH, Batch, Envelope, Runs};
pub(crate) use send::{Apart, Label, send, send_each, send_together};
pub(crate) use stream::stream_marking;

/// Registers a socket with the runtime of this thread, for reading only. The kernel signals a loss
/// as priority data, and the runtime that as something to read.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    register_for(socket, Interest::READABLE | Interest::PRIORITY)
}

/// The same for a socket that is only sent to: datagrams that come wake nobody here.
pub(crate) fn register_to_send(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    register_for(socket, Interest::PRIORITY)
}

fn register_for(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and names the same one until it is dropped. Taking it
    // out of the `AsyncFd` ends the registration.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}

/// Takes over a descriptor that the process was started with. The caller asks once for each.
pub(crate) fn adopt(descriptor: RawFd) -> io::Result<Socket> {
    // Only a socket has a type.
    // SAFETY: it is borrowed for this call; a number that is no open descriptor is an error of it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    SockRef::from(&borrowed).r#type()?;
    // SAFETY: it is open, and whoever started the process left it to us: nothing else in the process
    // has it, and it is asked for once.
    Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(test)]
mod tests;
