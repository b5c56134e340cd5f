//! The relay sockets of a shard.

use std::io;

use hashbrown::HashMap;
use relay::RelayId;
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::sys;

/// Relay sockets by their id. The map is their only owner: removing one closes it at once, so that
/// its port is free when the core says so.
#[derive(Debug, Default)]
pub(crate) struct Relays(HashMap<RelayId, Relay, ahash::RandomState>);

#[derive(Debug)]
struct Relay {
    socket: AsyncFd<Socket>,
    /// Receives what peers send.
    task: Option<AbortHandle>,
}

impl Relays {
    /// Adds a socket that was bound; must be called within the shard's runtime.
    pub(crate) fn insert(&mut self, id: RelayId, socket: Socket) -> io::Result<()> {
        let socket = sys::register(socket)?;
        self.0.insert(id, Relay { socket, task: None });
        Ok(())
    }

    /// The task that ends with the socket.
    pub(crate) fn set_task(&mut self, id: RelayId, task: AbortHandle) {
        if let Some(relay) = self.0.get_mut(&id) {
            relay.task = Some(task);
        }
    }

    pub(crate) fn get(&self, id: RelayId) -> Option<&AsyncFd<Socket>> {
        self.0.get(&id).map(|relay| &relay.socket)
    }

    /// Takes a socket out, open and unread, for another shard.
    pub(crate) fn take(&mut self, id: RelayId) -> Option<Socket> {
        let Relay { socket, task } = self.0.remove(&id)?;
        if let Some(task) = task {
            task.abort();
        }
        Some(socket.into_inner())
    }

    pub(crate) fn close(&mut self, id: RelayId) {
        if let Some(task) = self.0.remove(&id).and_then(|relay| relay.task) {
            task.abort();
        }
    }
}
