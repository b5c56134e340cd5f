//! A program that only passes packets on: the least that a relay can do, to hold relays against.
//!
//! It strips the header of ChannelData from what clients send and puts one before what peers send, with the sockets that
//! a TURN server has: one for all clients, and one for each client's peer. It says yes to every request and checks no
//! credentials, so that `hairpin bench` can prepare its load as at any server, knows one channel of each client, and
//! keeps no time. `plain` moves one datagram a call, as a simple program would; `offload` moves neighbours of one flow
//! in one call (GRO and GSO).

mod flows;
mod many;
mod one;

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use flows::Flows;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["plain", listen] => serve(listen, &mut one::Mover::new()),
        ["offload", listen] => serve(listen, &mut many::Mover::new()),
        _ => {
            eprintln!("usage: forwarder plain|offload IPV4-ADDRESS:PORT");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A way to move packets.
trait Moves {
    /// Whether sockets join what arrives together.
    const JOINS: bool;

    /// Takes what clients have sent; requests are answered.
    fn up(&mut self, listener: &UdpSocket, flows: &mut Flows) -> io::Result<()>;

    /// Takes what a peer has sent to the flow at this place.
    fn down(&mut self, listener: &UdpSocket, flows: &mut Flows, place: usize) -> io::Result<()>;
}

/// Passes packets on for ever.
fn serve<M: Moves>(listen: &str, mover: &mut M) -> io::Result<()> {
    let listen: SocketAddrV4 = listen.parse().map_err(io::Error::other)?;
    let listener = socket(listen, M::JOINS)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut flows = Flows::new(*listen.ip(), M::JOINS, &epoll);
    let mut events = [EpollEvent::empty(); 128];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        for event in &events[..ready] {
            match event.data() {
                LISTENER => mover.up(&listener, &mut flows)?,
                place => mover.down(&listener, &mut flows, place as usize)?,
            }
        }
    }
}

/// A socket with as much room as a TURN server asks for.
fn socket(at: SocketAddrV4, joins: bool) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &ROOM).is_err() {
        setsockopt(&socket.as_fd(), sockopt::RcvBuf, &ROOM)?;
    }
    if joins {
        setsockopt(&socket.as_fd(), sockopt::UdpGroSegment, &true)?;
    }
    Ok(socket)
}

/// Whether an error of a socket is about other packets than the next, or says that there is none.
fn is_for_later(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}

const LISTENER: u64 = u64::MAX;
const ROOM: usize = 2 * 1024 * 1024;
/// The header of ChannelData. RFC 8656 §12.4.
const HEADER: usize = 4;
