//! Loops of servers that are each other's clients. RFC 8656 §21.4.
//!
//! A [`Ring`] is a few servers on one network. An attacker with credentials has them send to each
//! other, and may send from every relayed address, whoever has it: so a port that has changed hands
//! is tried like a ticket.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use relay::policy::{Mode, Own, Policy};
use relay::{
    ClientTuple, Destination, DropReason, Effect, Outgoing, PeerAddr, RelayAddress, RelayId,
    Server, ShardId, Shared, Transport, Verdict,
};
use sim::{Choices, Clock, Outcome, REALM, Request, World, minutes, password};
use wire::attributes::{
    ChannelNumberAttribute, Data, Lifetime, MobilityTicket, Nonce, Realm, RequestedTransport,
    Username, XorPeerAddress, XorRelayedAddress,
};
use wire::{Algorithm, ChannelNumber, Class, Key, Message, Method, TransactionId, Writer};

use crate::mobility::{allocate, shown, ticket};

#[test]
fn no_order_of_requests_makes_a_datagram_multiply() {
    let (mut most, mut moved, mut within) = (0, 0, 0);
    for seed in 0..200 {
        let mut choices = Choices::seeded(seed);
        let mut ring = Ring::new(2 + choices.below(2) as u8, seed);
        for _ in 0..60 {
            ring.step(&mut choices);
            most = most.max(ring.hops);
        }
        for node in &ring.nodes {
            moved += node.server.counters().moved;
            within += node.server.counters().dropped(DropReason::TurnWithin);
        }
    }
    // Clients moved, a few servers in a row were passed, and some datagrams would have gone on.
    assert!(
        moved > 20 && within > 200 && most >= 4,
        "{moved} {within} {most}"
    );
}

#[test]
fn a_ticket_leads_no_server_into_a_loop() {
    let mut ring = Ring::new(2, 0);
    let [first, second] = [ring.nodes[0].listener, ring.nodes[1].listener];
    let relayed = ring.allocate(ATTACKER, 0, true).unwrap();
    ring.ask(ATTACKER, 0, Method::CreatePermission, |w| {
        w.put(&XorPeerAddress(second));
    });
    // To the second server through the allocation: not even the first request gets there.
    let mut allocate = Vec::new();
    Writer::new(&mut allocate, Method::Allocate, Class::Request, ring.next());
    ring.run(ATTACKER, first, &send_to(second, &allocate));
    let dropped = ring.nodes[0].server.counters();
    assert_eq!(dropped.dropped(DropReason::TurnWithin), 1);
    // From the relayed address all the same, as if an earlier client had been there.
    let back = ring.allocate(relayed, 1, false).unwrap();
    ring.ask(relayed, 1, Method::CreatePermission, |w| {
        w.put(&XorPeerAddress(first));
    });
    let ticket = ring.held[0].ticket.clone();
    let show = |w: &mut Writer<'_>| {
        w.put(&MobilityTicket(&ticket));
    };
    // Its IP address is that of a peer.
    let refused = ring.ask(back, 0, Method::Refresh, show);
    assert_eq!(code(&refused), 403);
}

#[test]
fn a_client_reaches_a_server_through_two_others() {
    let mut ring = Ring::new(3, 0);
    let first = ring.allocate(ATTACKER, 0, false).unwrap();
    let second = ring.allocate(first, 1, false).unwrap();
    let third = ring.allocate(second, 2, false).unwrap();
    let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
    let listeners: Vec<_> = ring.nodes.iter().map(|node| node.listener).collect();
    for (client, at, next) in [
        (ATTACKER, 0, listeners[1]),
        (first, 1, listeners[2]),
        (second, 2, peer),
    ] {
        ring.ask(client, at, Method::CreatePermission, |w| {
            w.put(&XorPeerAddress(next));
        });
    }
    let data = send_to(listeners[1], &send_to(listeners[2], &send_to(peer, b"out")));
    ring.run(ATTACKER, listeners[0], &data);
    assert_eq!(
        ring.outside.pop_back(),
        Some((third, peer, b"out".to_vec()))
    );
    ring.run(peer, third, b"back");
    let (from, to, data) = ring.outside.pop_back().unwrap();
    assert_eq!((from, to), (listeners[0], ATTACKER));
    assert_eq!(wire::turn_headers(&data, 9), 3);
    assert!(data.windows(4).any(|it| it == b"back"));
}

