//! TCP allocations: connections with peers, and those of clients that carry their data. RFC 6062.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use relay::{ClientTuple, ConnectError, ConnectionId, DropReason, Passage, PeerAddr, Server, Way};

use super::World;
use crate::Client;
use crate::machine::Socket;

/// The TCP sockets of the machine beside those that listen.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The shard that has the socket of each connection with a peer.
    sockets: BTreeMap<ConnectionId, usize>,
    /// Sockets on their way from one shard to another.
    pub(super) between: BTreeMap<ConnectionId, usize>,
    /// Connections that are being made.
    pub(super) dialled: VecDeque<Dialled>,
    /// The answer of peers, if they answer at once.
    answer: Option<Result<(), ConnectError>>,
    /// Connections whose data a client has asked for, in this shard.
    pub(super) spliced: BTreeMap<ConnectionId, Spliced>,
    /// Relay sockets for TCP; ids are not used again.
    pub(super) listeners: BTreeSet<Socket>,
}

/// A connection that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialled {
    shard: usize,
    connection: ConnectionId,
    local: SocketAddr,
    peer: SocketAddr,
}

/// A connection with a peer whose data passes on a client's connection.
#[derive(Clone, Debug)]
pub(super) struct Spliced {
    shard: usize,
    client: ClientTuple,
    passage: Passage,
}

/// Events at peers.
impl World {
    /// From now on peers answer at once, like this.
    pub const fn peers_answer(&mut self, answer: Result<(), ConnectError>) {
        self.connections.answer = Some(answer);
    }

    /// From now on peers do not answer until [`World::answer_connect`].
    pub const fn peers_hesitate(&mut self) {
        self.connections.answer = None;
    }

    /// The peer that was called first answers. Returns the addresses of the connection, from the
    /// server and to the peer, or `None` if no peer was called.
    pub fn answer_connect(
        &mut self,
        answer: Result<(), ConnectError>,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let dialled = self.connections.dialled.pop_front()?;
        self.answer_dialled(dialled, answer);
        self.follow_up(dialled.shard);
        Some((dialled.local, dialled.peer))
    }

    /// A peer connects to a relayed transport address.
    ///
    /// # Errors
    /// Why the server closes it at once.
    ///
    /// # Panics
    /// If nothing listens there.
    pub fn peer_connects(
        &mut self,
        peer: impl Into<SocketAddr>,
        relayed: SocketAddr,
    ) -> Result<ConnectionId, DropReason> {
        let local = SocketAddr::new(self.inward(relayed.ip()), relayed.port());
        let (shard, relay) = self.machine.socket(local).expect("a socket that listens");
        let (now, peer) = (self.clock.now(), PeerAddr(peer.into()));
        let accepted = self.shards[shard].handle_accepted(now, relay, peer);
        if let Ok(connection) = accepted {
            self.connections.sockets.insert(connection, shard);
        }
        self.follow_up(shard);
        accepted
    }

    /// Either end of a spliced connection is closed.
    ///
    /// # Panics
    /// If it is not spliced.
    pub fn end_splice(&mut self, connection: ConnectionId) {
        let spliced = self.connections.spliced.remove(&connection);
        let Spliced { shard, .. } = spliced.expect("a spliced connection");
        self.connections.close(shard, connection);
        self.shards[shard].handle_ended(connection);
        self.follow_up(shard);
    }

    /// So many bytes come on a spliced connection.
    ///
    /// # Errors
    /// When they may pass, if that is not now.
    ///
    /// # Panics
    /// If it is not spliced.
    pub fn pass(
        &mut self,
        connection: ConnectionId,
        way: Way,
        bytes: usize,
    ) -> Result<(), Instant> {
        let now = self.clock.now().mono;
        let spliced = &self.connections.spliced[&connection];
        let server = &mut self.shards[spliced.shard];
        server.may_pass(now, &spliced.passage, way, bytes)?;
        server.note_passed(now, &spliced.passage, way, bytes);
        Ok(())
    }
}

