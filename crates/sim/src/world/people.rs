//! The clients and peers of the world, and what clients remember.

use std::net::{Ipv6Addr, SocketAddr};

use relay::{ClientTuple, Transport};
use wire::TransactionId;

use super::World;
use crate::client::Memory;
use crate::request::Credentials;
use crate::{AccessGrant, Client, LISTENER, Peer, setting};

/// The clients and peers of the world.
impl World {
    /// A client of this user, with an address of its own, over UDP.
    pub fn client(&mut self, user: &str) -> Client {
        self.client_on(0, user)
    }

    /// The same, served by this shard.
    pub fn client_on(&mut self, shard: usize, user: &str) -> Client {
        let tuple = self.next_tuple(Transport::Udp);
        self.client_at(shard, tuple, user, &setting::password(user))
    }

    /// A client over TCP.
    pub fn tcp_client(&mut self, user: &str) -> Client {
        self.client_over(Transport::Tcp, user)
    }

    /// A client over any transport.
    pub fn client_over(&mut self, transport: Transport, user: &str) -> Client {
        let tuple = self.next_tuple(transport);
        self.client_at(0, tuple, user, &setting::password(user))
    }

    /// A client with any credentials.
    pub fn client_with(&mut self, user: &str, password: &str) -> Client {
        let tuple = self.next_tuple(Transport::Udp);
        self.client_at(0, tuple, user, password)
    }

    /// A client with a token of an authorization server.
    pub fn client_with_token(&mut self, grant: AccessGrant) -> Client {
        let client = self.client_with(&grant.kid, "");
        client.take_token(self, grant);
        client
    }

    /// The client at a 5-tuple, if there is one.
    pub fn client_of(&self, tuple: ClientTuple) -> Option<Client> {
        self.by_tuple.get(&tuple).copied()
    }

    /// A client at a 5-tuple of the test's choice.
    ///
    /// # Panics
    /// If another client is there.
    pub fn client_at(
        &mut self,
        shard: usize,
        tuple: ClientTuple,
        user: &str,
        password: &str,
    ) -> Client {
        let client = Client(self.clients.len());
        let credentials = Credentials {
            username: user.to_owned(),
            password: password.to_owned(),
            realm: String::new(),
            nonce: String::new(),
            algorithms: Vec::new(),
            token: None,
        };
        self.clients.push(Memory {
            tuple,
            shard,
            credentials,
            relayed: None,
            channels: Vec::new(),
            given_up: Vec::new(),
            inbox: Vec::new(),
            attempts: Vec::new(),
            awaits: Vec::new(),
        });
        let other = self.by_tuple.insert(tuple, client);
        assert_eq!(other, None, "a 5-tuple has one client");
        client
    }

    /// The client again, at another address and through another shard; it keeps its memory.
    ///
    /// # Panics
    /// If another client is at the next address.
    pub fn roam(&mut self, client: Client, shard: usize, transport: Transport) -> Client {
        let Memory {
            credentials,
            relayed,
            channels,
            ..
        } = self.memory(client);
        let known = (credentials.clone(), *relayed, channels.clone());
        let tuple = self.next_tuple(transport);
        let roamed = self.client_at(shard, tuple, &known.0.username, &known.0.password);
        let memory = self.memory_mut(roamed);
        (memory.credentials, memory.relayed, memory.channels) = known;
        // A nonce belongs to an address.
        memory.credentials.nonce = String::new();
        roamed
    }

    /// A peer with a public IPv4 address of its own.
    pub fn peer(&mut self) -> Peer {
        let [high, low] = self.next_peer().to_be_bytes();
        Peer(SocketAddr::from(([9, 9, high, low], 4000)))
    }

    /// A peer with a public IPv6 address of its own.
    pub fn peer_v6(&mut self) -> Peer {
        let ip = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 9, self.next_peer());
        Peer(SocketAddr::from((ip, 4000)))
    }

    fn next_peer(&mut self) -> u16 {
        self.peers += 1;
        self.peers
    }

    fn next_tuple(&self, transport: Transport) -> ClientTuple {
        let number = u32::try_from(self.clients.len()).expect("few clients");
        let [_, high, middle, low] = number.to_be_bytes();
        ClientTuple {
            transport,
            client: SocketAddr::from(([100 + high, 113, middle, low], 50_000)),
            server: LISTENER,
        }
    }
}

/// The memories of clients.
impl World {
    pub(crate) fn memory(&self, client: Client) -> &Memory {
        &self.clients[client.0]
    }

    pub(crate) fn memory_mut(&mut self, client: Client) -> &mut Memory {
        &mut self.clients[client.0]
    }

    pub(crate) fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId::new(id)
    }
}