#[test]
fn a_client_does_not_move_to_the_ip_address_of_its_peer() {
    for by_channel in [true, false] {
        let mut world = World::new();
        let (home, peer) = (world.client("alice"), world.peer());
        let first = allocate(home, &mut world);
        let relayed = home.relayed(&world);
        if by_channel {
            home.bind(&mut world, peer);
        } else {
            home.permit(&mut world, peer);
        }
        let tuple = ClientTuple {
            client: SocketAddr::from(peer),
            ..home.tuple(&world)
        };
        let beside = world.client_at(0, tuple, "alice", &password("alice"));
        beside.hears_error(&mut world, 403, shown(&first));
        // It is as good as before.
        let away = world.roam(home, 0, Transport::Udp);
        ticket(&away.ask(&mut world, shown(&first)));
        let friend = world.peer();
        away.permit(&mut world, friend);
        away.tell(&mut world, Request::send(friend, b"settled"));
        let heard = peer.send(&mut world, relayed, b"still there");
        assert!(matches!(heard, Outcome::AtClient { client, .. } if client == away));
    }
}

#[test]
fn a_client_that_has_moved_gets_no_permission_for_its_own_ip_address() {
    let mut world = World::new();
    let (home, peer, friend) = (world.client("alice"), world.peer(), world.peer());
    let first = allocate(home, &mut world);
    let tuple = ClientTuple {
        client: SocketAddr::from(peer.on_port(5000)),
        ..home.tuple(&world)
    };
    let away = world.client_at(0, tuple, "alice", &password("alice"));
    ticket(&away.ask(&mut world, shown(&first)));
    for _ in 0..2 {
        away.hears_error(&mut world, 403, Request::create_permission([friend, peer]));
        away.hears_error(&mut world, 403, Request::channel_bind(0x4001, peer));
        // From now on it is there.
        away.permit(&mut world, friend);
        away.tell(&mut world, Request::send(friend, b"settled"));
    }
}

#[test]
fn a_client_that_has_not_moved_may_share_an_address_with_its_peers() {
    let mut world = World::new();
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: SocketAddr::from(([9, 9, 7, 7], 5000)),
        server: sim::LISTENER,
    };
    let alice = world.client_at(0, tuple, "alice", &password("alice"));
    allocate(alice, &mut world);
    let peer = sim::Peer::at("9.9.7.7:4000");
    alice.bind(&mut world, peer);
    assert!(matches!(
        alice.send(&mut world, peer, b"hi"),
        Outcome::AtPeer { .. }
    ));
}

#[test]
fn no_address_of_the_server_is_a_clients() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let ticket = allocate(bob, &mut world);
    let relayed = alice.allocate(&mut world, minutes(10));
    for client in [relayed, sim::LISTENER] {
        let tuple = ClientTuple {
            client,
            ..alice.tuple(&world)
        };
        let own = world.client_at(0, tuple, "bob", &password("bob"));
        own.hears_error(&mut world, 403, Request::allocate());
        own.hears_error(&mut world, 403, shown(&ticket));
    }
    // The port is nobody's when the allocation has ended.
    alice.delete(&mut world);
    let tuple = ClientTuple {
        client: relayed,
        ..alice.tuple(&world)
    };
    let own = world.client_of(tuple).unwrap();
    own.allocate(&mut world, minutes(10));
}

