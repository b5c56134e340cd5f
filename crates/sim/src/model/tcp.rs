//! TCP allocations: connections with peers, and of clients. RFC 6062.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relay::policy::Permit;
use relay::{AddressFamily, ClientTuple, ConnectionId, DropReason};
use wire::Message;
use wire::attributes::XorPeerAddress;

use super::credentials::Signer;
use super::expect::{Connection, Refusal, refuse};
use super::requests::seconds;
use super::{Allocation, Expect, Id, Model, Reply};

/// A connection with a peer.
#[derive(Debug)]
pub(super) struct Peer {
    state: State,
    /// When it ends unless it gets on.
    until: Duration,
    id: Option<ConnectionId>,
}

#[derive(Debug)]
enum State {
    /// The peer is called at this address, and then this is answered.
    Called(SocketAddr, Box<Reply>),
    Waits,
    /// A client's connection carries its data.
    Bound(ClientTuple),
}

impl Model {
    /// RFC 6062 §5.2.
    pub(super) fn connect(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
        reply: Reply,
    ) -> Result<Expect, Refusal> {
        let limit = self.terms.connections;
        let allocation = self.own(from, signer)?;
        let no_tcp = || refuse(437, "no-tcp-allocation");
        let peers = allocation.tcp.as_ref().ok_or_else(no_tcp)?;
        let XorPeerAddress(peer) = message
            .get()?
            .ok_or_else(|| refuse(400, "missing-attribute"))?;
        if peers.contains_key(&peer) {
            return Err(refuse(446, "connection-exists"));
        }
        let is_full = peers.len() >= limit;
        if !self.terms.tcp {
            return Err(refuse(403, "tcp-forbidden"));
        }
        self.check_peer(from, peer.ip())?;
        if !self.terms.allows(peer) {
            return Err(refuse(403, "peer-denied"));
        }
        if is_full {
            return Err(refuse(403, "too-many-connections"));
        }
        let to = self.callable(from, peer);
        let to = to.ok_or_else(|| refuse(447, "not-connected"))?;
        let until = self.now + PATIENCE;
        let called = Peer {
            state: State::Called(to, Box::new(reply)),
            until,
            id: None,
        };
        let allocation = self.of_mut(from);
        let peers = allocation.and_then(|it| it.tcp.as_mut());
        if let Some(peers) = peers {
            peers.insert(peer, called);
        }
        Ok(Expect::Later)
    }

    /// Where a peer is called: a relayed address of this server at its local one, if it listens.
    fn callable(&self, from: ClientTuple, peer: SocketAddr) -> Option<SocketAddr> {
        let at = |ip: &IpAddr| *ip == peer.ip();
        let mut relays = self.terms.relays.values();
        let Some((local, _)) = relays.find(|(local, external)| at(local) || at(external)) else {
            return Some(peer);
        };
        let local = SocketAddr::new(*local, peer.port());
        let family = AddressFamily::of(peer.ip());
        let own = self.of(from).and_then(|it| it.relays.get(&family));
        if own.is_some_and(|(own, _)| *own == local) {
            return None;
        }
        if self.listener(local).is_some() {
            return Some(local);
        }
        let permit = self.terms.policy.judge(peer);
        (permit != Ok(Permit::OwnRelay)).then_some(peer)
    }

    /// The TCP allocation whose socket listens at a local address.
    fn listener(&self, local: SocketAddr) -> Option<Id> {
        let holder = self.holder(local)?;
        let is_tcp = self.allocations[&holder].tcp.is_some();
        is_tcp.then_some(holder)
    }

