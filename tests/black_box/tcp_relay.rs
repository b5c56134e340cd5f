//! TCP relaying, between real sockets. RFC 6062.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    server::{PASSWORD, PORT, Server, TLS_PORT, USER, serving},
    setup::Setup,
    tls::trusting_anew,
    wait_for,
    world::{PEER_V4, PEER_V6, SERVER_V4, World, in_own_world},
};
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use sha2::{Digest, Sha256};
use socket2::{Domain, SockRef, Socket, Type};
use wire::{AddressFamily, attributes::ConnectionId};

use crate::uclient::Uclient;

/// A server of two shards that relays TCP: connections come to either.
fn relaying() -> Setup {
    Setup::default().with("threads = 2\nallocation.tcp = true")
}

#[track_caller]
fn relayed<F: FnOnce(&World, &mut Server)>(test: F) {
    serving(relaying(), test);
}

/// A client with a TCP allocation, and the relayed address.
fn allocated() -> (LiveClient, SocketAddr) {
    let mut client = client();
    let relayed = client.allocate_tcp().expect("a TCP allocation");
    (client, relayed)
}

fn client() -> LiveClient {
    LiveClient::over(Transport::Tcp, AddressFamily::V4)
}

/// A listening peer.
fn listener(ip: impl Into<IpAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip.into(), 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}

/// A peer's end, which waits with `PATIENCE`.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    (stream, from)
}

/// The client's end of a connection.
#[track_caller]
fn bound(connection: ConnectionId) -> TcpStream {
    let mut data = client();
    data.bind_connection(connection)
        .expect("a connection that waits");
    let (stream, first) = data.into_stream();
    assert_eq!(first, b"");
    stream
}

/// The two ends of a connection that the client has asked for; its control connection; and the
/// relayed address.
#[track_caller]
fn connected() -> (TcpStream, TcpStream, LiveClient, SocketAddr) {
    let (mut control, relayed) = allocated();
    let (listener, address) = listener(PEER_V4);
    let connection = control.connect(address).expect("a connection");
    let (peer, from) = accept(&listener);
    assert_eq!(from, relayed, "it leaves from the relayed address");
    (bound(connection), peer, control, relayed)
}

/// A peer that connects from this address.
fn connect_from(ip: impl Into<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(ip.into(), 0).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[track_caller]
fn says(mut from: &TcpStream, mut to: &TcpStream, words: &[u8]) {
    from.write_all(words).expect("the other end is there");
    let mut heard = vec![0; words.len()];
    to.read_exact(&mut heard).expect("the other end speaks");
    assert_eq!(heard, words);
}

#[track_caller]
fn hears_the_end(mut stream: &TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end");
    assert_eq!(rest, b"");
}

/// Whether the other side has closed, in whatever way.
fn is_closed(mut stream: &TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 1]), Ok(1..))
}

#[test]
fn a_client_connects_to_a_peer_and_both_say_what_they_will() {
    relayed(|_, _| {
        let (client, peer, _control, _) = connected();
        says(&client, &peer, b"hello");
        says(&peer, &client, b"hello yourself");
        // Bytes that look like STUN are data like any other.
        says(&client, &peer, &[0; 20]);
        says(&peer, &client, b"\x40\0\0\x04data");
    });
}

#[test]
fn a_peer_connects_and_what_it_says_before_it_is_bound_is_kept() {
    relayed(|_, server| {
        let (mut control, relayed) = allocated();
        control
            .create_permission((PEER_V4, 0).into())
            .expect("a permission");
        let mut peer = connect_from(PEER_V4, relayed).expect("a relayed address that listens");
        peer.write_all(b"first words").expect("a connection");
        let (from, connection) = control.attempt();
        assert_eq!(Ok(from), peer.local_addr().map_err(drop));
        let mut data = client();
        data.bind_connection(connection)
            .expect("a connection that waits");
        let (mut stream, mut heard) = data.into_stream();
        while heard.len() < 11 {
            let mut more = [0; 64];
            let read = stream.read(&mut more).expect("the first words");
            heard.extend_from_slice(&more[..read]);
        }
        assert_eq!(heard, b"first words");
        says(&stream, &peer, b"well met");
        drop((stream, peer, control));
        server.wait_for_line(&["allocation.ended", "cause=\"disconnected\""]);
    });
}

#[test]
fn peers_without_permission_hear_nothing_and_are_not_announced() {
    relayed(|_, _| {
        let (mut control, relayed) = allocated();
        let stranger = connect_from(PEER_V4, relayed).expect("a relayed address that listens");
        assert!(is_closed(&stranger));
        control.assert_nothing_else_comes();
    });
}

