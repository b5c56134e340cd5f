//! The shards together, as the control side sees them: rules, limits, counters, the end. What is asked of all
//! shards is in [`questions`], how listeners come and go in [`listening`].

mod listening;
mod questions;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use relay::{Allowance, Bans, Command, Counters, RealmLoad, Rules, Shared};
use tokio::sync::{Mutex, mpsc, watch};

use crate::admission::Admission;
use crate::counters::NetCounters;
use crate::inbox::Post;
use crate::listeners::Listeners;
use crate::published::Published;
use crate::traces::TracePlaces;
use crate::{Together, Transports};

pub(crate) use questions::PLACES;
pub use questions::{Answers, Cursor, Ended, Lately, Page};

/// Shards at work. Tasks of the control side may share it. Its futures need a tokio runtime with
/// time; no shard waits for them.
#[derive(Debug)]
pub struct Running {
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) together: Together,
    /// Bytes of receive buffer that each relay socket asks for.
    pub(crate) relay_buffer: Arc<AtomicUsize>,
    pub(crate) serves_tls: bool,
    pub(crate) shards: Vec<Thread>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) admission: Arc<Admission>,
    /// The rules that hold.
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    /// Held while rules change.
    pub(crate) reloading: Mutex<()>,
    pub(crate) post: Arc<Post>,
    pub(crate) traces: TracePlaces,
    pub(crate) failed: Mutex<mpsc::UnboundedReceiver<Failed>>,
}

/// The thread of a shard.
#[derive(Debug)]
pub(crate) struct Thread {
    /// Until it is waited for.
    pub(crate) handle: std::sync::Mutex<Option<JoinHandle<()>>>,
    pub(crate) published: Arc<Published>,
    pub(crate) heartbeat: Arc<AtomicU64>,
    /// The heartbeat when it was last looked at.
    pub(crate) seen: AtomicU64,
}

/// How far limits are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Allocations, of all shards.
    pub allocations: u32,
    /// Ports that allocations have or have reserved, over all relay addresses.
    pub ports_taken: usize,
    /// Ports that there are, over all relay addresses.
    pub ports: usize,
    /// Connections over TCP and TLS.
    pub connections: usize,
    /// How many of them there may be (`[tcp] connections`, or fewer by the limit of open files).
    pub most_connections: usize,
    /// Source prefixes that are banned (`[clients] ban-after`).
    pub bans: usize,
    /// Whether no new allocation is granted.
    pub is_draining: bool,
}

/// Limits that a reload may change, and how far those are used that [`Load`] says nothing of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most allocations (`[allocation] total`); `None` is without limit.
    pub allocations: Option<u32>,
    /// The realms, each with a limit of its own.
    pub realms: Vec<RealmLoad>,
    /// How many bytes a second answers to unauthenticated requests may be longer than these.
    pub unauthenticated: Allowance,
    /// How many they were since the start.
    pub unauthenticated_spent: u64,
}

/// A shard that failed, which only a fault in this program or a host without memory can bring about.
#[derive(Debug)]
pub struct Failed {
    /// Which one, from 0.
    pub shard: usize,
    /// Why.
    pub source: io::Error,
}

impl Running {
    /// Where clients come in, with real ports.
    pub fn listeners(&self) -> Vec<(Transports, SocketAddr)> {
        self.listeners.those(false)
    }

    /// Listeners that were taken away and serve the allocations on them to their end.
    pub fn retiring(&self) -> Vec<(Transports, SocketAddr)> {
        self.listeners.those(true)
    }

    /// The ways in which neighbours of one flow go together on this host.
    pub const fn together(&self) -> Together {
        self.together
    }

    /// Waits until a shard fails. Its clients have lost what they had; it begins anew by itself.
    pub async fn failed(&self) -> Failed {
        match self.failed.lock().await.recv().await {
            Some(failed) => failed,
            // Every thread has ended: none can fail any more.
            None => std::future::pending().await,
        }
    }

