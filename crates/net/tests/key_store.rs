//! A key store outside the shards, on loopback.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use client::{AllocateOptions, Client, Credentials, Event};
use net::{KeyRequest, KeyStore, Options, Running};
use relay::keys::User;
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Rules, Transport};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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

#[test]
fn a_store_that_takes_its_time_does_not_hold_up_the_data_of_others() {
    let (slow, waiting) = mpsc::channel::<KeyRequest>();
    let slow = Mutex::new(slow);
    let store = move |request: KeyRequest| match &*request.name().user {
        "alice" => request.answer(User::with_password("wonderland").map_err(|_| unreachable!())),
        _ => slow.lock().unwrap().send(request).unwrap(),
    };
    let (running, server) = start((21_000, 21_099), Some(Arc::new(store)));
    let long = Duration::from_secs(10);
    let mut alice = Caller::new("alice", server);
    alice.allocate();
    let granted = alice.wait(long);
    assert!(
        matches!(granted, Some(Event::Allocated { .. })),
        "{granted:?}"
    );
    let peer = UdpSocket::bind((LOCAL, 0)).unwrap();
    peer.set_read_timeout(Some(long)).unwrap();
    let there = peer.local_addr().unwrap();
    let channel = alice.client.bind_channel(Instant::now(), there).unwrap();
    let bound = alice.wait(long);
    assert!(
        matches!(bound, Some(Event::ChannelBound { .. })),
        "{bound:?}"
    );

    let mut bob = Caller::new("bob", server);
    bob.allocate();
    assert_eq!(bob.wait(Duration::from_millis(300)), None);
    let request = waiting.try_recv().expect("bob's key is asked for");
    for number in 0..100 {
        alice.client.send_channel(channel, &[number]).unwrap();
        assert_eq!(alice.wait(Duration::ZERO), None);
        let mut data = [0; 16];
        let (length, relayed) = peer.recv_from(&mut data).unwrap();
        assert_eq!(data[..length], [number]);
        peer.send_to(&data[..length], relayed).unwrap();
        let heard = alice.wait(long);
        assert!(matches!(heard, Some(Event::Data { .. })), "{heard:?}");
    }
    assert_eq!(bob.wait(Duration::ZERO), None);
    assert!(request.deadline() > Instant::now(), "all within the time");
    request.answer(Ok(User::with_password("wonderland").unwrap()));
    let granted = bob.wait(long);
    assert!(
        matches!(granted, Some(Event::Allocated { .. })),
        "{granted:?}"
    );
    assert!(waiting.try_recv().is_err(), "the key is asked for once");
    running.stop();
}

#[test]
fn without_a_store_users_of_a_remote_realm_hear_nothing() {
    let (running, server) = start((21_100, 21_199), None);
    let mut alice = Caller::new("alice", server);
    alice.allocate();
    assert_eq!(alice.wait(Duration::from_millis(500)), None);
    let (counters, _) = running.stop();
    assert!(counters.dropped(relay::DropReason::KeyUnavailable) > 0);
}
