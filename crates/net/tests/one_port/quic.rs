//! An HTTP/3 server that has the same port for datagrams.

use super::*;

const CHOSEN: &[u8] = b"chosen by the server";

/// A server, and the socket of the HTTP/3 server behind it.
fn start() -> (Running, UdpSocket) {
    let web = UdpSocket::bind((LOCAL, 0)).unwrap();
    web.set_read_timeout(Some(PATIENCE)).unwrap();
    let options = WebOptions {
        quic: Some(web.local_addr().unwrap()),
        ..WebOptions::default()
    };
    (
        server(ProxyOptions::default(), options, StreamLimits::default()),
        web,
    )
}

/// A packet with a long header, of so many bytes.
fn long(destination: &[u8], source: &[u8], length: usize) -> Vec<u8> {
    let mut packet = vec![0xC3, 0, 0, 0, 1];
    for id in [destination, source] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.resize(length, 7);
    packet
}

fn initial() -> Vec<u8> {
    long(b"invented", b"own", 1200)
}

/// The next datagram and its sender.
fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

fn is_answered(client: &UdpSocket) -> bool {
    client.send(BINDING).unwrap();
    let (answer, _) = next(client);
    mapped(&answer) == client.local_addr().unwrap()
}

#[test]
fn quic_passes_both_ways_beside_stun_on_one_port_each_client_at_a_socket_of_its_own() {
    let (running, web) = start();
    let clients = [(); 2].map(|()| udp_from(LOCAL, datagrams(&running)));
    let flows = [&clients[0], &clients[1]].map(|client| {
        client.send(&initial()).unwrap();
        let (datagram, flow) = next(&web);
        assert_eq!(datagram, initial());
        flow
    });
    assert_ne!(flows[0], flows[1]);
    for (client, flow) in clients.iter().zip(flows) {
        let answer = long(b"own", CHOSEN, 1200);
        web.send_to(&answer, flow).unwrap();
        assert_eq!(next(client).0, answer);
        assert!(is_answered(client));
        // Short headers are QUIC's also where they look like ChannelData.
        for first in [0x40, 0x4F, 0x50, 0x7F] {
            let packet = [&[first][..], CHOSEN, b"and a payload"].concat();
            client.send(&packet).unwrap();
            assert_eq!(next(&web), (packet, flow));
        }
    }
    let (_, sockets) = running.stop();
    assert_eq!((sockets.quic_flows, sockets.quic_refused), (2, 0));
}

#[test]
fn only_what_may_begin_a_connection_takes_a_socket() {
    let (running, web) = start();
    let client = udp_from(LOCAL, datagrams(&running));
    client.send(&initial()[..1199]).unwrap();
    client.send(&[&[0x5F][..], CHOSEN].concat()).unwrap();
    client.send(&long(b"short", b"own", 1200)).unwrap();
    assert!(is_answered(&client));
    web.set_nonblocking(true).unwrap();
    assert!(web.recv(&mut [0; 2048]).is_err());
    let (_, sockets) = running.stop();
    assert_eq!((sockets.quic_flows, sockets.quic_refused), (0, 3));
}

#[test]
fn a_client_hears_three_times_what_it_sent_until_it_has_shown_that_it_hears() {
    let (running, web) = start();
    let client = udp_from(LOCAL, datagrams(&running));
    client.send(&initial()).unwrap();
    let (_, flow) = next(&web);
    let answer = long(b"own", CHOSEN, 1200);
    for _ in 0..5 {
        web.send_to(&answer, flow).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(next(&client).0, answer);
    }
    // A guess is no proof.
    client.send(&long(b"guessed!", b"own", 300)).unwrap();
    next(&web);
    web.send_to(&answer, flow).unwrap();
    assert!(is_answered(&client));
    client.send(&long(CHOSEN, b"own", 300)).unwrap();
    next(&web);
    for _ in 0..30 {
        web.send_to(&answer, flow).unwrap();
        assert_eq!(next(&client).0, answer);
    }
    let (_, sockets) = running.stop();
    assert_eq!(sockets.quic_held_back, 3);
}

/// A server that does not know the version sends the client's own connection ID back.
#[test]
fn the_clients_own_connection_id_proves_nothing() {
    let (running, web) = start();
    let client = udp_from(LOCAL, datagrams(&running));
    client.send(&initial()).unwrap();
    let (_, flow) = next(&web);
    let mut negotiation = long(b"own", b"invented", 100);
    negotiation[1..5].fill(0);
    web.send_to(&negotiation, flow).unwrap();
    next(&client);
    client.send(&long(b"invented", b"own", 50)).unwrap();
    next(&web);
    for _ in 0..10 {
        web.send_to(&[7; 1200], flow).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(next(&client).0, [7; 1200]);
    }
    assert!(is_answered(&client));
    let (_, sockets) = running.stop();
    assert_eq!(sockets.quic_held_back, 10 - 3);
}

#[test]
fn forged_clients_take_a_bounded_number_of_sockets_and_turn_clients_are_served() {
    let (running, web) = start();
    let clients: Vec<UdpSocket> = (0..1500_u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let client = udp_from([127, 20, low, high + 1].into(), datagrams(&running));
            client.send(&initial()).unwrap();
            client
        })
        .collect();
    assert!(is_answered(&clients[0]));
    drop(web);
    let (_, sockets) = running.stop();
    assert_eq!((sockets.quic_flows, sockets.quic_refused), (1024, 476));
}
