//! A server and all its clients and peers. Bytes are read as a program: clients send requests and
//! data, rightly, wrongly and in the middle of something; peers answer; time passes; the host
//! refuses.
//!
//! The promises are those that [`World`] checks after every step: nothing panics, only requests are
//! answered, each signed with the right key; ports, sockets and quotas add up; nothing goes to a
//! peer that the policy denies. In the end everything is over and nothing is left.

use std::net::SocketAddr;

use relay::keys::{Encryption, Token, TokenKey, TokenKeys, Validity};
use relay::{AddressFamily, Icmp, OpenError, PortRange, Sha256};
use sim::{
    AccessGrant, Client, LOCAL, Outcome, Peer, Proof, Request, SERVER_NAME, World, password,
    seconds,
};
use wire::attributes::PasswordAlgorithm;
use wire::{ChannelNumber, Key, TransactionId};

use crate::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut play = Play::new();
    let mut input = Input::new(bytes);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        play.step(&mut input);
    }
    play.end();
}

struct Play {
    world: World,
    clients: Vec<Client>,
    /// A client with a token in place of a password.
    bearer: Client,
    /// How many tokens were sealed.
    tokens: u8,
    peers: Vec<Peer>,
    /// The packet that was sent last, to be sent again.
    last: Vec<u8>,
}

