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

/// A relay socket.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) socket: AsyncFd<Socket>,
    /// Receives what peers send.
    task: Option<AbortHandle>,
    /// Whether losses may wait to be taken.
    pub(crate) has_losses: bool,
}

impl Relays {
    /// Adds a socket that was bound; must be called within the shard's runtime.
    pub(crate) fn insert(&mut self, id: RelayId, socket: Socket) -> io::Result<()> {
        let socket = sys::register(socket)?;
        let relay = Relay {
            socket,
            task: None,
            has_losses: false,
        };
        self.0.insert(id, relay);
        Ok(())
    }

    /// The task that ends with the socket.
    pub(crate) fn set_task(&mut self, id: RelayId, task: AbortHandle) {
        if let Some(relay) = self.0.get_mut(&id) {
            relay.task = Some(task);
        }
    }

    /// Losses may wait at a socket, although no call on it tells so.
    pub(crate) fn note_losses(&mut self, id: RelayId) {
        if let Some(relay) = self.0.get_mut(&id) {
            relay.has_losses = true;
        }
    }

    pub(crate) fn get_mut(&mut self, id: RelayId) -> Option<&mut Relay> {
        self.0.get_mut(&id)
    }

    /// Takes a socket out, open and unread, for another shard.
    pub(crate) fn take(&mut self, id: RelayId) -> Option<Socket> {
        let Relay { socket, task, .. } = self.0.remove(&id)?;
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
