//! Promises of the system calls, on loopback.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Type};

use super::*;
use crate::marking::Marking;

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

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

/// A plain label for the socket of a receiver.
fn label(receiver: &UdpSocket) -> Label {
    Label {
        to: receiver.local_addr().unwrap(),
        from: None,
        marking: Marking::PLAIN,
        dont_fragment: false,
    }
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
    let label = Label {
        from: Some(from),
        ..label(&client)
    };
    send(server.as_fd(), &label, &parts).unwrap();
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

#[test]
fn every_datagram_of_a_batch_keeps_a_marking_of_its_own() {
    for ip in ["127.0.0.1", "[::1]"] {
        let (server, client) = pair(ip);
        receive_marking(server.as_fd(), ip.starts_with('[')).unwrap();
        let to = SocketAddr::new(client.local_addr().unwrap().ip(), port(&server));
        let markings = [0xB8, 0, 0b01, 0xFF, 0b11].map(Marking);
        for marking in markings {
            let label = Label {
                to,
                marking,
                ..label(&server)
            };
            send(client.as_fd(), &label, &[IoSlice::new(b"marked")]).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), markings.len());
        let received = std::array::from_fn(|index| batch.datagram(index).unwrap().0.marking);
        assert_eq!(received, markings);
    }
}

#[test]
fn a_closed_port_is_a_loss_that_is_told_once() {
    for (ip, kind, code) in [("127.0.0.1", 3, 3), ("[::1]", 1, 4)] {
        let (_, sender) = pair(ip);
        receive_losses(sender.as_fd(), ip.starts_with('[')).unwrap();
        let (_, closed) = pair(ip);
        let label = label(&closed);
        drop(closed);
        send(sender.as_fd(), &label, &[IoSlice::new(b"lost")]).unwrap();
        let loss = Loss {
            to: label.to,
            icmp: relay::Icmp {
                kind,
                code,
                data: 0,
            },
            is_local: false,
        };
        assert_eq!(take_loss(sender.as_fd()).unwrap(), Some(loss));
        let nothing = take_loss(sender.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}

/// Loopback takes 65,536 bytes at once, less than the largest datagram of IPv6 has.
#[test]
fn what_must_not_be_fragmented_and_does_not_fit_is_a_loss_of_our_own() {
    let ((_, sender), (_, receiver)) = (pair("[::1]"), pair("[::1]"));
    receive_losses(sender.as_fd(), true).unwrap();
    let parts = [IoSlice::new(&[7; 65_500])];
    let fragmented = label(&receiver);
    let whole = Label {
        dont_fragment: true,
        ..fragmented
    };
    let error = send(sender.as_fd(), &whole, &parts).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    let loss = Loss {
        to: whole.to,
        icmp: relay::Icmp {
            kind: 2,
            code: 0,
            data: 65_536,
        },
        is_local: true,
    };
    assert_eq!(take_loss(sender.as_fd()).unwrap(), Some(loss));
    send(sender.as_fd(), &fragmented, &parts).unwrap();
    assert_eq!(receiver.recv(&mut [0; 65_536]).unwrap(), 65_500);
}

#[test]
fn a_stream_has_the_marking_of_its_clients_packets() {
    for ip in ["127.0.0.1", "[::1]"] {
        let is_v6 = ip.starts_with('[');
        let listener = TcpListener::bind(format!("{ip}:0")).unwrap();
        let to = listener.local_addr().unwrap();
        let client = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        if is_v6 {
            client.set_tclass_v6(0xB8).unwrap();
        } else {
            client.set_tos_v4(0xB8).unwrap();
        }
        client.connect(&to.into()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let marking = stream_marking(stream.as_fd(), is_v6).unwrap();
        assert_eq!(marking, Marking(0xB8), "{ip}");
    }
}
