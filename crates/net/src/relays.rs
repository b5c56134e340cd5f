//! The relay sockets of a shard.

use std::io;

use relay::RelayId;
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::sys;

/// Relay sockets, each in the place that [`RelayId::index`] gives it. The list is their only owner:
/// taking one out closes it at once, so that its port is free when the core says so.
#[derive(Debug, Default)]
pub(crate) struct Relays(Vec<Option<Relay>>);

/// A relay socket.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Whose place it is: the next one in it has another id.
    id: RelayId,
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
        let index = id.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Relay {
            id,
            socket,
            task: None,
            has_losses: false,
        });
        Ok(())
    }

    /// The task that ends with the socket.
    pub(crate) fn set_task(&mut self, id: RelayId, task: AbortHandle) {
        if let Some(relay) = self.get_mut(id) {
            relay.task = Some(task);
        }
    }

    /// Losses may wait at a socket, although no call on it tells so.
    pub(crate) fn note_losses(&mut self, id: RelayId) {
        if let Some(relay) = self.get_mut(id) {
            relay.has_losses = true;
        }
    }

    pub(crate) fn get_mut(&mut self, id: RelayId) -> Option<&mut Relay> {
        let relay = self.0.get_mut(id.index())?.as_mut();
        relay.filter(|relay| relay.id == id)
    }

    /// Takes a socket out, open and unread, for another shard.
    pub(crate) fn take(&mut self, id: RelayId) -> Option<Socket> {
        let relay = self.remove(id)?;
        Some(relay.socket.into_inner())
    }

    pub(crate) fn close(&mut self, id: RelayId) {
        self.remove(id);
    }

    fn remove(&mut self, id: RelayId) -> Option<Relay> {
        let place = self.0.get_mut(id.index())?;
        let relay = place.take_if(|relay| relay.id == id)?;
        if let Some(task) = &relay.task {
            task.abort();
        }
        Some(relay)
    }
}
