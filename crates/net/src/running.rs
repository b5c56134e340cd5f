//! The shards together, as the control side sees them: commands, counters, the end.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use relay::{
    AllocationId, Answer, Command, Counters, Listed, Places, RelayAddress, Rules, Selection,
    Shared, Shown,
};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Transports;
use crate::admission::Admission;
use crate::counters::NetCounters;
use crate::inbox::Post;
use crate::published::Published;

/// Shards at work. Tasks of the control side may share it. Its futures need a tokio runtime with
/// time; no shard waits for them.
#[derive(Debug)]
pub struct Running {
    pub(crate) listeners: Vec<(Transports, SocketAddr)>,
    pub(crate) shards: Vec<Thread>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) admission: Arc<Admission>,
    /// The rules that hold.
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    /// Held while rules change.
    pub(crate) reloading: Mutex<()>,
    pub(crate) post: Arc<Post>,
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

/// The answers of the shards to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Of every shard that answered, in their order.
    pub given: Vec<Answer>,
    /// The shards that did not within [`Running::PATIENCE`], from 0: they stand still, or failed over
    /// the command.
    pub silent: Vec<usize>,
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
    /// Whether no new allocation is granted.
    pub is_draining: bool,
}

/// A place among the allocations of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The shard, from 0.
    pub shard: usize,
    /// The place there.
    pub place: usize,
}

/// Some of the allocations, by [`Running::list`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The allocations.
    pub listed: Vec<Listed>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// The shards that did not answer, from 0.
    pub silent: Vec<usize>,
}

/// The outcome of [`Running::end`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many allocations.
    pub allocations: usize,
    /// The shards that did not answer, from 0.
    pub silent: Vec<usize>,
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
    pub fn listeners(&self) -> &[(Transports, SocketAddr)] {
        &self.listeners
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

    /// How long [`Running::command`] waits for shards. A shard answers within milliseconds, unless
    /// it stands still or begins anew.
    pub const PATIENCE: Duration = Duration::from_secs(3);

    /// Asks every shard, and waits for all of them together for [`Running::PATIENCE`]. A shard that
    /// stands still comes to the command when it goes on, or in its next life. An allocation that
    /// moves from one shard to another at this moment may be missed: [`Running::end`] asks again.
    pub async fn command(&self, command: Command) -> Answers {
        let deadline = Instant::now() + Self::PATIENCE;
        let mut answers = Answers::default();
        for (shard, answered) in self.post.ask(&command).into_iter().enumerate() {
            match timeout_at(deadline, answered).await {
                Ok(Ok(answer)) => answers.given.push(answer),
                Ok(Err(_)) | Err(_) => answers.silent.push(shard),
            }
        }
        answers
    }

    /// The allocations that are meant, from a place on: at least one and about `most`, unless there are
    /// no more. A shard looks at a thousand places in one turn and then goes on with its packets.
    /// An allocation that is opened or ended meanwhile may be listed or not.
    pub async fn list(&self, selection: &Selection, from: Cursor, most: usize) -> Page {
        let mut page = Page::default();
        let mut next = Some(from);
        while let Some(Cursor { shard, place }) = next
            && page.listed.len() < most
        {
            let places = Places {
                from: place,
                count: PLACES,
            };
            let list = Command::List(selection.clone(), places);
            let Some(answered) = self.post.ask_one(shard, list) else {
                next = None;
                break;
            };
            let mut more = None;
            match timeout(Self::PATIENCE, answered).await {
                Ok(Ok(Answer::Allocations(listed, place))) => {
                    page.listed.extend(listed);
                    more = place;
                }
                Ok(Ok(Answer::Adopted | Answer::Ended(_) | Answer::Shown(_)) | Err(_)) | Err(_) => {
                    page.silent.push(shard);
                }
            }
            next = Some(match more {
                Some(place) => Cursor { shard, place },
                None => Cursor {
                    shard: shard + 1,
                    place: 0,
                },
            });
        }
        page.next = next;
        page
    }

    /// All about one allocation, if there is one of this id.
    pub async fn show(&self, id: AllocationId) -> Option<Shown> {
        let answers = self.command(Command::Show(id)).await;
        answers.given.into_iter().find_map(|answer| match answer {
            Answer::Shown(shown) => shown.map(|shown| *shown),
            Answer::Adopted | Answer::Allocations(..) | Answer::Ended(_) => None,
        })
    }

    /// Ends allocations in every shard, also those that move meanwhile.
    pub async fn end(&self, selection: Selection) -> Ended {
        self.end_by(Command::End(selection)).await
    }

    /// Ends what is relayed from an address that has left the host, likewise: [`Command::Lose`].
    pub async fn lose(&self, address: RelayAddress) -> Ended {
        self.end_by(Command::Lose(address)).await
    }

    async fn end_by(&self, command: Command) -> Ended {
        let mut ended = Ended::default();
        loop {
            let answers = self.command(command.clone()).await;
            let more = answers.given.iter().map(|answer| match answer {
                Answer::Ended(count) => *count,
                Answer::Adopted | Answer::Allocations(..) | Answer::Shown(_) => 0,
            });
            let more: usize = more.sum();
            ended.allocations += more;
            ended.silent = answers.silent;
            if more == 0 {
                return ended;
            }
        }
    }

    /// From now on these rules hold, in every shard and in each that begins anew. What was granted
    /// lives on, but for permissions and channels of peers that the policy denies now. Returns when
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

    /// How far limits are used.
    pub fn load(&self) -> Load {
        let [connections, most_connections] = self.admission.load();
        Load {
            allocations: self.allocations(),
            ports_taken: self.shared.ports.taken(),
            ports: self.shared.ports.count(),
            connections,
            most_connections,
            is_draining: self.shared.is_draining(),
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

/// How many places a shard looks at in one turn: some ten microseconds.
const PLACES: usize = 1024;

#[cfg(test)]
mod tests;
