//! Two servers, each on a host of its own, that a user makes each other's clients. RFC 8656 §21.4.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    internet::{on_the_internet, server_host, server_v4},
    program::here,
    server::{PASSWORD, PORT, REALM, Server, USER, USER_AND_PASSWORD},
    setup::Setup,
};
use wire::{
    Algorithm, Class, Key, Message, Method, TransactionId, Writer,
    attributes::{
        ChannelNumberAttribute, Data, MobilityTicket, Nonce, Realm, RequestedTransport, Username,
        XorPeerAddress, XorRelayedAddress,
    },
};

#[test]
fn no_order_of_requests_makes_a_datagram_multiply_between_two_servers() {
    on_the_internet(|_| {
        let host = server_host(12);
        let _servers = [
            hairpin(here, HERE),
            hairpin(|program| host.command(program), THERE),
        ];
        try_all_orders();
    });
}

#[test]
fn no_order_of_requests_makes_a_datagram_multiply_between_hairpin_and_coturn() {
    on_the_internet(|_| {
        let host = server_host(12);
        let mut options = vec!["--no-tls", "--no-dtls", "--lt-cred-mech", "--mobility"];
        options.extend(["--realm", REALM, "--user", USER_AND_PASSWORD]);
        let _servers = [
            hairpin(here, HERE),
            Server::coturn(|program| host.command(program), &[address(THERE)], &options),
        ];
        try_all_orders();
    });
}

fn hairpin(how: impl FnOnce(&str) -> Command, last: u8) -> Server {
    let setup = Setup::at(&[address(last)], &[server_v4(last).into()]);
    Server::start_by(
        how,
        setup.with("allocation.mobility = true\npeers.allow = ['198.51.100.0/24']"),
    )
}

/// Every order is tried by a user of its own; then one datagram of a byte is sent into what came of
/// it, and all that follows is counted on the wire between the hosts.
fn try_all_orders() {
    let mut most = 0;
    let mut joined = 0;
    for number in 0..ORDERS {
        let order = Order::of(number);
        let before = on_the_wire();
        joined += usize::from(order.try_out());
        // Data that goes round needs less than a millisecond for a turn.
        thread::sleep(Duration::from_millis(300));
        let bytes = on_the_wire() - before;
        println!("{order:?}: {bytes} bytes");
        most = most.max(bytes);
        assert!(bytes < MOST_BYTES, "{order:?}: {bytes} bytes");
    }
    assert!(joined > 0, "nobody reached one server through the other");
    println!(
        "at most {most} bytes; through one server to the other in {joined} orders of {ORDERS}"
    );
}

/// An order of requests, by the choices in it.
#[derive(Debug)]
struct Order {
    /// The server of the first allocation, and the one that is reached through it.
    near: SocketAddr,
    far: SocketAddr,
    /// How often the first allocation moves: the last time to the address of the second.
    moves: usize,
    /// Whether the second allocation may move, too.
    both_mobile: bool,
    /// Whether peers get channels, beside permissions.
    channels: bool,
}

impl Order {
    fn of(number: usize) -> Self {
        let is = |bit: usize| number >> bit & 1 == 1;
        let [near, far] = if is(0) { [HERE, THERE] } else { [THERE, HERE] };
        Self {
            near: address(near),
            far: address(far),
            both_mobile: is(1),
            channels: is(2),
            moves: number >> 3,
        }
    }

    /// Tries it out, and sends a byte; returns whether the second server was reached through the
    /// first.
    fn try_out(&self) -> bool {
        let Self { near, far, .. } = *self;
        let mut user = User::new();
        let (first, mut ticket) = user
            .allocate(&[near], self.moves > 0)
            .expect("an allocation");
        self.permit(&mut user, &[near], far);
        for _ in 1..self.moves {
            user.socket = user_socket();
            // Coturn moves the allocation and does not answer.
            ticket = user.show(&[near], &ticket);
            user.post(&[near, far], b"\x80settled");
        }
        let is_joined = user.allocate(&[near, far], self.both_mobile).is_some();
        if is_joined {
            self.permit(&mut user, &[near, far], near);
            if self.moves > 0 {
                user.show(&[near, far, near], &ticket);
            }
            // The first data settles a client that has moved.
            user.post(&[near, far, near, far], b"\x80settled");
            self.permit(&mut user, &[near, far, near], far);
        }
        // Another allocation at the second server has the IP address of that.
        let mut other = User::new();
        other.allocate(&[far], false).expect("an allocation");
        other.permit(&[far], near);
        other.post(&[far, first], b"\x80");
        is_joined
    }

    /// Lets a peer reach the allocation at the end of a way.
    fn permit(&self, user: &mut User, way: &[SocketAddr], peer: SocketAddr) {
        user.permit(way, peer);
        if self.channels {
            user.ask(way, Method::ChannelBind, |writer| {
                writer
                    .put(&ChannelNumberAttribute(0x4000))
                    .put(&XorPeerAddress(peer));
            });
        }
    }
}

/// A user, who reaches every server but the first of a way through those before it.
struct User {
    socket: UdpSocket,
    transactions: u64,
    /// The last nonce of each server.
    nonces: BTreeMap<SocketAddr, String>,
}

impl User {
    fn new() -> Self {
        Self {
            socket: user_socket(),
            transactions: 0,
            nonces: BTreeMap::new(),
        }
    }