/// Servers that send to each other, and all that was learnt of them.
struct Ring {
    nodes: Vec<Node>,
    clock: Clock,
    transactions: u64,
    held: Vec<Held>,
    /// The answer that came last.
    answer: Vec<u8>,
    /// Datagrams for addresses that no server has.
    outside: VecDeque<Datagram>,
    /// How many datagrams the last one led to.
    hops: usize,
}

/// An allocation, as the attacker knows it.
struct Held {
    at: usize,
    client: SocketAddr,
    relayed: SocketAddr,
    ticket: Vec<u8>,
}

type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

struct Node {
    server: Server,
    listener: SocketAddr,
    sockets: BTreeMap<SocketAddr, RelayId>,
    nonces: BTreeMap<std::net::IpAddr, String>,
}

impl Ring {
    fn new(count: u8, seed: u64) -> Self {
        Self {
            nodes: (0..count)
                .map(|number| Node::new(number, seed as u8))
                .collect(),
            clock: Clock::new(),
            transactions: 0,
            held: Vec::new(),
            answer: Vec::new(),
            outside: VecDeque::new(),
            hops: 0,
        }
    }

    /// Something that an attacker might do next.
    fn step(&mut self, choices: &mut Choices<'_>) {
        let at = choices.below(self.nodes.len());
        let place = self.place(choices);
        if self.held.is_empty() || choices.below(5) == 0 {
            let from = self.source(choices, at);
            self.allocate(from, at, choices.flag());
            return;
        }
        let chosen = self.held.len() - 1 - choices.below(self.held.len().min(5));
        let Held {
            at,
            client,
            relayed,
            ..
        } = self.held[chosen];
        let listener = self.nodes[at].listener;
        let put_place = |w: &mut Writer<'_>| {
            w.put(&XorPeerAddress(place));
        };
        match choices.below(16) {
            0..=3 => drop(self.ask(client, at, Method::CreatePermission, put_place)),
            4 => {
                let number = ChannelNumberAttribute(0x4000 + choices.below(3) as u16);
                self.ask(client, at, Method::ChannelBind, |w| {
                    w.put(&number);
                    put_place(w);
                });
            }
            5 | 6 => {
                let (from, ticket) = (self.source(choices, at), self.held[chosen].ticket.clone());
                self.ask(from, at, Method::Refresh, |w| {
                    w.put(&MobilityTicket(&ticket));
                });
            }
            7 | 8 => {
                self.ask(client, at, Method::Refresh, |w| {
                    w.put(&Lifetime(0));
                });
                self.held.remove(chosen);
            }
            9..=11 => {
                let data = self.data(choices);
                self.run(client, listener, &send_to(place, &data));
            }
            12 => {
                let data = self.data(choices);
                self.run(client, listener, &on_channel(choices, &data));
            }
            _ => {
                let data = self.data(choices);
                self.run(place, relayed, &data);
            }
        }
    }

    /// An address that the attacker can send from to a server: most likely of another server.
    fn source(&self, choices: &mut Choices<'_>, to: usize) -> SocketAddr {
        let others = self.held.iter().filter(|held| held.at != to);
        let others: Vec<SocketAddr> = others.map(|held| held.relayed).collect();
        if others.is_empty() || choices.below(4) == 0 {
            return ATTACKER;
        }
        others[others.len() - 1 - choices.below(others.len().min(3))]
    }

    /// A peer.
    fn place(&self, choices: &mut Choices<'_>) -> SocketAddr {
        let at = choices.below(self.nodes.len());
        match choices.below(4) {
            0 => self.source(choices, at),
            _ => self.nodes[at].listener,
        }
    }

    /// A byte, or any TURN around it.
    fn data(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let mut data = vec![0xFF; 1 + choices.below(2) * 1200];
        for _ in 0..choices.below(6) {
            data = if choices.flag() {
                on_channel(choices, &data)
            } else {
                send_to(self.place(choices), &data)
            };
        }
        data
    }

    fn allocate(&mut self, from: SocketAddr, at: usize, mobile: bool) -> Option<SocketAddr> {
        let answer = self.ask(from, at, Method::Allocate, |w| {
            w.put(&RequestedTransport::UDP);
            if mobile {
                w.put(&MobilityTicket(b""));
            }
        });
        let relayed: Option<XorRelayedAddress> = Message::parse(&answer).ok()?.get().ok()?;
        let XorRelayedAddress(relayed) = relayed?;
        self.held.push(Held {
            at,
            client: from,
            relayed,
            ticket: ticket_in(&answer).unwrap_or_default(),
        });
        Some(relayed)
    }

    /// Signs and sends a request, and returns its answer.
    fn ask(
        &mut self,
        from: SocketAddr,
        at: usize,
        method: Method,
        put: impl Fn(&mut Writer<'_>),
    ) -> Vec<u8> {
        let listener = self.nodes[at].listener;
        if !self.nodes[at].nonces.contains_key(&from.ip()) {
            let mut first = Vec::new();
            Writer::new(&mut first, Method::Allocate, Class::Request, self.next());
            self.run(from, listener, &first);
            let challenge = Message::parse(&self.answer).unwrap();
            let Nonce(nonce) = challenge.get().unwrap().unwrap();
            let nonce = nonce.to_owned();
            self.nodes[at].nonces.insert(from.ip(), nonce);
        }
        let key = Key::md5("alice", REALM, &password("alice")).schedule(Algorithm::Sha1);
        let mut request = Vec::new();
        let mut writer = Writer::new(&mut request, method, Class::Request, self.next());
        put(&mut writer);
        writer.put(&Username("alice")).put(&Realm(REALM));
        writer
            .put(&Nonce(&self.nodes[at].nonces[&from.ip()]))
            .sign(&key);
        self.run(from, listener, &request);
        let answer = std::mem::take(&mut self.answer);
        // A client that moved is elsewhere from now on.
        if method == Method::Refresh
            && let Some(ticket) = ticket_in(&answer)
            && let shown = ticket_in(&request)
            && let Some(held) = self
                .held
                .iter_mut()
                .rfind(|held| Some(&held.ticket) == shown.as_ref())
        {
            (held.client, held.ticket) = (from, ticket);
        }
        answer
    }

    /// Sends a datagram, and lets all that comes of it come.
    #[track_caller]
    fn run(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let mut queue = VecDeque::from([(from, to, data.to_vec())]);
        let (now, most) = (self.clock.now(), data.len() + MOST_HOPS * 100);
        self.hops = 0;
        while let Some((from, to, data)) = queue.pop_front() {
            self.hops += 1;
            assert!(
                self.hops <= MOST_HOPS,
                "{} datagrams came of one",
                self.hops
            );
            assert!(data.len() <= most, "{} bytes came of few", data.len());
            let found = self.nodes.iter_mut().find(|node| node.has(to));
            let Some(node) = found else {
                self.outside.push_back((from, to, data));
                continue;
            };
            let sent = node.take(now, from, to, &data);
            for (from, to, data) in sent {
                if from == node.listener && Message::parse(&data).is_ok_and(|it| is_answer(&it)) {
                    self.answer.clone_from(&data);
                }
                queue.push_back((from, to, data));
            }
        }
    }

    fn next(&mut self) -> TransactionId {
        self.transactions += 1;
        let [a, b, c, d, e, f, g, h] = self.transactions.to_be_bytes();
        TransactionId::new([0, 0, 0, 0, a, b, c, d, e, f, g, h])
    }
}

