//! Servers that follow a script, on a port of the loopback that the kernel gives.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lab::machine;
use wire::attributes::{ErrorCode, Nonce, Realm, XorMappedAddress};
use wire::{Class, Message, Method, Writer};

/// Answers each datagram with the script's answers.
pub(crate) fn on_datagrams(
    script: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    on_datagrams_at(Ipv4Addr::LOCALHOST, script)
}

/// The same on another address of this host.
pub(crate) fn on_datagrams_at(
    ip: Ipv4Addr,
    script: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    on_socket(UdpSocket::bind((ip, 0)).expect("a free port"), script)
}

fn on_socket(
    socket: UdpSocket,
    mut script: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            for answer in script(&packet[..length], from) {
                // The sender may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// Makes these the resolvers of this world, which answer each query with the script's answers.
pub(crate) fn resolve_by(
    ips: &[Ipv4Addr],
    script: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>> + Clone + Send + 'static,
) {
    for ip in ips {
        on_socket(UdpSocket::bind((*ip, 53)).expect("our own"), script.clone());
    }
    machine::resolve_by(ips);
}

/// Passes datagrams on to a server and back, each after this delay; every client gets a port of its
/// own.
pub(crate) fn delayed(server: SocketAddr, delay: Duration) -> SocketAddr {
    let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = front.local_addr().expect("a bound socket");
    let front = Arc::new(front);
    let (later, due) = mpsc::channel::<(Instant, Box<dyn Fn() + Send>)>();
    thread::spawn(move || {
        // All have the same delay, so they are due in the order in which they came.
        for (at, send) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            send();
        }
    });
    thread::spawn(move || {
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut packet = [0; 2_048];
        while let Ok((length, client)) = front.recv_from(&mut packet) {
            let back = backs.entry(client).or_insert_with(|| {
                let back = UdpSocket::bind("0.0.0.0:0").expect("a free port");
                back.connect(server).expect("a way to the server");
                let back = Arc::new(back);
                let (from, front, later) = (Arc::clone(&back), Arc::clone(&front), later.clone());
                thread::spawn(move || {
                    let mut packet = [0; 2_048];
                    while let Ok(length) = from.recv(&mut packet) {
                        let (front, packet) = (Arc::clone(&front), packet[..length].to_vec());
                        let send = move || drop(front.send_to(&packet, client));
                        let _ = later.send((Instant::now() + delay, Box::new(send)));
                    }
                });
                back
            });
            let (back, packet) = (Arc::clone(back), packet[..length].to_vec());
            let send = move || drop(back.send(&packet));
            let _ = later.send((Instant::now() + delay, Box::new(send)));
        }
    });
    address
}

/// Answers every connection in a thread of its own.
pub(crate) fn on_connections(script: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let script = script.clone();
            thread::spawn(move || script(stream));
        }
    });
    address
}

/// Reads requests from a stream, one at a time as clients send them, and answers each.
pub(crate) fn converse(
    mut stream: TcpStream,
    mut script: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>>,
) {
    let from = stream.peer_addr().expect("a connection");
    let mut buffer = [0; 2_048];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        for answer in script(&buffer[..length], from) {
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// A success to a Binding request; `None` to any other.
pub(crate) fn bound(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::parse(request).ok()?;
    (message.method() == Method::Binding).then(|| {
        answer(request, Class::Success, |writer| {
            writer.put(&XorMappedAddress(from));
        })
    })
}

/// A refusal of any request.
pub(crate) fn refused(request: &[u8], code: u16, reason: &str) -> Vec<u8> {
    answer(request, Class::Error, |writer| {
        writer.put(&ErrorCode { code, reason });
    })
}

/// A refusal with realm and nonce.
pub(crate) fn challenged(request: &[u8], code: u16, realm: &str) -> Vec<u8> {
    answer(request, Class::Error, |writer| {
        let reason = "as ever";
        writer.put(&ErrorCode { code, reason });
        writer.put(&Realm(realm)).put(&Nonce("one that never ends"));
    })
}

/// Whether a request is signed.
pub(crate) fn is_signed(request: &[u8]) -> bool {
    const MESSAGE_INTEGRITY: [u8; 4] = [0x00, 0x08, 0x00, 0x14];
    request.windows(4).any(|bytes| bytes == MESSAGE_INTEGRITY)
}

pub(crate) fn answer(
    request: &[u8],
    class: Class,
    attributes: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let message = Message::parse(request).expect("a request");
    let mut packet = Vec::new();
    let mut writer = Writer::new(&mut packet, message.method(), class, message.transaction());
    attributes(&mut writer);
    packet
}