    /// The relayed address of a new allocation, and its ticket, if it may move.
    fn allocate(&mut self, way: &[SocketAddr], may_move: bool) -> Option<(SocketAddr, Vec<u8>)> {
        // The first server of a way always answers, however late.
        let patience = if way.len() == 1 { PATIENCE } else { ANSWERED };
        let answer = self.ask_for(patience, way, Method::Allocate, |writer| {
            writer.put(&RequestedTransport::UDP);
            if may_move {
                writer.put(&MobilityTicket(b""));
            }
        })?;
        let XorRelayedAddress(relayed) = Message::parse(&answer).ok()?.get().ok()??;
        Some((relayed, ticket_in(&answer)))
    }

    fn permit(&mut self, way: &[SocketAddr], peer: SocketAddr) {
        self.ask(way, Method::CreatePermission, |writer| {
            writer.put(&XorPeerAddress(peer));
        });
    }

    /// Shows a ticket; returns the next one.
    fn show(&mut self, way: &[SocketAddr], ticket: &[u8]) -> Vec<u8> {
        let answer = self.ask(way, Method::Refresh, |writer| {
            writer.put(&MobilityTicket(ticket));
        });
        ticket_in(&answer.unwrap_or_default())
    }

    /// The answer to a signed request, if one comes.
    fn ask(
        &mut self,
        way: &[SocketAddr],
        method: Method,
        put: impl Fn(&mut Writer<'_>),
    ) -> Option<Vec<u8>> {
        self.ask_for(ANSWERED, way, method, put)
    }

    /// The same, waited for so long.
    fn ask_for(
        &mut self,
        patience: Duration,
        way: &[SocketAddr],
        method: Method,
        put: impl Fn(&mut Writer<'_>),
    ) -> Option<Vec<u8>> {
        let key = Key::md5(USER, REALM, PASSWORD).schedule(Algorithm::Sha1);
        let at = way[way.len() - 1];
        // Once with the nonce that was heard last, once with the one that is heard now.
        let mut tries = 0;
        loop {
            self.transactions += 1;
            tries += 1;
            let mut id = [7; 12];
            id[..8].copy_from_slice(&self.transactions.to_be_bytes());
            let id = TransactionId::new(id);
            let mut request = Vec::new();
            let mut writer = Writer::new(&mut request, method, Class::Request, id);
            put(&mut writer);
            if let Some(nonce) = self.nonces.get(&at) {
                writer.put(&Username(USER)).put(&Realm(REALM));
                writer.put(&Nonce(nonce)).sign(&key);
            }
            self.post(way, &request);
            let answer = self.answer(id, patience)?;
            match Message::parse(&answer).ok()?.get() {
                Ok(Some(Nonce(heard))) if tries == 1 => {
                    self.nonces.insert(at, heard.to_owned());
                }
                _ => return Some(answer),
            }
        }
    }

    /// Sends a packet to the end of a way.
    fn post(&self, way: &[SocketAddr], packet: &[u8]) {
        let wrap = |packet: Vec<u8>, next: &SocketAddr| {
            let mut wrapped = Vec::new();
            let id = TransactionId::new([9; 12]);
            Writer::new(&mut wrapped, Method::Send, Class::Indication, id)
                .put(&XorPeerAddress(*next))
                .put(&Data(&packet));
            wrapped
        };
        let packet = way[1..].iter().rev().fold(packet.to_vec(), wrap);
        let sent = self.socket.send_to(&packet, way[0]);
        sent.expect("a route to the server");
    }

    /// The answer in this transaction, out of everything that is around it.
    fn answer(&self, id: TransactionId, patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < deadline {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                continue;
            };
            let mut packet = &buffer[..length];
            loop {
                if let Ok(frame) = wire::ChannelData::parse(packet) {
                    packet = frame.payload;
                    continue;
                }
                let Ok(message) = Message::parse(packet) else {
                    break;
                };
                if message.transaction() == id && message.class() != Class::Indication {
                    return Some(packet.to_vec());
                }
                match message.get() {
                    Ok(Some(Data(within))) => packet = within,
                    _ => break,
                }
            }
        }
        None
    }
}

fn user_socket() -> UdpSocket {
    let socket = UdpSocket::bind((server_v4(USERS), 0)).expect("an address of this host");
    let short = Some(Duration::from_millis(20));
    socket.set_read_timeout(short).expect("not zero");
    socket
}

/// The ticket in an answer; empty if there is none.
fn ticket_in(answer: &[u8]) -> Vec<u8> {
    let message = Message::parse(answer).ok();
    let ticket = message.and_then(|message| message.get().ok().flatten());
    ticket.map_or_else(Vec::new, |MobilityTicket(ticket)| ticket.to_vec())
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(server_v4(last)), PORT)
}

/// Bytes that went over the link between the two hosts so far, both ways.
fn on_the_wire() -> u64 {
    let all = fs::read_to_string("/proc/net/dev").expect("a namespace of our own");
    let mut lines = all.lines();
    let counts = lines.find_map(|line| line.trim().strip_prefix("far:"));
    let counts = counts.expect("the link to the other host");
    let mut counts = counts
        .split_whitespace()
        .map(|it| it.parse::<u64>().expect("a count"));
    let received = counts.next().expect("bytes received");
    received + counts.nth(7).expect("bytes sent")
}

/// The last byte of the address of the server on the test's own host, of the one on another host,
/// and of users.
const HERE: u8 = 1;
const THERE: u8 = 12;
const USERS: u8 = 2;
/// The choices of an order: eight, and no move, one or two.
const ORDERS: usize = 24;
/// Longer than an answer through two servers takes. A request that is dropped is waited for as long.
const ANSWERED: Duration = Duration::from_millis(400);
/// All requests of an order take about 10 kB in all their headers.
const MOST_BYTES: u64 = 40_000;
