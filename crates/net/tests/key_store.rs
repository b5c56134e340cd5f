//! A key store outside the shards, on loopback.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use client::{AllocateOptions, Client, Credentials, Event};
use net::{KeyRequest, KeyStore, Options, Running};
use relay::keys::User;
use relay::policy::{Mode, Own, Policy};
use relay::{Config, DropReason, Keys, PortRange, ProcessSecret, RelayAddress, Rules, Transport};
use wire::ChannelNumber;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// For what must come.
const PATIENCE: Duration = Duration::from_secs(60);
const TRIES: usize = 10;

/// One shard for users of this store, which relays to loopback.
fn start(ports: (u16, u16), keys: Option<KeyStore>) -> (Running, SocketAddr) {
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: vec![],
        relay_ports: 1..=1,
    };
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let relay = RelayAddress {
        local: LOCAL,
        external: LOCAL,
    };
    let config = Config::new(
        ProcessSecret([7; 32]),
        vec![relay],
        PortRange::new(ports.0, ports.1).unwrap(),
        Rules::new(
            Keys::remote("example.org"),
            Policy::new(Mode::Closed, loopback, vec![], own),
        ),
    );
    let running = net::start(Options {
        keys,
        ..Options::new([(Transport::Udp, (LOCAL, 0).into())], config)
    })
    .unwrap();
    let (_, listener) = running.listeners()[0];
    (running, listener)
}

/// A client at a socket of its own.
struct Caller {
    client: Client,
    socket: UdpSocket,
}

impl Caller {
    fn new(user: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
        socket.connect(server).unwrap();
        let patience = Some(Duration::from_millis(50));
        socket.set_read_timeout(patience).unwrap();
        let mut config = client::Config::new(Transport::Udp);
        config.credentials = Some(Credentials::new(user, "wonderland").unwrap());
        let client = Client::new(config, [7; 32]);
        Self { client, socket }
    }

    /// Sends and receives until something happens, or for so long.
    fn wait(&mut self, patience: Duration) -> Option<Event> {
        let end = Instant::now() + patience;
        loop {
            while let Some(packet) = self.client.poll_transmit() {
                self.socket.send(&packet).unwrap();
            }
            if let Some(event) = self.client.poll_event() {
                return Some(event);
            }
            if Instant::now() >= end {
                return None;
            }
            let mut packet = [0; 2048];
            if let Ok(length) = self.socket.recv(&mut packet) {
                self.client.handle_input(Instant::now(), &packet[..length]);
            }
            self.client.handle_timeout(Instant::now());
        }
    }

    fn allocate(&mut self) {
        let options = AllocateOptions::default();
        self.client.allocate(Instant::now(), options);
    }
}

/// Sends data to a peer and back, a hundred times.
fn pass_data(alice: &mut Caller, channel: ChannelNumber, peer: &UdpSocket) {
    for number in 0..100 {
        alice.client.send_channel(channel, &[number]).unwrap();
        assert_eq!(alice.wait(Duration::ZERO), None);
        let mut data = [0; 16];
        let (length, relayed) = peer.recv_from(&mut data).unwrap();
        assert_eq!(data[..length], [number]);
        peer.send_to(&data[..length], relayed).unwrap();
        let heard = alice.wait(PATIENCE);
        assert!(matches!(heard, Some(Event::Data { .. })), "{heard:?}");
    }
}

#[test]
fn a_store_that_takes_its_time_does_not_hold_up_the_data_of_others() {
    let (slow, waiting) = mpsc::channel::<KeyRequest>();
    let slow = Mutex::new(slow);
    let store = move |request: KeyRequest| match &*request.name().user {
        "alice" => request.answer(User::with_password("wonderland").map_err(|_| unreachable!())),
        _ => slow.lock().unwrap().send(request).unwrap(),
    };
    let (running, server) = start((21_000, 21_099), Some(Arc::new(store)));
    let mut alice = Caller::new("alice", server);
    alice.allocate();
    let granted = alice.wait(PATIENCE);
    assert!(
        matches!(granted, Some(Event::Allocated { .. })),
        "{granted:?}"
    );
    let peer = UdpSocket::bind((LOCAL, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let there = peer.local_addr().unwrap();
    let channel = alice.client.bind_channel(Instant::now(), there).unwrap();
    let bound = alice.wait(PATIENCE);
    assert!(
        matches!(bound, Some(Event::ChannelBound { .. })),
        "{bound:?}"
    );

    // A busy host may use up the time of the store: then it is tried with the next user.
    let is_in_time = (0..TRIES).any(|number| {
        let user = format!("bob{number}");
        let is_his = |request: &KeyRequest| *request.name().user == *user;
        let mut bob = Caller::new(&user, server);
        bob.allocate();
        let request = loop {
            // That the client gives up, after 39.5 s, is an event.
            assert_eq!(bob.wait(Duration::from_millis(20)), None);
            if let Some(request) = waiting.try_iter().find(is_his) {
                break request;
            }
        };
        pass_data(&mut alice, channel, &peer);
        if request.deadline() <= Instant::now() {
            return false;
        }
        assert_eq!(bob.wait(Duration::from_millis(20)), None);
        request.answer(Ok(User::with_password("wonderland").unwrap()));
        let granted = bob.wait(PATIENCE);
        assert!(
            matches!(granted, Some(Event::Allocated { .. })),
            "{granted:?}"
        );
        let is_asked_again = waiting.try_iter().any(|request| is_his(&request));
        assert!(!is_asked_again, "the key is asked for once");
        true
    });
    assert!(is_in_time, "all within the time");
    running.stop();
}

#[test]
fn without_a_store_users_of_a_remote_realm_hear_nothing() {
    let (running, server) = start((21_100, 21_199), None);
    let mut alice = Caller::new("alice", server);
    alice.allocate();
    // That the client gives up, after 39.5 s, is an event.
    while running.snapshot().0.dropped(DropReason::KeyUnavailable) == 0 {
        assert_eq!(alice.wait(Duration::from_millis(20)), None);
    }
    assert_eq!(alice.wait(Duration::from_millis(500)), None);
    running.stop();
}
