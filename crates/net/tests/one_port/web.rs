//! A web server that has the same port for streams.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::thread;

use net::proxy::{Beginning, Proxied};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// A server, and the listener of the web server behind it.
fn start(proxy_protocol: bool) -> (Running, TcpListener) {
    let web = TcpListener::bind((LOCAL, 0)).unwrap();
    let options = WebOptions {
        https: Some(web.local_addr().unwrap()),
        proxy_protocol,
        quic: None,
    };
    (
        server(ProxyOptions::default(), options, StreamLimits::default()),
        web,
    )
}

/// The hello of a client that asks for a name and protocols, of more than 2,000 bytes if it is as
/// long as a browser's.
fn hello(name: &str, protocols: &[&[u8]], is_long: bool) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    if is_long {
        config
            .alpn_protocols
            .extend((0..10).map(|it| vec![it; 200]));
    }
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    assert!(!is_long || hello.len() > 2000);
    hello
}

fn accept(web: &TcpListener) -> TcpStream {
    let (stream, _) = web.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asserts that the next bytes are these.
fn assert_hears(mut stream: &TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    stream.read_exact(&mut heard).unwrap();
    assert!(heard == bytes);
}

#[test]
fn a_hello_for_another_name_or_protocol_reaches_the_web_server_untouched() {
    let (running, web) = start(false);
    for (name, protocols) in [
        ("www.test", &[][..]),
        ("www.test", &[&b"h2"[..], b"http/1.1"][..]),
        ("turn.test", &[&b"h2"[..]]),
        ("127.0.0.1", &[&b"http/1.1"[..]]),
        ("www.test", &[&b"acme-tls/1"[..]]),
    ] {
        for is_long in [false, true] {
            let hello = hello(name, protocols, is_long && !protocols.is_empty());
            let mut client = connect_from(LOCAL, streams(&running));
            for piece in hello.chunks(700) {
                client.write_all(piece).unwrap();
                thread::yield_now();
            }
            let web = accept(&web);
            assert_hears(&web, &hello);
            (&web).write_all(b"welcome").unwrap();
            assert_hears(&client, b"welcome");
        }
    }
    let (_, sockets) = running.stop();
    assert_eq!(sockets.web_connections, 10);
}

#[test]
fn a_hello_of_a_turn_client_stays_here() {
    let (running, web) = start(false);
    web.set_nonblocking(true).unwrap();
    for (name, protocols) in [
        ("turn.test", &[][..]),
        ("TURN.test", &[&b"stun.turn"[..]][..]),
        ("127.0.0.1", &[]),
        ("turn.test", &[&b"h2"[..], b"stun.nat-discovery"]),
    ] {
        let mut client = connect_from(LOCAL, streams(&running));
        client.write_all(&hello(name, protocols, false)).unwrap();
        // A ServerHello.
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!((answer[0], answer[5]), (22, 2));
    }
    assert!(web.accept().is_err());
}

#[test]
fn the_web_server_is_told_its_client_if_it_wants_to_know() {
    let (running, web) = start(true);
    let mut client = connect_from(LOCAL, streams(&running));
    let hello = hello("www.test", &[], false);
    client.write_all(&hello).unwrap();
    let mut web = accept(&web);
    let mut header = [0; 28];
    web.read_exact(&mut header).unwrap();
    let proxied = Proxied {
        source: client.local_addr().unwrap(),
        destination: streams(&running),
    };
    let told = Beginning::Header {
        length: 28,
        proxied: Some(proxied),
    };
    assert_eq!(Beginning::of(&header), told);
    assert_hears(&web, &hello);
}

#[test]
fn each_side_may_finish_before_the_other_and_read_as_slowly_as_it_likes() {
    let (running, web) = start(false);
    let mut client = connect_from(LOCAL, streams(&running));
    let hello = hello("www.test", &[], false);
    client.write_all(&hello).unwrap();
    let mut web = accept(&web);
    assert_hears(&web, &hello);
    let mut all = vec![7; 8 << 20];
    all.iter_mut()
        .enumerate()
        .for_each(|(at, byte)| *byte = (at % 251) as u8);
    let page = all.clone();
    let serves = thread::spawn(move || {
        assert!(is_closed(&web));
        web.write_all(&page).unwrap();
    });
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let length = client.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        heard.extend_from_slice(&piece[..length]);
        thread::sleep(Duration::from_millis(2));
    }
    serves.join().unwrap();
    assert!(heard == all);
}

#[test]
fn a_client_of_a_web_server_that_is_down_is_closed() {
    let (running, web) = start(false);
    drop(web);
    let mut client = connect_from(LOCAL, streams(&running));
    client.write_all(&hello("www.test", &[], false)).unwrap();
    assert!(is_closed(&client));
    let (_, sockets) = running.stop();
    assert_eq!(sockets.web_unreachable, 1);
}

/// While a web server never reads, the kernel's buffers and one piece wait for it, and no more.
#[test]
fn a_web_server_that_never_reads_holds_its_client_back_and_nobody_else() {
    let (running, web) = start(false);
    let mut client = connect_from(LOCAL, streams(&running));
    client.write_all(&hello("www.test", &[], false)).unwrap();
    let _silent = accept(&web);
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    while let Ok(length) = client.write(&[0; 64 << 10]) {
        sent += length;
        assert!(sent < 64 << 20, "it takes without end");
    }
    let mut other = connect_from(LOCAL, streams(&running));
    other.write_all(BINDING).unwrap();
    assert_eq!(hear(&other), other.local_addr().unwrap());
}
