//! What the system calls promise, on loopback.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use super::*;

fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
    let bind = |address: &str| UdpSocket::bind(format!("{address}:0")).unwrap();
    let wildcard = if ip.starts_with('[') {
        "[::]"
    } else {
        "0.0.0.0"
    };
    let (server, client) = (bind(wildcard), bind(ip));
    receive_destination(server.as_fd(), ip.starts_with('[')).unwrap();
    receive_overflow(server.as_fd()).unwrap();
    (server, client)
}

#[test]
fn a_batch_tells_who_sent_what_to_which_address() {
    for ip in ["127.0.0.1", "[::1]"] {
        let (server, client) = pair(ip);
        let port = server.local_addr().unwrap().port();
        let target: SocketAddr = format!("{ip}:{port}").parse().unwrap();
        for text in ["one", "", "three"] {
            client.send_to(text.as_bytes(), target).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 3);
        for (index, text) in ["one", "", "three"].into_iter().enumerate() {
            let (envelope, bytes) = batch.datagram(index).unwrap();
            assert_eq!(bytes, text.as_bytes());
            assert_eq!(envelope.from, client.local_addr().unwrap());
            assert_eq!(envelope.to, Some(target.ip()));
        }
        let empty = batch.receive(server.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn an_answer_leaves_from_the_address_it_was_asked_at() {
    let (server, client) = pair("127.0.0.1");
    let parts = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
    let from: IpAddr = "127.0.0.9".parse().unwrap();
    send(
        server.as_fd(),
        client.local_addr().unwrap(),
        Some(from),
        &parts,
    )
    .unwrap();
    let mut buffer = [0; 16];
    let (length, source) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], source.ip()), (&b"hello"[..], from));
}

#[test]
fn the_largest_datagram_fits() {
    let (server, client) = pair("127.0.0.1");
    let port = server.local_addr().unwrap().port();
    client.send_to(&[7; 65_507], ("127.0.0.1", port)).unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
    assert_eq!(batch.datagram(0).unwrap().1.len(), 65_507);
}
