//! Connections with peers of TCP allocations: they are made or accepted here, and kept unread until
//! a client binds them. RFC 6062.
//!
//! Until then the bytes of a peer stay in the kernel, within the receive buffer; then the peer is
//! held back.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;
use relay::{ClientTuple, ConnectError, ConnectionId, OpenError, Passage, PeerAddr, RelayId};
use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time;

use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::shard::Shard;
use crate::splice::Carried;
use crate::stream::turn;
use crate::{bind, clock};

/// The sockets of a shard's TCP allocations. Taking one out closes it at once, unless a task is just
/// about to.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// The sockets that peers connect to.
    listeners: HashMap<RelayId, Listening, RandomState>,
    connections: HashMap<ConnectionId, Peer, RandomState>,
    /// Sockets that listen, and that no task accepts from yet.
    unaccepted: Vec<RelayId>,
    /// Sockets that are to be connected, and that no task connects yet.
    unconnected: Vec<(ConnectionId, SocketAddr, Socket)>,
}

/// A socket that listens, and the task that accepts from it.
#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    task: Option<AbortHandle>,
}

/// A connection with a peer.
#[derive(Debug)]
enum Peer {
    /// It is to be made, by a task once that is there.
    Making(Option<AbortHandle>),
    /// It waits for a client.
    Waiting(TcpStream),
    /// A client's task has it, or is to be given it. The task ends when this is dropped.
    Bound {
        socket: Option<oneshot::Sender<TcpStream>>,
        _open: oneshot::Sender<Infallible>,
    },
}

impl Peers {
    pub(crate) fn close_listener(&mut self, relay: RelayId) {
        let closed = self.listeners.remove(&relay);
        if let Some(task) = closed.and_then(|it| it.task) {
            task.abort();
        }
    }

    /// Closes a connection, or stops making it.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.unconnected.retain(|(it, ..)| *it != connection);
        if let Some(Peer::Making(Some(task))) = self.connections.remove(&connection) {
            task.abort();
        }
    }

    /// Takes out a connection that waits, for another shard.
    pub(crate) fn take(&mut self, connection: ConnectionId) -> Option<Socket> {
        match self.connections.remove(&connection)? {
            Peer::Waiting(stream) => Some(stream.into_std().ok()?.into()),
            Peer::Making(_) | Peer::Bound { .. } => None,
        }
    }

    /// Promises the socket of a connection to the task of a client, which is given it now, or when it
    /// comes from another shard.
    fn promise(&mut self, connection: ConnectionId, passage: Passage) -> Carried {
        let (give, socket) = oneshot::channel();
        let (open, closed) = oneshot::channel();
        let mut bound = Peer::Bound {
            socket: Some(give),
            _open: open,
        };
        if let Some(Peer::Waiting(stream)) = self.connections.remove(&connection) {
            bound.give(stream);
        }
        self.connections.insert(connection, bound);
        Carried {
            connection,
            passage,
            socket,
            closed,
        }
    }

    fn poll_accept(
        &self,
        relay: RelayId,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<(TcpStream, SocketAddr)>>> {
        match self.listeners.get(&relay) {
            Some(it) => it.listener.poll_accept(cx).map(Some),
            None => Poll::Ready(None),
        }
    }
}

impl Peer {
    /// Gives the task of a client the socket. A task that has ended drops it.
    fn give(&mut self, stream: TcpStream) {
        if let Self::Bound { socket, .. } = self
            && let Some(socket) = socket.take()
        {
            let _ = socket.send(stream);
        }
    }
}

/// The effects of the core.
impl Shard {
    pub(crate) fn open_tcp_relay(
        &mut self,
        relay: RelayId,
        local: SocketAddr,
    ) -> Result<(), OpenError> {
        let socket = bind::tcp_relay(local)?;
        let listener = TcpListener::from_std(socket.into()).map_err(|_| OpenError::Exhausted)?;
        let listening = Listening {
            listener,
            task: None,
        };
        self.peers.listeners.insert(relay, listening);
        self.peers.unaccepted.push(relay);
        self.opened.notify_one();
        Ok(())
    }

    pub(crate) fn connect_peer(
        &mut self,
        connection: ConnectionId,
        local: SocketAddr,
        peer: SocketAddr,
    ) {
        match bind::peer(local) {
            Ok(socket) => {
                let making = Peer::Making(None);
                self.peers.connections.insert(connection, making);
                self.peers.unconnected.push((connection, peer, socket));
                self.opened.notify_one();
            }
            Err(_) => {
                let outcome = Err(ConnectError::Exhausted);
                self.server
                    .handle_connected(clock::now(), connection, outcome);
            }
        }
    }

