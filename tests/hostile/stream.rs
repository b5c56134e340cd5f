//! Connections to the server, and a reader of frames that shares no code with it.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, runtime};

/// Connects from an address of the client's choice; port 0 is any.
pub(crate) fn connect(source: SocketAddr, server: SocketAddr) -> TcpStream {
    connect_with(source, server, |_| {})
}

/// Connects with a socket that was made ready by `prepare`.
pub(crate) fn connect_with(
    source: SocketAddr,
    server: SocketAddr,
    prepare: impl FnOnce(&TcpSocket),
) -> TcpStream {
    // Only to choose an address before connecting, which std does not offer.
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let socket = match source {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .expect("a socket");
        socket.set_nodelay(true).expect("a socket option");
        prepare(&socket);
        socket.bind(source).expect("an address of this host");
        let stream = socket.connect(server).await.expect("the server accepts");
        let stream = stream.into_std().expect("a socket");
        stream.set_nonblocking(false).expect("a socket");
        stream
    })
}

/// Makes closing a socket a reset: data under way is lost, and the connection ends without a FIN.
pub(crate) fn reset_when_closed(socket: &TcpSocket) {
    #[expect(
        deprecated,
        reason = "it warns of waiting at closing, and zero does not wait"
    )]
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("a socket option");
}

/// Everything that comes until the server closes, which it must do within `patience`.
#[track_caller]
pub(crate) fn read_to_end(mut stream: &TcpStream, patience: Duration) -> Vec<u8> {
    let deadline = Instant::now() + patience;
    let (mut all, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).expect("not zero");
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            // The server closed while data of ours was unread, which counts as closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("the server does not close the connection: {error}"),
        }
    }
}

/// Takes the first frame off a stream: STUN by its length, ChannelData by its length padded to a
/// multiple of four. `None` while it is not whole.
///
/// # Panics
/// If the bytes begin no frame.
#[track_caller]
pub(crate) fn take_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let length = match header[0] {
        0..=3 => 20 + length,
        0x40..=0x7F => 4 + length.next_multiple_of(4),
        other => panic!("a frame cannot begin with {other:#04x}"),
    };
    bytes.split_at_checked(length)
}

/// All frames of a stream that ended, which must be whole.
#[track_caller]
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = take_frame(bytes).expect("the last frame is whole");
        frames.push(frame);
        bytes = rest;
    }
    frames
}