#[test]
fn peers_are_reached_over_ipv6_too() {
    relayed(|_, _| {
        let mut control = client();
        let options = client::AllocateOptions {
            tcp: true,
            family: Some(AddressFamily::V6),
            ..client::AllocateOptions::default()
        };
        let relayed = control.allocate_with(options).expect("an allocation");
        let (listener, address) = listener(PEER_V6);
        let connection = control.connect(address).expect("a connection");
        let (peer, from) = accept(&listener);
        assert_eq!(from, relayed);
        let client = bound(connection);
        says(&client, &peer, b"hello");
        says(&peer, &client, b"hello");
    });
}

#[test]
fn many_connections_of_one_allocation_are_carried_by_both_shards() {
    relayed(|_, _| {
        let (mut control, _) = allocated();
        let (listener, address) = listener(PEER_V4);
        let mut ends = Vec::new();
        // With two shards all of sixteen go to one of them once in thirty thousand runs.
        for _ in 0..16 {
            let (other, to) = self::listener(PEER_V4);
            let connection = control.connect(to).expect("a connection");
            let (peer, _) = accept(&other);
            ends.push((bound(connection), peer));
        }
        for (client, peer) in &ends {
            says(client, peer, b"to you");
            says(peer, client, b"and to you");
        }
        assert_eq!(control.connect(address).map(drop), Ok(()));
        drop(listener);
    });
}

#[test]
fn an_end_that_says_no_more_hears_the_other_to_its_end() {
    relayed(|_, _| {
        let (client, peer, _control, _) = connected();
        client.shutdown(Shutdown::Write).expect("a connection");
        hears_the_end(&peer);
        says(&peer, &client, b"I am still here");
        peer.shutdown(Shutdown::Write).expect("a connection");
        hears_the_end(&client);

        let (client, peer, mut control, _) = connected();
        peer.shutdown(Shutdown::Write).expect("a connection");
        hears_the_end(&client);
        says(&client, &peer, b"so am I");
        drop(client);
        hears_the_end(&peer);
        // The connection is forgotten, and the peer may be connected to again.
        let address = peer.local_addr().expect("an address");
        wait_for("another connection", PATIENCE, || {
            (control.connect(address) == Err(Code(447))).then_some(())
        });
    });
}

/// Ten mebibytes that no part of is like another.
fn much() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(10 * 1024 * 1024 / 8).flatten().collect()
}