    /// The peer at `to` has answered the call from `local`, or refused it.
    pub(crate) fn peer_answered(&mut self, local: SocketAddr, to: SocketAddr, is_there: bool) {
        let Some(id) = self.listener(local) else {
            return;
        };
        let until = self.now + PATIENCE;
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let client = allocation.client;
        let Some(peers) = &mut allocation.tcp else {
            return;
        };
        let is_called = |(_, it): &(&SocketAddr, &Peer)| match &it.state {
            State::Called(at, _) => *at == to,
            State::Waits | State::Bound(_) => false,
        };
        let Some(peer) = peers.iter().find(is_called).map(|(peer, _)| *peer) else {
            return;
        };
        let Some(Peer {
            state: State::Called(_, mut reply),
            ..
        }) = peers.remove(&peer)
        else {
            return;
        };
        if is_there {
            let waiting = Peer {
                state: State::Waits,
                until,
                id: None,
            };
            peers.insert(peer, waiting);
            reply.connection = Connection::New(id, peer);
            self.answers.push((client, *reply));
        } else {
            self.answers
                .push((client, reply.refused(refuse(447, "not-connected"))));
        }
    }

    /// A peer connects to a relayed transport address, given by either face. RFC 6062 §5.3.
    pub(crate) fn peer_connects(&mut self, from: SocketAddr, to: SocketAddr) -> Expect {
        let local = self.inward(to);
        let Some(id) = self.listener(local) else {
            return Expect::NoSocket;
        };
        let from = self.terms.outward(from);
        let allocation = &self.allocations[&id];
        if !allocation.is_open() {
            return Expect::Lost(DropReason::RelayGone);
        }
        if !allocation.permissions.contains_key(&from.ip()) {
            return Expect::Lost(DropReason::NoPeerPermission);
        }
        if !self.terms.allows(from) {
            return Expect::Lost(DropReason::PeerDenied);
        }
        let is_relay = self.terms.policy.judge(from) == Ok(Permit::OwnRelay);
        if is_relay && self.listener(self.inward(from)).is_none() {
            return Expect::Lost(DropReason::NoRelay);
        }
        let count = allocation.tcp.as_ref().map_or(0, |peers| peers.len());
        if count >= self.terms.connections {
            return Expect::Lost(DropReason::TooManyConnections);
        }
        Expect::Later
    }

    /// A peer was let in, under this name; returns the client that is to be told.
    pub(crate) fn let_in(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        connection: ConnectionId,
    ) -> Option<(ClientTuple, SocketAddr)> {
        let id = self.listener(self.inward(to))?;
        let from = self.terms.outward(from);
        let until = self.now + PATIENCE;
        let allocation = self.allocations.get_mut(&id)?;
        let waiting = Peer {
            state: State::Waits,
            until,
            id: Some(connection),
        };
        allocation.tcp.as_mut()?.insert(from, waiting);
        Some((allocation.client, from))
    }

    /// The name of a connection that a client asked for.
    pub(crate) fn heard_connection(&mut self, new: Connection, connection: ConnectionId) {
        let Connection::New(id, peer) = new else {
            return;
        };
        let allocation = self.allocations.get_mut(&id);
        let peers = allocation.and_then(|it| it.tcp.as_mut());
        if let Some(it) = peers.and_then(|peers| peers.get_mut(&peer)) {
            it.id = Some(connection);
        }
    }

    /// RFC 6062 §5.4.
    pub(super) fn connection_bind(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        if !from.transport.is_stream() {
            return Err(refuse(400, "not-a-stream"));
        }
        let connection: Option<ConnectionId> = message.get()?;
        let connection = connection.ok_or_else(|| refuse(400, "missing-attribute"))?;
        if self.find(from).is_some() {
            return Err(refuse(437, "allocation-exists"));
        }
        let none = || refuse(400, "no-connection");
        let (id, peer) = self.named(connection).ok_or_else(none)?;
        let allocation = self.allocations.get_mut(&id).ok_or_else(none)?;
        let owner = allocation.user.clone();
        let peers = allocation.tcp.as_mut().ok_or_else(none)?;
        let it = peers.get_mut(&peer).ok_or_else(none)?;
        let State::Waits = it.state else {
            return Err(none());
        };
        if owner != signer.user {
            return Err(refuse(441, "wrong-user"));
        }
        it.state = State::Bound(from);
        Ok(())
    }

