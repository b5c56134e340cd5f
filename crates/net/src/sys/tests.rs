//! Promises of the system calls, on loopback.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Type};

use super::*;
use crate::marking::Marking;
use crate::run::MOST_BYTES;

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
        for (datagram, text) in batch.datagrams().zip(["one", "", "three"]) {
            let (envelope, bytes) = datagram.unwrap();
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
    let (_, bytes) = batch.datagrams().next().unwrap().unwrap();
    assert_eq!(bytes.len(), 65_507);
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
        let received = batch.datagrams().map(|it| it.unwrap().0.marking);
        assert_eq!(received.collect::<Vec<_>>(), markings);
    }
}

#[test]
fn datagrams_that_leave_together_arrive_as_they_are_whether_they_are_received_together_or_not() {
    for ip in ["127.0.0.1", "[::1]"] {
        for is_together in [false, true] {
            let (server, client) = pair(ip);
            receive_marking(server.as_fd(), ip.starts_with('[')).unwrap();
            if is_together {
                receive_together(server.as_fd()).unwrap();
            }
            let label = Label {
                to: format!("{ip}:{}", port(&server)).parse().unwrap(),
                from: None,
                marking: Marking(0b1011_1001),
                dont_fragment: false,
            };
            // Headers and payloads, and a last one that is shorter.
            let parts = [&b"1:"[..], b"abc", b"2:", b"def", b"", b"3:ghi", b"4:"];
            send_together(client.as_fd(), &label, &parts.map(IoSlice::new), 5).unwrap();
            send(client.as_fd(), &label, &[IoSlice::new(b"alone")]).unwrap();

            let mut batch = Batch::new();
            let messages = batch.receive(server.as_fd()).unwrap();
            assert_eq!(messages, if is_together { 2 } else { 5 });
            let datagrams = batch.datagrams().map(Option::unwrap);
            let (envelopes, bytes): (Vec<_>, Vec<_>) = datagrams.unzip();
            assert_eq!(bytes, [&b"1:abc"[..], b"2:def", b"3:ghi", b"4:", b"alone"]);
            for envelope in envelopes {
                assert_eq!(envelope.from, client.local_addr().unwrap());
                assert_eq!(envelope.marking, label.marking);
            }
        }
    }
}

#[test]
fn datagrams_that_do_not_fit_the_route_are_not_sent_together() {
    let (server, client) = pair("127.0.0.1");
    // Longer than what loopback takes without fragments; one by one they are fragmented.
    let payload = [7; 65_500 / 2];
    let parts = [IoSlice::new(&payload); 2];
    let label = label(&server);
    let to = SocketAddr::from(([127, 0, 0, 1], port(&server)));
    let label = Label { to, ..label };
    SockRef::from(&client)
        .set_send_buffer_size(1 << 20)
        .unwrap();
    let most = send_together(client.as_fd(), &label, &parts, 32_750);
    assert!(most.is_ok(), "loopback takes 65,536: {most:?}");
    let none = send_together(client.as_fd(), &label, &[IoSlice::new(&[7; 200])], 1);
    assert!(
        matches!(none, Err(Apart::Length)),
        "200 datagrams: {none:?}"
    );
}

#[test]
fn the_longest_run_reaches_its_receiver_in_one() {
    let (server, client) = pair("[::1]");
    receive_together(server.as_fd()).unwrap();
    let label = label(&server);
    let heard = |length: usize| {
        let payload = vec![7; length];
        let parts = [IoSlice::new(&payload); 2];
        send_together(client.as_fd(), &label, &parts, length as u16).unwrap();
        let mut batch = Batch::new();
        batch.receive(server.as_fd()).unwrap()
    };
    assert_eq!(heard(MOST_BYTES / 2), 1);
    assert_eq!(heard(MOST_BYTES / 2 + 1), 2, "the kernel cuts it up");
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

#[test]
fn of_several_datagrams_the_one_that_the_kernel_does_not_take_keeps_no_other_back() {
    let (sender, first) = pair("127.0.0.1");
    let (_, second) = pair("127.0.0.1");
    let receivers = [first, second];
    let too_long = [0; 65_508];
    for refused in 0..3 {
        let mut all = [(0, &b"first"[..]), (1, b"second"), (0, b"third")];
        all[refused].1 = &too_long;
        let each = all.map(|(at, payload): (usize, &[u8])| {
            let empty: &[u8] = &[];
            (
                label(&receivers[at]),
                [empty, payload, empty].map(IoSlice::new),
            )
        });
        assert_eq!(send_each(sender.as_fd(), &each), 1);
        for (at, payload) in all.iter().filter(|(_, payload)| payload.len() < 10) {
            let mut buffer = [0; 16];
            let length = receivers[*at].recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], *payload);
        }
    }
}
