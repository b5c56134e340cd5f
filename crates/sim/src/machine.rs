//! The machine that the servers run on: which program or socket has which UDP port of the relay
//! addresses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use relay::{OpenError, RelayId};

/// A relay socket: the shard that has it, and its id there.
pub(crate) type Socket = (usize, RelayId);

/// Sockets and the ports they hold.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    sockets: BTreeMap<SocketAddr, Socket>,
    locals: BTreeMap<Socket, SocketAddr>,
    /// Ports of other programs.
    foreign: BTreeSet<SocketAddr>,
    /// The machine's answer to requests for a socket.
    pub(crate) mood: Mood,
    /// Sockets between two shards, with the datagrams that the kernel keeps for them.
    between: BTreeMap<RelayId, (SocketAddr, Waiting)>,
    /// Sockets asked for while opening takes its time.
    pub(crate) pending: VecDeque<(Socket, SocketAddr)>,
    /// Sockets that a process before this one asked for, and did not get.
    pub(crate) asked_before: BTreeSet<Socket>,
    /// Requests for sockets and the machine's answers, for tests that read them.
    pub(crate) log: Vec<(Socket, Talk)>,
}

/// Messages about a socket between server and machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// The server asks for it, bound here.
    Asked(SocketAddr),
    /// The machine answers.
    Answered(Result<(), OpenError>),
    /// A socket that was bound here did not arrive with its allocation.
    Stranded(SocketAddr),
}

/// Datagrams that were not read yet, each with its sender.
pub(crate) type Waiting = Vec<(SocketAddr, Vec<u8>)>;

/// How the machine treats requests for a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The socket is there at once, if the port is free.
    #[default]
    Willing,
    /// The answer takes its time.
    Slow,
    /// The socket cannot be opened.
    Refusing(OpenError),
}

impl Machine {
    /// Binds a socket.
    pub(crate) fn open(&mut self, socket: Socket, local: SocketAddr) -> Result<(), OpenError> {
        if let Mood::Refusing(why) = self.mood {
            return Err(why);
        }
        if self.foreign.contains(&local) || self.sockets.contains_key(&local) {
            return Err(OpenError::InUse);
        }
        let held = self.locals.insert(socket, local);
        assert_eq!(held, None, "a relay socket is opened once");
        self.sockets.insert(local, socket);
        Ok(())
    }

    /// Closes a socket. One that is still being opened has nothing to close yet, and one whose
    /// opening was given up may be closed twice.
    pub(crate) fn close(&mut self, socket: Socket) {
        if let Some(local) = self.locals.remove(&socket) {
            self.sockets.remove(&local);
        }
    }

    /// All open sockets leave their shards, for those of the next process, which have to ask for
    /// the others again.
    pub(crate) fn hand_over(&mut self) {
        let open: Vec<Socket> = self.locals.keys().copied().collect();
        for socket in open {
            self.depart(socket);
        }
        let waiting = std::mem::take(&mut self.pending);
        self.asked_before = waiting.into_iter().map(|(socket, _)| socket).collect();
    }

    /// A socket leaves a shard for another one.
    pub(crate) fn depart(&mut self, socket: Socket) {
        let local = self.locals.remove(&socket);
        let local = local.expect("only an open socket travels");
        self.sockets.remove(&local);
        self.between.insert(socket.1, (local, Waiting::new()));
    }

    /// A socket that left a shard under the id `was` comes to another one. Returns the address that
    /// it is bound to, and the datagrams that were sent to it meanwhile.
    pub(crate) fn adopt(&mut self, was: RelayId, socket: Socket) -> (SocketAddr, Waiting) {
        let (local, waiting) = self.between.remove(&was).expect("a socket that left");
        self.locals.insert(socket, local);
        self.sockets.insert(local, socket);
        (local, waiting)
    }

    /// A socket that left a shard arrives at none: it is closed.
    /// Returns the address that it was bound to.
    pub(crate) fn give_up(&mut self, was: RelayId) -> Option<SocketAddr> {
        self.between.remove(&was).map(|(local, _)| local)
    }

    /// Keeps a datagram for a socket that is between two shards; returns whether there is such a
    /// socket.
    pub(crate) fn wait(&mut self, from: SocketAddr, local: SocketAddr, payload: &[u8]) -> bool {
        let mut between = self.between.values_mut();
        let found = between.find(|(bound, _)| *bound == local);
        if let Some((_, waiting)) = found {
            waiting.push((from, payload.to_vec()));
            return true;
        }
        false
    }

    /// The socket that receives datagrams to a port.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<Socket> {
        self.sockets.get(&local).copied()
    }

    /// The address that a socket is bound to.
    pub(crate) fn local(&self, socket: Socket) -> Option<SocketAddr> {
        self.locals.get(&socket).copied()
    }

    /// The addresses that relay sockets are bound to, in order.
    pub(crate) fn bound(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.keys().copied()
    }

    /// How many relay sockets there are.
    pub(crate) fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Another program takes a port.
    pub(crate) fn occupy(&mut self, local: SocketAddr) {
        assert!(!self.sockets.contains_key(&local), "the port is ours");
        self.foreign.insert(local);
    }

    /// The other program is gone.
    pub(crate) fn vacate(&mut self, local: SocketAddr) {
        self.foreign.remove(&local);
    }

    /// All other programs are gone.
    pub(crate) fn vacate_all(&mut self) {
        self.foreign.clear();
    }

    /// Whether another program has a port.
    pub(crate) fn is_foreign(&self, local: SocketAddr) -> bool {
        self.foreign.contains(&local)
    }
}