    /// Whether every shard has turned since the last call. Shards turn at least once a second; one
    /// that does not is caught in a loop or a blocking call, or fails again and again.
    pub fn is_turning(&self) -> bool {
        let has_turned = |shard: &Thread| {
            let heartbeat = shard.heartbeat.load(Ordering::Relaxed);
            shard.seen.swap(heartbeat, Ordering::Relaxed) != heartbeat
        };
        // Each is looked at, also behind one that has not turned.
        self.shards.iter().filter(|it| !has_turned(it)).count() == 0
    }

    /// From now on these rules hold, in every shard and in each that begins anew. Allocations
    /// live on, but for permissions and channels of peers that the policy denies now, and for
    /// allocations of clients that are not served any more. Returns when
    /// every shard follows them, or after [`Running::PATIENCE`] with the shards that did not answer, from 0. Those follow
    /// them when they go on, or in their next life.
    pub async fn reload(&self, mut rules: Rules) -> Vec<usize> {
        let _one_at_a_time = self.reloading.lock().await;
        rules.succeed(&self.rules.borrow());
        let rules = Arc::new(rules);
        // Before the shards are asked: one that fails in between begins with these.
        let earlier = self.rules.send_replace(Arc::clone(&rules));
        let silent = self.command(Command::Adopt(rules)).await.silent;
        // Kept until here, so that no shard is the last to have them: to free a hundred thousand
        // users takes longer than a packet may wait.
        drop(earlier);
        silent
    }

    /// From now on each relay socket that is opened asks for so many bytes of receive buffer.
    pub fn set_relay_buffer(&self, bytes: usize) {
        self.relay_buffer.store(bytes, Ordering::Relaxed);
    }

    /// From now on no shard grants a new allocation, and each serves those it has to the end. The
    /// listeners stay, also those of shards without clients: were one to go, the kernel would
    /// spread the others' clients anew.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// From now on the shards grant allocations again, if they were told to drain.
    pub fn undrain(&self) {
        self.shared.undrain();
    }

    /// Whether the shards were told to drain and the last allocation of all has ended.
    pub fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// The source prefixes that are banned, in all shards alike.
    pub fn bans(&self) -> &Bans {
        &self.shared.bans
    }

    /// How far limits are used.
    pub fn load(&self) -> Load {
        let [connections, most_connections] = self.admission.load();
        Load {
            allocations: self.allocations(),
            ports_taken: self.shared.ports.taken(),
            ports: self.shared.ports.count(),
            connections,
            most_connections,
            bans: self.shared.bans.count(),
            is_draining: self.shared.is_draining(),
        }
    }

    /// The limits of the rules that hold, and how far they are used.
    pub fn bounds(&self) -> Bounds {
        let rules = self.rules.borrow();
        Bounds {
            allocations: rules.limits.total,
            realms: rules.realms.load(&self.shared.quotas),
            unauthenticated: rules.unauthenticated,
            unauthenticated_spent: self.shared.budget.spent(),
        }
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> u32 {
        self.shared.quotas.total()
    }

    /// The counters of all shards together, over all their lives.
    pub fn snapshot(&self) -> (Counters, NetCounters) {
        let mut sum = (Counters::default(), NetCounters::default());
        for shard in &self.shards {
            let (relay, net) = shard.published.load().counters();
            sum.0.add(&relay);
            sum.1.add(&net);
        }
        sum
    }

    /// Stops accepting, ends every allocation with a report, and waits for the shards. Returns
    /// what they did in all.
    pub fn stop(&self) -> (Counters, NetCounters) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
        for shard in &self.shards {
            let handle = shard.handle.lock();
            if let Some(thread) = handle.unwrap_or_else(PoisonError::into_inner).take() {
                // One that panicked beyond its last life has told all it had to.
                let _ = thread.join();
            }
        }
        self.snapshot()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
    }
}

#[cfg(test)]
mod tests;