impl Node {
    fn new(number: u8, seed: u8) -> Self {
        let listener = SocketAddr::from(([198, 41, 0, 5 + number], 3478));
        let mut config = sim::config();
        config.ports = relay::PortRange::new(50_000, 50_001).unwrap();
        config.relays = vec![RelayAddress {
            local: listener.ip(),
            external: listener.ip(),
        }];
        let rules = config.rules_mut();
        rules.unauthenticated.total = None;
        rules.unauthenticated.per_prefix = None;
        let own = Own {
            listeners: vec![listener],
            addresses: vec![listener.ip()],
            relays: vec![listener.ip()],
            relay_ports: 50_000..=50_001,
        };
        rules.policy = Policy::new(Mode::Closed, vec![], vec![], own);
        let shared = Arc::new(Shared::new(&config));
        Self {
            server: Server::new(Arc::new(config), shared, ShardId(0), [number ^ seed; 32]),
            listener,
            sockets: BTreeMap::new(),
            nonces: BTreeMap::new(),
        }
    }

    fn has(&self, address: SocketAddr) -> bool {
        address == self.listener || self.sockets.contains_key(&address)
    }

    /// Takes a datagram; returns what is sent because of it.
    fn take(
        &mut self,
        now: relay::Now,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> Vec<Datagram> {
        let mut sent = Vec::new();
        let client = ClientTuple {
            transport: Transport::Udp,
            client: from,
            server: to,
        };
        let verdict = match self.sockets.get(&to) {
            Some(relay) => self.server.handle_peer(now, *relay, PeerAddr(from), data),
            None => self.server.handle_client(now, client, data),
        };
        match verdict {
            Verdict::Answer(outgoing) => sent.push(outgoing.owned()),
            Verdict::Relay(outgoing) => sent.push(outgoing.owned()),
            Verdict::Drop(_) | Verdict::Done => {}
        }
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                Effect::OpenRelay { relay, local } => {
                    self.sockets.insert(local, relay);
                    self.server.handle_opened(now.mono, relay, Ok(()));
                }
                Effect::CloseRelay { relay } => self.sockets.retain(|_, id| *id != relay),
                Effect::Send(outgoing) => sent.push(outgoing),
                Effect::Bind(_) | Effect::Unbind(_) | Effect::Report(_) => {}
                Effect::Mail { .. } | Effect::AdoptRelay { .. } | Effect::FetchKey { .. } => {
                    panic!("one shard and no key store")
                }
            }
        }
        sent.into_iter()
            .map(|outgoing| self.datagram(outgoing))
            .collect()
    }

    fn datagram(&self, Outgoing { to, contents }: Outgoing<Vec<u8>>) -> Datagram {
        match to {
            Destination::Answer(client) => (self.listener, client.client, contents),
            Destination::Client { client, header } => {
                let padding = &[0; 3][..header.padding()];
                let data = [&header[..], &contents, padding].concat();
                (self.listener, client.client, data)
            }
            Destination::Peer(hop) => {
                let mut sockets = self.sockets.iter();
                let (local, _) = sockets.find(|(_, id)| **id == hop.from).unwrap();
                (*local, hop.to.0, contents)
            }
            Destination::Partner(_) => panic!("there is no partner"),
        }
    }
}

fn send_to(peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let id = TransactionId::new([1; 12]);
    Writer::new(&mut packet, Method::Send, Class::Indication, id)
        .put(&XorPeerAddress(peer))
        .put(&Data(data));
    packet
}

fn on_channel(choices: &mut Choices<'_>, data: &[u8]) -> Vec<u8> {
    let number = ChannelNumber::new(0x4000 + choices.below(3) as u16).unwrap();
    [
        &wire::RelayHeader::channel_data(number, data.len())[..],
        data,
    ]
    .concat()
}

fn ticket_in(message: &[u8]) -> Option<Vec<u8>> {
    let MobilityTicket(ticket) = Message::parse(message).ok()?.get().ok()??;
    Some(ticket.to_vec())
}

fn is_answer(message: &Message<'_>) -> bool {
    matches!(message.class(), Class::Success | Class::Error)
}

#[track_caller]
fn code(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).unwrap();
    let error: wire::attributes::ErrorCode<'_> = message.get().unwrap().unwrap();
    error.code
}

const ATTACKER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 0, 66)),
    6666,
);
/// A datagram goes through three servers at most, each of which may pass it on within itself.
const MOST_HOPS: usize = 12;