/// The parts of the connections that a test can read.
impl World {
    /// The connection whose data a client's connection carries.
    pub fn carried_by(&self, client: Client) -> Option<ConnectionId> {
        let tuple = client.tuple(self);
        let mut spliced = self.connections.spliced.iter();
        let found = spliced.find(|(_, it)| it.client == tuple);
        found.map(|(connection, _)| *connection)
    }

    /// How many sockets there are that are connected with peers.
    pub fn peer_sockets(&self) -> usize {
        self.connections.sockets.len() + self.connections.between.len()
    }

    /// How many connections are being made.
    pub fn dialled(&self) -> usize {
        self.connections.dialled.len()
    }
}

/// Effects.
impl World {
    pub(super) fn dial(
        &mut self,
        shard: usize,
        connection: ConnectionId,
        local: SocketAddr,
        peer: SocketAddr,
    ) {
        assert!(
            self.machine.socket(local).is_some(),
            "a connection leaves from a relayed address"
        );
        let dialled = Dialled {
            shard,
            connection,
            local,
            peer,
        };
        match self.connections.answer {
            Some(answer) => self.answer_dialled(dialled, answer),
            None => self.connections.dialled.push_back(dialled),
        }
    }

    fn answer_dialled(&mut self, dialled: Dialled, answer: Result<(), ConnectError>) {
        let Dialled {
            shard, connection, ..
        } = dialled;
        if answer.is_ok() {
            self.connections.sockets.insert(connection, shard);
        }
        let now = self.clock.now();
        self.shards[shard].handle_connected(now, connection, answer);
    }

    pub(super) fn close_connection(&mut self, shard: usize, connection: ConnectionId) {
        let connections = &mut self.connections;
        connections.dialled.retain(|it| it.connection != connection);
        connections.close(shard, connection);
        connections.spliced.remove(&connection);
    }

    pub(super) fn splice(
        &mut self,
        shard: usize,
        client: ClientTuple,
        connection: ConnectionId,
        passage: Passage,
    ) {
        let spliced = Spliced {
            shard,
            client,
            passage,
        };
        let earlier = self.connections.spliced.insert(connection, spliced);
        assert!(earlier.is_none(), "a connection is spliced once");
    }

    /// The socket of a connection leaves a shard with its mail.
    pub(super) fn depart_connection(&mut self, from: usize, connection: ConnectionId) {
        let at = self.connections.sockets.remove(&connection);
        assert_eq!(at, Some(from), "only a socket that is there travels");
        self.connections.between.insert(connection, from);
    }

    /// It arrives; it is closed unless the shard adopts it.
    pub(super) fn adopt_connection(&mut self, shard: usize, connection: ConnectionId) {
        let found = self.connections.between.remove(&connection);
        found.expect("a socket that left a shard");
        self.connections.sockets.insert(connection, shard);
    }

    /// Every connection that was made has one socket, and no socket is without a connection.
    #[track_caller]
    pub(super) fn balance_connections(&self) {
        let connections: usize = self.shards.iter().map(Server::connections).sum();
        assert_eq!(
            self.shared.connections.count(),
            connections,
            "connections that ConnectionBind may name"
        );
        let Connections {
            sockets, dialled, ..
        } = &self.connections;
        assert_eq!(
            sockets.len() + dialled.len(),
            connections,
            "sockets of peers"
        );
        assert!(self.connections.between.is_empty(), "sockets that arrived");
    }
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            answer: Some(Ok(())),
            ..Self::default()
        }
    }

    /// Closes a socket, if it is this shard's and not one that is still to come to it.
    fn close(&mut self, shard: usize, connection: ConnectionId) {
        if self.sockets.get(&connection) == Some(&shard) {
            self.sockets.remove(&connection);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty() && self.dialled.is_empty() && self.spliced.is_empty()
    }

    /// Connections that are being made are made again by the next process.
    pub(super) fn hand_over(&mut self) {
        self.dialled.clear();
    }
}