    /// The allocation of a connection, and its peer.
    fn named(&self, connection: ConnectionId) -> Option<(Id, SocketAddr)> {
        let all = self.allocations.iter();
        let mut all = all.flat_map(|(id, it)| it.tcp.iter().flatten().map(move |tcp| (*id, tcp)));
        let found = all.find(|(_, (_, it))| it.id == Some(connection));
        found.map(|(id, (peer, _))| (id, *peer))
    }

    /// The allocation that a connection is of.
    pub(super) fn of_connection(&self, connection: ConnectionId) -> Option<&Allocation> {
        self.allocations.get(&self.named(connection)?.0)
    }

    /// The connection whose data a client's connection carries has ended.
    pub(crate) fn end_splice(&mut self, client: ClientTuple) {
        for allocation in self.allocations.values_mut() {
            if let Some(peers) = &mut allocation.tcp {
                peers.retain(|_, it| !matches!(it.state, State::Bound(by) if by == client));
            }
        }
    }

    /// Whether a client's connection carries the data of a peer's.
    pub(crate) fn carries(&self, client: ClientTuple) -> bool {
        self.peers()
            .any(|it| matches!(it.state, State::Bound(by) if by == client))
    }

    /// How many peers are called, and how many are connected.
    pub(crate) fn peers_at(&self) -> (usize, usize) {
        let is_called = |it: &&Peer| matches!(it.state, State::Called(..));
        let called = self.peers().filter(is_called).count();
        (called, self.peers().count() - called)
    }

    fn peers(&self) -> impl Iterator<Item = &Peer> {
        let all = self.allocations.values();
        all.filter_map(|it| it.tcp.as_ref())
            .flat_map(|peers| peers.values())
    }

    /// Whether a client has a TCP allocation.
    pub(crate) fn has_tcp(&self, client: ClientTuple) -> bool {
        self.of(client).is_some_and(|it| it.tcp.is_some())
    }

    /// Whether a socket at `to`, given by either face, is one for TCP, and has no connection with
    /// this peer.
    pub(crate) fn is_new_peer(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let holder = self.listener(self.inward(to));
        let peers = holder.and_then(|id| self.allocations[&id].tcp.as_ref());
        peers.is_some_and(|peers| !peers.contains_key(&self.terms.outward(from)))
    }

    /// Ends the connections that did not get on. Their allocation ends first if it does so by then.
    pub(super) fn end_slow_connections(&mut self, now: Duration) {
        for allocation in self.allocations.values_mut() {
            let Some(peers) = &mut allocation.tcp else {
                continue;
            };
            let relays = &allocation.relays;
            let is_over = |peer: &SocketAddr, it: &Peer| {
                let family = relays.get(&AddressFamily::of(peer.ip()));
                let lives = family.is_none_or(|(_, until)| it.until < *until);
                it.until <= now && lives && !matches!(it.state, State::Bound(_))
            };
            for (_, it) in peers.extract_if(.., |peer, it| is_over(peer, it)) {
                if let State::Called(_, reply) = it.state {
                    let refused = reply.refused(refuse(447, "not-connected"));
                    self.answers.push((allocation.client, refused));
                }
            }
        }
    }

    /// Ends the connections with peers for which this holds, of one allocation; a client that waits
    /// hears so.
    pub(super) fn end_connections(&mut self, id: Id, is_meant: impl Fn(SocketAddr) -> bool) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let Some(peers) = &mut allocation.tcp else {
            return;
        };
        for (_, it) in peers.extract_if(.., |peer, _| is_meant(*peer)) {
            if let State::Called(_, reply) = it.state {
                let refused = reply.refused(refuse(447, "not-connected"));
                self.answers.push((allocation.client, refused));
            }
        }
    }

    /// The deadlines of connections.
    pub(super) fn connection_deadlines(&self) -> Vec<Duration> {
        self.peers().map(|it| it.until).collect()
    }

    fn inward(&self, address: SocketAddr) -> SocketAddr {
        self.terms.inward(address).unwrap_or(address)
    }
}

/// RFC 6062 §5.2, §5.3.
const PATIENCE: Duration = seconds(30);