    /// From now on a client's connection carries the data of a peer's.
    pub(crate) fn splice(
        &mut self,
        client: ClientTuple,
        connection: ConnectionId,
        passage: Passage,
    ) {
        match self.egress.connections.get(&client) {
            Some(own) => own.carry(self.peers.promise(connection, passage)),
            // The client is gone already.
            None => {
                self.peers.close(connection);
                self.server.handle_ended(connection);
            }
        }
    }

    /// A socket came from another shard, for a client of this one.
    pub(crate) fn adopt_connection(&mut self, connection: ConnectionId) {
        let stream = self
            .arrived_peer
            .take()
            .map(|socket| TcpStream::from_std(socket.into()));
        match (stream, self.peers.connections.get_mut(&connection)) {
            (Some(Ok(stream)), Some(peer)) => peer.give(stream),
            // The client's connection ends, and the core is told then.
            (None | Some(_), _) => self.peers.close(connection),
        }
    }

    /// Gives sockets that were opened their tasks.
    pub(crate) fn give_peers_tasks(shard: &Handle) {
        let (unaccepted, unconnected) = {
            let peers = &mut shard.shard.borrow_mut().peers;
            let unaccepted = std::mem::take(&mut peers.unaccepted);
            (unaccepted, std::mem::take(&mut peers.unconnected))
        };
        for relay in unaccepted {
            let place = Place::of(shard.shard.borrow().server.party(relay));
            let accepting = accept(Handle::clone(shard), relay, place);
            let task = tokio::task::spawn_local(accepting).abort_handle();
            let peers = &mut shard.shard.borrow_mut().peers;
            match peers.listeners.get_mut(&relay) {
                Some(listening) => listening.task = Some(task),
                None => task.abort(),
            }
        }
        for (connection, peer, socket) in unconnected {
            let making = connect(Handle::clone(shard), connection, peer, socket);
            let task = tokio::task::spawn_local(making).abort_handle();
            let peers = &mut shard.shard.borrow_mut().peers;
            if let Some(Peer::Making(making)) = peers.connections.get_mut(&connection) {
                *making = Some(task);
            }
        }
    }
}

/// Accepts the peers that connect to a relayed transport address, until that is closed.
async fn accept(shard: Handle, relay: RelayId, place: Place) {
    let _alarm = Alarm::of(&shard);
    let place = place.into();
    loop {
        let accepted = poll_fn(|cx| shard.shard.borrow().peers.poll_accept(relay, cx)).await;
        let (stream, peer) = match accepted {
            Some(Ok(accepted)) => accepted,
            None => return,
            Some(Err(error)) => {
                // Other errors are those of one connection, which is gone. accept(2)
                if bind::is_exhausted(&error) {
                    time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
        };
        turn(&shard, &place).await;
        let prepared = bind::prepare_stream(SockRef::from(&stream));
        let mut shard = shard.shard.borrow_mut();
        shard.gates.streams.spend(1);
        if prepared.is_err() {
            continue;
        }
        let accepted = shard
            .server
            .handle_accepted(clock::now(), relay, PeerAddr(peer));
        // Otherwise it is closed here.
        if let Ok(connection) = accepted {
            let waiting = Peer::Waiting(stream);
            shard.peers.connections.insert(connection, waiting);
        }
        shard.perform_effects();
        shard.publish();
    }
}

/// Connects to a peer.
async fn connect(shard: Handle, connection: ConnectionId, peer: SocketAddr, socket: Socket) {
    let _alarm = Alarm::of(&shard);
    let made = TcpSocket::from_std_stream(socket.into())
        .connect(peer)
        .await;
    let made = made.and_then(|stream| {
        bind::prepare_stream(SockRef::from(&stream))?;
        Ok(stream)
    });
    let mut shard = shard.shard.borrow_mut();
    let outcome = match made {
        Ok(stream) => {
            let waiting = Peer::Waiting(stream);
            shard.peers.connections.insert(connection, waiting);
            Ok(())
        }
        Err(error) => {
            shard.peers.connections.remove(&connection);
            Err(why(&error))
        }
    };
    shard
        .server
        .handle_connected(clock::now(), connection, outcome);
    shard.perform_effects();
    shard.publish();
}

fn why(error: &io::Error) -> ConnectError {
    let is_one_of = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
    if is_one_of(&[ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset]) {
        ConnectError::Refused
    } else if is_one_of(&[ErrorKind::TimedOut]) {
        ConnectError::TimedOut
    } else if is_one_of(&[ErrorKind::AddrInUse, ErrorKind::AddrNotAvailable])
        || bind::is_exhausted(error)
    {
        // There is no other port to connect from: the pair of addresses was in use a moment ago.
        ConnectError::Exhausted
    } else {
        ConnectError::Unreachable
    }
}
