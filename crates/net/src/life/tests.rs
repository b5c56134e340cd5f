//! A shard with very many allocations that are listed while data passes.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::thread;

use ::client::{AllocateOptions, Client, Credentials, Event};
use relay::{
    Answer, ClientTuple, Command, Config, Effect, Places, PortRange, Selection, Server, Transport,
    Verdict,
};
use tokio::sync::oneshot::Receiver;
use tokio::task::yield_now;

use super::*;
use crate::running::PLACES;
use crate::tests::{LOCAL, alices_rules, blueprint, relaying_at_local};
use crate::{ListenerOptions, Offload, bind};

/// Only the one that passes data has a socket: a process may not have so many files everywhere, and no list
/// looks at them.
#[test]
fn fifty_thousand_allocations_are_listed_by_many_at_once_and_a_packet_waits_for_few_of_them() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let options = ListenerOptions {
        transports: Transport::Udp.into(),
        listen: (LOCAL, 0).into(),
    };
    let bound = bind::listeners(&[options], Vec::new(), 1, Offload::Auto.find()).unwrap();
    let server = bound[0].listen;
    let blueprint = blueprint(bound, config());
    let runtime = runtime
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let (_, exits) = blueprint.inbox.lanes.ends().await;
        let mut shard = Shard::new(&blueprint);
        crowd(&mut shard.server, server);
        let shard = Rc::new(Local::new(shard, exits));
        let _tasks = begin(&shard, &blueprint).await.unwrap();

        let talk = Arc::new(Talk::default());
        let talking = Arc::clone(&talk);
        let talking = thread::spawn(move || talking.go_on(server));
        while talk.trips() == 0 {
            assert!(!talking.is_finished(), "it failed");
            yield_now().await;
        }
        let first = talk.trips();
        let mut lists: Vec<List> = (0..LISTS).map(|_| List::begin(&blueprint.post)).collect();
        let mut most_in_a_round = 0;
        while lists.iter().any(|list| list.listed < CROWD) || talk.trips() < first + TRIPS {
            assert!(!talking.is_finished(), "it failed");
            // The runtime looks at the sockets, and then at each task that can go on.
            yield_now().await;
            let read = lists.iter_mut().map(|list| list.read(&blueprint.post));
            let in_this_round: usize = read.sum();
            most_in_a_round = most_in_a_round.max(in_this_round);
        }
        assert!(most_in_a_round <= PLACES, "{most_in_a_round} in one round");
        talk.stop.store(true, Ordering::Relaxed);
        while !talking.is_finished() {
            yield_now().await;
        }
        talking.join().unwrap();
    });
}

/// Somebody who lists all allocations, again and again.
struct List {
    answered: Receiver<Answer>,
    /// Those of this list.
    seen: HashSet<relay::AllocationId>,
    /// How many a whole list had.
    listed: usize,
}

impl List {
    fn begin(post: &Post) -> Self {
        Self {
            answered: Self::ask(post, 0),
            seen: HashSet::new(),
            listed: 0,
        }
    }

    fn ask(post: &Post, from: usize) -> Receiver<Answer> {
        let places = Places {
            from,
            count: PLACES,
        };
        let list = Command::List(Selection::default(), places);
        post.ask_one(0, list).unwrap()
    }

    /// Reads the answer, if there is one, and asks for the next places. Returns how many allocations came.
    fn read(&mut self, post: &Post) -> usize {
        let Ok(answer) = self.answered.try_recv() else {
            return 0;
        };
        let Answer::Allocations(some, more) = answer else {
            panic!("{answer:?}");
        };
        for listed in &some {
            assert!(self.seen.insert(listed.id), "{} is there twice", listed.id);
        }
        if more.is_none() {
            self.listed = self.seen.len();
            assert_eq!(self.listed, CROWD + 1);
            self.seen.clear();
        }
        self.answered = Self::ask(post, more.unwrap_or(0));
        some.len()
    }
}

/// A client and its peer, who answer each other.
#[derive(Default)]
struct Talk {
    trips: AtomicU64,
    stop: AtomicBool,
}

impl Talk {
    fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    fn go_on(&self, server: SocketAddr) {
        let [socket, peer] = [CLIENT, PEER].map(|ip| {
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        });
        socket.connect(server).unwrap();
        let mut config = ::client::Config::new(Transport::Udp);
        config.credentials = Some(Credentials::new("alice", "wonderland").unwrap());
        let mut client = Client::new(config, [2; 32]);
        client.allocate(clock::now().mono, AllocateOptions::default());
        let allocated = event(&mut client, &socket);
        let Event::Allocated { relayed, .. } = allocated else {
            panic!("{allocated:?}");
        };
        let channel = client.bind_channel(clock::now().mono, peer.local_addr().unwrap());
        let bound = event(&mut client, &socket);
        assert!(matches!(bound, Event::ChannelBound { .. }), "{bound:?}");
        while !self.stop.load(Ordering::Relaxed) {
            client
                .send_channel(channel.unwrap(), b"to the peer")
                .unwrap();
            socket.send(&client.poll_transmit().unwrap()).unwrap();
            let mut data = [0; 64];
            let length = peer.recv(&mut data).unwrap();
            assert_eq!(&data[..length], b"to the peer");
            peer.send_to(b"and back", relayed).unwrap();
            let Event::Data { payload, .. } = event(&mut client, &socket) else {
                panic!("no data");
            };
            assert_eq!(payload, b"and back");
            self.trips.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The next event of a client, once all that it asks is sent.
fn event(client: &mut Client, socket: &UdpSocket) -> Event {
    loop {
        while let Some(packet) = client.poll_transmit() {
            socket.send(&packet).unwrap();
        }
        if let Some(event) = client.poll_event() {
            return event;
        }
        let mut packet = [0; 1_024];
        let length = socket.recv(&mut packet).unwrap();
        client.handle_input(clock::now().mono, &packet[..length]);
    }
}

/// Opens allocations for clients behind one NAT, who send the same request from port after port.
fn crowd(server: &mut Server, listener: SocketAddr) {
    let mut config = ::client::Config::new(Transport::Udp);
    config.credentials = Some(Credentials::new("alice", "wonderland").unwrap());
    let mut client = Client::new(config, [1; 32]);
    client.allocate(clock::now().mono, AllocateOptions::default());
    let tuple = |port| ClientTuple {
        transport: Transport::Udp,
        client: (NAT, port).into(),
        server: listener,
    };
    let unsigned = client.poll_transmit().unwrap();
    let Verdict::Answer(challenge) = server.handle_client(clock::now(), tuple(1), &unsigned) else {
        panic!("no challenge");
    };
    client.handle_input(clock::now().mono, challenge.contents);
    let request = client.poll_transmit().unwrap();
    for port in 1..=CROWD as u16 {
        server.handle_client(clock::now(), tuple(port), &request);
        while let Some(effect) = server.poll_effect() {
            if let Effect::OpenRelay { relay, .. } = effect {
                server.handle_opened(clock::now().mono, relay, Ok(()));
            }
        }
    }
    assert_eq!(server.allocations(), CROWD);
}

fn config() -> Config {
    let ports = PortRange::new(10_000, 65_535).unwrap();
    let mut rules = alices_rules(ports, vec![PEER.to_string().parse().unwrap()]);
    rules.limits.per_user = Some(u32::MAX);
    relaying_at_local(ports, rules)
}

const CROWD: usize = 50_000;
/// How many list at once.
const LISTS: usize = 8;
/// Packets there and back meanwhile.
const TRIPS: u64 = 200;
const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Not the address of the relay sockets: it would look like one of them.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PATIENCE: Duration = Duration::from_secs(60);
