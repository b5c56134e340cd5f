//! A client's connection: frames out and in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::SockRef;
use wire::stream::{Deframer, MAX_FRAME};

pub(super) struct Stream {
    socket: TcpStream,
    deframer: Deframer,
}

impl Stream {
    pub(super) fn to(listener: SocketAddr) -> Self {
        let socket = TcpStream::connect(listener).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        // All of a round fits in.
        SockRef::from(&socket)
            .set_send_buffer_size(1 << 20)
            .unwrap();
        let deframer = Deframer::default();
        Self { socket, deframer }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(super) fn listener(&self) -> SocketAddr {
        self.socket.peer_addr().unwrap()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The frames that came.
    pub(super) fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let length = match self.socket.read(&mut buffer) {
                Ok(0) => panic!("the connection ended"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return frames,
                Err(error) => panic!("{error}"),
            };
            let mut input = &buffer[..length];
            while let Some(frame) = self.deframer.next(&mut input, MAX_FRAME).unwrap() {
                frames.push(frame.to_vec());
            }
        }
    }
}
