//! A ring: a few servers on one network, each as a value, and what one user learnt of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use relay::policy::{Mode, Own, Policy};
use relay::{
    ClientTuple, Destination, Effect, Outgoing, PeerAddr, RelayAddress, RelayId, Server, ShardId,
    Shared, Transport, Verdict,
};
use sim::{Clock, REALM, password};
use wire::attributes::{
    Data, MobilityTicket, Nonce, Realm, RequestedTransport, Username, XorPeerAddress,
    XorRelayedAddress,
};
use wire::{Algorithm, Class, Key, Message, Method, TransactionId, Writer};

/// Servers that send to each other, and all that was learnt of them.
pub(super) struct Ring {
    pub(super) nodes: Vec<Node>,
    clock: Clock,
    transactions: u64,
    pub(super) held: Vec<Held>,
    /// The answer that came last.
    answer: Vec<u8>,
    /// Datagrams for addresses that no server has.
    pub(super) outside: VecDeque<Datagram>,
    /// How many datagrams the last one led to.
    pub(super) hops: usize,
}

/// An allocation, as the attacker knows it.
pub(super) struct Held {
    pub(super) at: usize,
    pub(super) client: SocketAddr,
    pub(super) relayed: SocketAddr,
    pub(super) ticket: Vec<u8>,
}

pub(super) type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

pub(super) struct Node {
    pub(super) server: Server,
    pub(super) listener: SocketAddr,
    sockets: BTreeMap<SocketAddr, RelayId>,
    nonces: BTreeMap<std::net::IpAddr, String>,
}

impl Ring {
    pub(super) fn new(count: u8, seed: u64) -> Self {
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

    pub(super) fn allocate(
        &mut self,
        from: SocketAddr,
        at: usize,
        mobile: bool,
    ) -> Option<SocketAddr> {
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
    pub(super) fn ask(
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
    pub(super) fn run(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
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

    pub(super) fn next(&mut self) -> TransactionId {
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
        config.rules_mut().relays = vec![RelayAddress {
            local: listener.ip(),
            external: listener.ip(),
        }];
        let rules = config.rules_mut();
        rules.unauthenticated.total = None;
        rules.unauthenticated.per_prefix = None;
        let own = Own {
            listeners: vec![listener],
            addresses: vec![listener.ip().into()],
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
                Effect::Bind(_) | Effect::Unbind(_) | Effect::Report(_) | Effect::Traced(_) => {}
                Effect::Mail { .. }
                | Effect::AdoptRelay { .. }
                | Effect::FetchKey { .. }
                | Effect::OpenTcpRelay { .. }
                | Effect::Connect { .. }
                | Effect::CloseConnection { .. }
                | Effect::Splice { .. }
                | Effect::AdoptConnection { .. } => {
                    panic!("one shard, no key store and no TCP")
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
            Destination::Relayed(_) => panic!("there is one shard"),
            Destination::Partner(_) => panic!("there is no partner"),
        }
    }
}

pub(super) fn send_to(peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let id = TransactionId::new([1; 12]);
    Writer::new(&mut packet, Method::Send, Class::Indication, id)
        .put(&XorPeerAddress(peer))
        .put(&Data(data));
    packet
}

fn ticket_in(message: &[u8]) -> Option<Vec<u8>> {
    let MobilityTicket(ticket) = Message::parse(message).ok()?.get().ok()??;
    Some(ticket.to_vec())
}

fn is_answer(message: &Message<'_>) -> bool {
    matches!(message.class(), Class::Success | Class::Error)
}

/// A datagram goes through three servers at most, each of which may pass it on within itself.
const MOST_HOPS: usize = 12;