/// The hash of these bytes and of all that comes behind them, to the end.
#[track_caller]
fn hash_of(first: &[u8], stream: &mut TcpStream) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(first);
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer).expect("data, or the end") {
            0 => return hash.finalize().to_vec(),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Floods one end while the other does not read for a second; everything comes, in order.
#[track_caller]
fn flood(from: TcpStream, mut to: TcpStream, server: &Server) {
    let data = much();
    let expected = Sha256::digest(&data).to_vec();
    // So that the kernel keeps little of it.
    SockRef::from(&to)
        .set_recv_buffer_size(16 * 1024)
        .expect("a size");
    let before = server.program.memory();
    let writer = thread::spawn(move || {
        let mut from = from;
        from.write_all(&data).expect("the other end reads");
        from.shutdown(Shutdown::Write).expect("a connection");
        from
    });
    let silent = Instant::now() + Duration::from_secs(1);
    let mut most = 0;
    while Instant::now() < silent {
        most = most.max(server.program.memory());
        thread::sleep(Duration::from_millis(20));
    }
    assert!(most < before + 1024 * 1024, "{before} became {most}");
    assert_eq!(hash_of(b"", &mut to), expected);
    drop(writer.join().expect("a writer"));
}

#[test]
fn a_peer_that_floods_a_client_that_does_not_read_is_held_back_and_nothing_is_lost() {
    relayed(|_, server| {
        let (client, peer, _control, _) = connected();
        flood(peer, client, server);
    });
}

#[test]
fn a_client_that_floods_a_peer_that_does_not_read_is_held_back_and_nothing_is_lost() {
    relayed(|_, server| {
        let (client, peer, _control, _) = connected();
        flood(client, peer, server);
    });
}

#[test]
fn a_peer_that_floods_before_it_is_bound_is_held_back_and_nothing_is_lost() {
    relayed(|_, server| {
        let (mut control, relayed) = allocated();
        control
            .create_permission((PEER_V4, 0).into())
            .expect("a permission");
        let peer = connect_from(PEER_V4, relayed).expect("a relayed address that listens");
        let (_, connection) = control.attempt();
        let data = much();
        let expected = Sha256::digest(&data).to_vec();
        let before = server.program.memory();
        let writer = thread::spawn(move || {
            let mut peer = peer;
            peer.write_all(&data).expect("the client reads");
        });
        thread::sleep(Duration::from_millis(500));
        assert!(!writer.is_finished(), "the kernel does not keep all of it");
        assert!(server.program.memory() < before + 1024 * 1024);
        let mut data = client();
        data.bind_connection(connection)
            .expect("a connection that waits");
        let (mut stream, first) = data.into_stream();
        assert_eq!(hash_of(&first, &mut stream), expected);
        writer.join().expect("a writer");
    });
}

#[test]
fn a_limit_of_bandwidth_slows_a_stream_and_loses_nothing() {
    let setup = relaying().with("allocation.bandwidth = '8Mbit/s'");
    serving(setup, |_, _| {
        let (client, mut peer, _control, _) = connected();
        let data = much().split_off(7 * 1024 * 1024);
        let expected = Sha256::digest(&data).to_vec();
        let began = Instant::now();
        let writer = thread::spawn(move || {
            let mut client = client;
            client.write_all(&data).expect("the peer reads");
        });
        assert_eq!(hash_of(b"", &mut peer), expected);
        writer.join().expect("a writer");
        // Three MiB at one MB a second, of which a second's worth may be earned before.
        let lasted = began.elapsed();
        assert!(lasted > Duration::from_millis(1900), "{lasted:?}");
        assert!(lasted < Duration::from_secs(8), "{lasted:?}");
    });
}

#[test]
fn all_connections_end_with_the_allocation() {
    relayed(|_, _| {
        let (client, peer, mut control, _) = connected();
        control.refresh(Duration::ZERO).expect("the end");
        assert!(is_closed(&peer) && is_closed(&client));

        let (client, peer, control, relayed) = connected();
        drop(control);
        assert!(is_closed(&peer) && is_closed(&client));
        wait_for("the port to be closed", PATIENCE, || {
            connect_from(PEER_V4, relayed).err()
        });
    });
}

#[test]
fn an_end_that_is_reset_ends_the_other() {
    relayed(|_, _| {
        let (client, peer, _control, _) = connected();
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .expect("an option");
        drop(peer);
        assert!(is_closed(&client));
        let (client, peer, _control, _) = connected();
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .expect("an option");
        drop(client);
        assert!(is_closed(&peer));
    });
}

#[test]
fn a_connection_is_bound_once_by_its_user_with_its_id() {
    relayed(|_, _| {
        let (mut control, _) = allocated();
        let (listener, address) = listener(PEER_V4);
        let connection = control.connect(address).expect("a connection");
        let (peer, _) = accept(&listener);
        let other = ConnectionId(!connection.0);
        assert_eq!(client().bind_connection(other), Err(Code(400)));
        let stranger = client().login(USER, "wrong").bind_connection(connection);
        assert_eq!(stranger, Err(Code(401)));
        let mut datagrams = LiveClient::udp();
        assert_eq!(datagrams.bind_connection(connection), Err(Code(400)));
        let stream = bound(connection);
        assert_eq!(client().bind_connection(connection), Err(Code(400)));
        says(&stream, &peer, b"still the same");
    });
}

#[test]
fn another_user_does_not_bind_it() {
    let setup = relaying().with("auth.users.mallory = 'guessed'");
    serving(setup, |_, _| {
        let (mut control, _) = allocated();
        let (_listener, address) = listener(PEER_V4);
        let connection = control.connect(address).expect("a connection");
        for _ in 0..8 {
            // In either shard.
            let mallory = client()
                .login("mallory", "guessed")
                .bind_connection(connection);
            assert_eq!(mallory, Err(Code(441)));
        }
        bound(connection);
    });
}

#[test]
fn peers_that_the_policy_denies_are_not_connected_to() {
    relayed(|_, _| {
        let (mut control, relayed) = allocated();
        for denied in [
            "127.0.0.1:22",
            "10.1.1.1:80",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "192.168.1.1:80",
        ] {
            let peer = denied.parse().expect("an address");
            assert_eq!(control.connect(peer), Err(Code(403)), "{denied}");
        }
        let listener = SocketAddr::new(SERVER_V4.into(), PORT);
        assert_eq!(control.connect(listener), Err(Code(403)));
        // Its own relayed address would be a circle.
        assert_eq!(control.connect(relayed), Err(Code(447)));
        // A peer that listens not.
        let (closed, address) = self::listener(PEER_V4);
        drop(closed);
        assert_eq!(control.connect(address), Err(Code(447)));
    });
}

#[test]
fn two_clients_meet_by_their_relayed_addresses() {
    relayed(|_, _| {
        let ((mut alice, here), (mut bob, there)) = (allocated(), allocated());
        bob.create_permission(here).expect("a permission");
        let connection = alice.connect(there).expect("a connection");
        let (from, accepted) = bob.attempt();
        assert_eq!(from, here);
        let (one, other) = (bound(connection), bound(accepted));
        says(&one, &other, b"through two relays");
        says(&other, &one, b"and back");
    });
}

#[test]
fn without_the_key_no_tcp_is_relayed() {
    serving(Setup::default(), |_, server| {
        assert_eq!(client().allocate_tcp(), Err(Code(403)));
        server.wait_for_line(&["request.refused", "cause=\"tcp-forbidden\""]);
    });
}

/// Two clients of coturn's: one connects to the other's relayed address, which accepts.
#[test]
fn turnutils_relays_over_tcp() {
    relayed(|_, server| {
        Uclient::pair().flag("-T").relays_a_stream();
        for bytes in ["sent_bytes=200000", "received_bytes=200000"] {
            server.wait_for_line(&["allocation.ended", "cause=\"deleted\"", bytes]);
        }
    });
}

/// The same over TLS, with a certificate that the client does not ask about.
#[test]
fn turnutils_relays_over_tls() {
    in_own_world(|world| {
        let mut server = world.serve(relaying().with_tls());
        Uclient::pair().flags("-T -S -p 5349").relays_a_stream();
        for bytes in ["sent_bytes=200000", "received_bytes=200000"] {
            server.wait_for_line(&["allocation.ended", "cause=\"deleted\"", bytes]);
        }
        assert_eq!(server.stop().sockets("handshakes-failed"), 0);
    });
}

#[test]
fn a_data_connection_over_tls_carries_all_each_way_to_its_end() {
    in_own_world(|world| {
        let _server = world.serve(relaying().with_tls());
        for _ in 0..4 {
            // In either shard.
            let (mut control, _) = allocated();
            let (listener, address) = listener(PEER_V4);
            let connection = control.connect(address).expect("a connection");
            let (mut peer, _) = accept(&listener);
            let mut session = bound_over_tls(connection);
            let data = much();
            let expected = Sha256::digest(&data).to_vec();

            let sent = data.clone();
            let mut writer = peer.try_clone().expect("a descriptor");
            let writing = thread::spawn(move || writer.write_all(&sent));
            let mut heard = vec![0; data.len()];
            session
                .read_exact(&mut heard)
                .expect("all that the peer says");
            assert_eq!(Sha256::digest(&heard).to_vec(), expected);
            writing.join().expect("a writer").expect("the client reads");

            let reading = thread::spawn(move || (hash_of(b"", &mut peer), peer));
            session.write_all(&data).expect("the peer reads");
            session.conn.send_close_notify();
            session.flush().expect("a connection");
            let (hash, mut peer) = reading.join().expect("a reader");
            assert_eq!(hash, expected);
            // The client has said all, and still hears.
            peer.write_all(b"goodbye").expect("a connection");
            peer.shutdown(Shutdown::Write).expect("a connection");
            let mut last = Vec::new();
            session.read_to_end(&mut last).expect("an end that is said");
            assert_eq!(last, b"goodbye");
        }
    });
}

type Session = StreamOwned<ClientConnection, TcpStream>;

/// A session that is bound to a connection.
#[track_caller]
fn bound_over_tls(connection: ConnectionId) -> Session {
    let name = ServerName::from(IpAddr::from(SERVER_V4));
    let session = ClientConnection::new(Arc::new(trusting_anew()), name).expect("a name");
    let stream = TcpStream::connect((SERVER_V4, TLS_PORT)).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut session = StreamOwned::new(session, stream);

    let mut config = client::Config::new(Transport::Tls);
    let credentials = client::Credentials::new(USER, PASSWORD);
    config.credentials = Some(credentials.expect("plain credentials"));
    let mut client = client::Client::new(config, [connection.0 as u8; 32]);
    client.bind_connection(Instant::now(), connection);
    let event = loop {
        while let Some(packet) = client.poll_transmit() {
            session.write_all(&packet).expect("the server is there");
        }
        if let Some(event) = client.poll_event() {
            break event;
        }
        let mut bytes = [0; 4096];
        let read = session.read(&mut bytes).expect("an answer");
        client.handle_input(Instant::now(), &bytes[..read]);
    };
    assert_eq!(event, client::Event::ConnectionBound { connection });
    assert_eq!(client.poll_event(), None);
    session
}