impl Play {
    /// Small limits, so that each is reached.
    fn new() -> Self {
        let mut world = World::sharded(SHARDS, |config| {
            config.rules_mut().sha256 = Sha256::Offer;
            config.rules_mut().tokens = TokenKeys::new(SERVER_NAME.to_owned());
            for kid in KIDS {
                config.rules_mut().tokens.add(kid, token_key());
            }
            config.ports = PortRange::new(FIRST_PORT, FIRST_PORT + 3).expect("a range");
            config.rules_mut().limits.per_user = Some(2);
            config.rules_mut().limits.total = Some(4);
            config.rules_mut().limits.permissions = 3;
            config.rules_mut().limits.channels = 2;
        });
        let clients = vec![
            world.client_on(0, "alice"),
            world.client_on(1, "alice"),
            world.client_on(0, "bob"),
            world.tcp_client("carol"),
            world.client_with("mallory", "guessed"),
        ];
        let bearer = world.client_with_token(token(&world, 0));
        let peers = vec![
            world.peer(),
            world.peer(),
            world.peer_v6(),
            Peer::at("10.0.0.1:80"),
            Peer(SocketAddr::new(LOCAL, 3478)),
        ];
        Self {
            world,
            clients,
            bearer,
            tokens: 1,
            peers,
            last: Vec::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (verb, who) = (input.byte(), input.byte());
        let client = match who % 64 {
            60.. => self.bearer,
            _ => self.clients[usize::from(who) % self.clients.len()],
        };
        match verb % 16 {
            0..=6 => {
                let proof = PROOFS[usize::from(who >> 6)];
                let request = self.request(verb % 16, input).proof(proof);
                self.last = client.write(&mut self.world, &request);
                self.send_last(client);
            }
            7 => {
                let number = ChannelNumber::MIN.get() + u16::from(input.byte() % 4);
                self.last = number.to_be_bytes().to_vec();
                self.last.extend(input.number().to_be_bytes());
                let length = usize::from(input.byte());
                self.last.extend(input.bytes(length));
                self.send_last(client);
            }
            8 => {
                let (from, to) = (self.peer(input), self.peer(input));
                let payload = input.bytes(4);
                if who < ICMP {
                    let icmp = Icmp {
                        kind: who,
                        code: payload.len() as u8,
                        data: who.into(),
                    };
                    from.is_lost(&mut self.world, to.0, icmp);
                } else {
                    from.send(&mut self.world, to.0, payload);
                }
            }
            9 => self.time_passes(input),
            10 if client == self.bearer => {
                let token = token(&self.world, self.tokens);
                self.tokens = self.tokens.wrapping_add(1);
                client.take_token(&mut self.world, token);
            }
            10 => client.disconnect(&mut self.world),
            11 => self.host_changes(input),
            12 => {
                let length = usize::from(input.byte());
                self.last = input.bytes(length).to_vec();
                self.send_last(client);
            }
            13 => {
                self.mutate_last(input);
                self.send_last(client);
            }
            14 => self.send_last(client),
            _ => {
                let shard = usize::from(input.byte() % SHARDS);
                if input.flag() {
                    self.world.wake_shard(shard);
                } else {
                    self.world.stall_shard(shard);
                }
            }
        }
    }

    fn request(&self, verb: u8, input: &mut Input<'_>) -> Request {
        let request = match verb {
            0 => Request::binding(),
            1 => Request::allocate(),
            2 => Request::refresh(seconds(u64::from(input.byte()) * 16)),
            3 => Request::create_permission((0..input.byte() % 4).map(|_| self.peer(input))),
            4 => Request::channel_bind(0x3FFF + u16::from(input.byte() % 4), self.peer(input)),
            5 => Request::send(self.peer(input), input.bytes(4)),
            _ => Request::new(input.pick(&METHODS)),
        };
        let flags = input.byte();
        let flag = |bit: u32| flags & 1 << bit != 0;
        let mut request = request;
        if flag(0) {
            request = request.fingerprint();
        }
        if flag(1) {
            request = request.unsigned();
        }
        if flag(2) {
            // Few ids, so that some come again.
            request = request.in_transaction(TransactionId::new([input.byte() % 4; 12]));
        }
        if flag(3) {
            let family = input.pick(&[AddressFamily::V4, AddressFamily::V6]);
            request = request.family(family);
        }
        if flag(4) {
            let kind = input.number();
            let length = usize::from(input.byte());
            request = request.put_raw(kind, input.bytes(length));
        }
        if flag(5) {
            request = request.as_user("bob", &password("bob"));
        }
        if flag(6) {
            let kind = input.number();
            request = request.behind_integrity(kind, input.bytes(4));
        }
        if flag(7) {
            request = request.nonce("made up");
        }
        request
    }

    fn send_last(&mut self, client: Client) {
        let outcome = client.packet(&mut self.world, &self.last);
        assert_ne!(outcome, Outcome::NoSocket, "sent to a port that nobody has");
    }

    fn mutate_last(&mut self, input: &mut Input<'_>) {
        let (at, value) = (usize::from(input.number()), input.byte());
        match self.last.len() {
            0 => self.last.push(value),
            length if value == 0 => self.last.truncate(at % length),
            length => self.last[at % length] ^= value,
        }
    }

    /// A peer: one of the world's, or a relayed transport address.
    fn peer(&self, input: &mut Input<'_>) -> Peer {
        let number = input.byte();
        match number % 16 {
            at @ 0..=7 => self.peers[usize::from(at) % self.peers.len()],
            port => Peer(SocketAddr::new(LOCAL, FIRST_PORT + u16::from(port % 4))),
        }
    }

    fn time_passes(&mut self, input: &mut Input<'_>) {
        let duration = seconds(input.pick(&[0, 1, 59, 60, 299, 300, 599, 600, 1200, 3600]));
        if input.flag() {
            self.world.oversleep(duration);
        } else {
            self.world.advance(duration);
        }
    }

    fn host_changes(&mut self, input: &mut Input<'_>) {
        let local = SocketAddr::new(LOCAL, FIRST_PORT + u16::from(input.byte() % 4));
        match input.byte() % 5 {
            0 => self.world.open_sockets(),
            1 => self.world.hold_sockets(),
            2 => self.world.refuse_sockets(input.pick(&[
                OpenError::Exhausted,
                OpenError::NotLocal,
                OpenError::System,
            ])),
            3 if !self.world.has_socket(local) => self.world.occupy(local),
            _ => self.world.vacate(local),
        }
    }

    /// All clients leave; then nothing may be left.
    fn end(mut self) {
        for shard in 0..usize::from(SHARDS) {
            self.world.wake_shard(shard);
        }
        self.world.open_sockets();
        self.world.shut_down();
        assert!(self.world.is_idle(), "something is left behind");
    }
}

/// The key that both authorization servers share with the server.
fn token_key() -> TokenKey {
    TokenKey::new(Encryption::A256Gcm, &[7; 32]).expect("32 bytes are a key")
}

/// A token for ten minutes, from one of the authorization servers.
fn token(world: &World, number: u8) -> AccessGrant {
    let mac_key = vec![number; 20];
    let token = Token {
        mac_key: Key::precomputed(&mac_key),
        validity: Validity {
            issued: world.now().unix,
            lifetime: 600,
        },
    };
    AccessGrant {
        kid: KIDS[usize::from(number) % KIDS.len()].to_owned(),
        token: token_key().seal(SERVER_NAME, [number; 12], &token),
        mac_key,
    }
}

/// One is also the name of a user.
const KIDS: [&str; 2] = ["north", "bob"];

/// A byte below this makes an ICMP error of that type, instead of a datagram.
const ICMP: u8 = 16;

const SHARDS: u8 = 2;
const FIRST_PORT: u16 = 50_000;

/// More than a program needs, fewer than a fuzzer would waste.
const STEPS: usize = 200;

/// Few of them sign in the new way.
const PROOFS: [Proof; 4] = [
    Proof::Old,
    Proof::Old,
    Proof::New(PasswordAlgorithm::MD5),
    Proof::New(PasswordAlgorithm::SHA256),
];

const METHODS: [wire::Method; 8] = [
    wire::Method::Binding,
    wire::Method::Allocate,
    wire::Method::Refresh,
    wire::Method::Send,
    wire::Method::Data,
    wire::Method::CreatePermission,
    wire::Method::ChannelBind,
    wire::Method::Other(0x0AB),
];
