//! Clients behind proxies that speak the PROXY protocol.

use std::io::Write;
use std::thread;

use proxy_header::{ProxiedAddress, ProxyHeader};

use super::*;

fn options() -> ProxyOptions {
    let proxies = || [PROXIES.parse().unwrap()].into_iter().collect();
    ProxyOptions {
        tcp: proxies(),
        udp: proxies(),
    }
}

fn start() -> Running {
    server(options(), WebOptions::default(), StreamLimits::default())
}

fn header(client: &str, version: u8) -> Vec<u8> {
    let addresses = ProxiedAddress::stream(socket(client), socket("198.51.100.1:443"));
    let (header, mut bytes) = (ProxyHeader::with_address(addresses), Vec::new());
    match version {
        1 => header.encode_v1(&mut bytes).unwrap(),
        _ => header.encode_v2(&mut bytes).unwrap(),
    }
    bytes
}

#[test]
fn a_client_behind_a_proxy_of_streams_hears_its_own_address_however_the_header_comes() {
    let running = start();
    for version in [1, 2] {
        let bytes = [&header("192.0.2.7:4711", version), BINDING].concat();
        let mut whole = connect_from(PROXY, streams(&running));
        whole.write_all(&bytes).unwrap();
        assert_eq!(hear(&whole), socket("192.0.2.7:4711"));
        let mut in_pieces = connect_from(PROXY, streams(&running));
        for byte in bytes {
            in_pieces.write_all(&[byte]).unwrap();
        }
        assert_eq!(hear(&in_pieces), socket("192.0.2.7:4711"));
    }
}

#[test]
fn a_health_check_of_a_proxy_is_served_as_itself() {
    let running = start();
    for local in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut stream = connect_from(PROXY, streams(&running));
        stream.write_all(&[local, BINDING].concat()).unwrap();
        assert_eq!(hear(&stream), stream.local_addr().unwrap());
    }
    // One that says nothing at all is no fault.
    drop(connect_from(PROXY, streams(&running)));
    let (_, sockets) = running.stop();
    assert_eq!(sockets.proxy_header_missing, 0);
}

#[test]
fn a_header_is_believed_of_no_other_host_and_missed_at_a_proxy() {
    let running = start();
    for version in [1, 2] {
        let mut forged = connect_from(LOCAL, streams(&running));
        let bytes = [&header("192.0.2.7:4711", version), BINDING].concat();
        forged.write_all(&bytes).unwrap();
        assert!(is_closed(&forged));
    }
    for no_header in [
        BINDING,
        b"PROXY TCP4 nonsense\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect_from(PROXY, streams(&running));
        stream.write_all(no_header).unwrap();
        assert!(is_closed(&stream));
    }
    let (_, sockets) = running.stop();
    assert_eq!(
        (sockets.proxy_header_foreign, sockets.proxy_header_missing),
        (2, 3)
    );
}

#[test]
fn clients_count_by_their_own_network_and_not_by_their_proxys() {
    let streams_of = |per_prefix| StreamLimits {
        per_prefix,
        ..StreamLimits::default()
    };
    let running = server(options(), WebOptions::default(), streams_of(2));
    let enter = |client: &str| {
        let mut stream = connect_from(PROXY, streams(&running));
        stream
            .write_all(&[&header(client, 2), BINDING].concat())
            .unwrap();
        stream
    };
    let clients = ["192.0.2.1:1", "192.0.2.2:1", "192.0.3.1:1", "192.0.3.2:1"].map(enter);
    for client in &clients {
        hear(client);
    }
    assert!(is_closed(&enter("192.0.2.3:1")));
    drop(clients);
    // A place is free once the server has seen that it is.
    while is_closed(&enter("192.0.2.3:1")) {
        thread::yield_now();
    }
}

#[test]
fn clients_behind_a_proxy_of_datagrams_hear_their_own_addresses_by_it() {
    let running = start();
    let proxy = udp_from(PROXY, datagrams(&running));
    let mut answer = [0; 64];
    for client in ["192.0.2.7:4711", "192.0.2.8:4711"] {
        proxy.send(&[&header(client, 2), BINDING].concat()).unwrap();
        let length = proxy.recv(&mut answer).unwrap();
        assert_eq!(mapped(&answer[..length]), socket(client));
    }
    // The proxy itself, and a host that is none.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    proxy.send(&[local, BINDING].concat()).unwrap();
    let length = proxy.recv(&mut answer).unwrap();
    assert_eq!(mapped(&answer[..length]), proxy.local_addr().unwrap());
    let stranger = udp_from(LOCAL, datagrams(&running));
    stranger
        .send(&[&header("192.0.2.7:4711", 2), BINDING].concat())
        .unwrap();
    stranger
        .send(&[&header("192.0.2.7:4711", 1), BINDING].concat())
        .unwrap();
    stranger.send(BINDING).unwrap();
    let length = stranger.recv(&mut answer).unwrap();
    assert_eq!(mapped(&answer[..length]), stranger.local_addr().unwrap());
    // A line stands before the first datagram of a client only, so that it proves nothing.
    proxy
        .send(&[&header("192.0.2.7:4711", 1), BINDING].concat())
        .unwrap();
    proxy.send(BINDING).unwrap();
    proxy.send(&[local, BINDING].concat()).unwrap();
    let length = proxy.recv(&mut answer).unwrap();
    assert_eq!(mapped(&answer[..length]), proxy.local_addr().unwrap());
    let (_, sockets) = running.stop();
    assert_eq!(
        (sockets.proxy_header_foreign, sockets.proxy_header_missing),
        (2, 2)
    );
}
