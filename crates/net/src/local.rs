//! The state that the tasks of a shard's thread share.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::crossings::Exits;
use crate::shard::Shard;
use crate::sys::Batch;
use crate::tls::Room;

/// A shard and the buffers of its thread.
pub(crate) struct Local {
    pub(crate) shard: RefCell<Shard>,
    /// The buffers that datagrams are received into.
    pub(crate) batch: RefCell<Batch>,
    /// Where data of other shards is read from.
    pub(crate) exits: RefCell<OwnedMutexGuard<Exits>>,
    /// The buffer that streams are read into.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// Where TLS sessions encrypt and decrypt.
    pub(crate) room: Rc<Room>,
    /// Notified when a task panicked, or a listener cannot be read any more. State that it left half done cannot be trusted, so the shard ends.
    pub(crate) panicked: Notify,
}

pub(crate) type Handle = Rc<Local>;

impl Local {
    pub(crate) fn new(shard: Shard, exits: OwnedMutexGuard<Exits>) -> Self {
        Self {
            shard: RefCell::new(shard),
            batch: RefCell::new(Batch::new()),
            exits: RefCell::new(exits),
            scratch: RefCell::new(vec![0; SCRATCH]),
            room: Rc::new(Room::new()),
            panicked: Notify::new(),
        }
    }
}

/// Notifies the shard when the task that holds it panics. The runtime would go on without that task
/// and everything that it held.
pub(crate) struct Alarm(Handle);

impl Alarm {
    /// For a task of this shard.
    pub(crate) fn of(shard: &Handle) -> Self {
        Self(Rc::clone(shard))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.notify_one();
        }
    }
}

/// The most bytes in one read of a stream.
const SCRATCH: usize = 64 * 1024;
