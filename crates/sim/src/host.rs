//! The host that the servers run on: who has which UDP port of the relay addresses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use relay::{OpenError, RelayId};

/// A relay socket: the shard that has it, and its name there.
pub(crate) type Socket = (usize, RelayId);

/// Sockets and the ports they hold.
#[derive(Debug, Default)]
pub(crate) struct Host {
    sockets: BTreeMap<SocketAddr, Socket>,
    locals: BTreeMap<Socket, SocketAddr>,
    /// Ports of programs that are none of ours.
    foreign: BTreeSet<SocketAddr>,
    /// What the host answers to whoever asks for a socket.
    pub(crate) mood: Mood,
    /// Sockets asked for while opening takes its time.
    pub(crate) pending: VecDeque<(Socket, SocketAddr)>,
}

/// How the host treats who asks for a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The socket is there at once, if the port is free.
    #[default]
    Willing,
    /// It takes its time.
    Slow,
    /// There is none to be had.
    Refusing(OpenError),
}

impl Host {
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

    /// Who receives what is sent to a port.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<Socket> {
        self.sockets.get(&local).copied()
    }

    /// Where a socket is bound.
    pub(crate) fn local(&self, socket: Socket) -> Option<SocketAddr> {
        self.locals.get(&socket).copied()
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

    /// Whether another program has a port.
    pub(crate) fn is_foreign(&self, local: SocketAddr) -> bool {
        self.foreign.contains(&local)
    }
}
