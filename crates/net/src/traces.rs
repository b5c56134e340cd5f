//! Traces: the way of what a shard tells of clients to whoever asked for it.
//!
//! A shard waits for nobody: what a reader is too slow for is lost and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay::{Command, Places, Selection, Trace, TraceId, Traced};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::inbox::Post;
use crate::running::PLACES;
use crate::{Running, clock};

/// One thing that a trace told, and when it was, since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Duration,
    /// The event.
    pub traced: Traced,
}

/// A trace at work, in all shards. It ends when it is dropped.
#[derive(Debug)]
pub struct Tracing {
    id: TraceId,
    told: Receiver<Told>,
    lost: Arc<AtomicU64>,
    post: Arc<Post>,
    _place: OwnedSemaphorePermit,
}

impl Tracing {
    /// The next thing that is told; `None` once the shards have stopped.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// How many things could not be told since this was last asked, because too many waited.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // Nobody needs the answers.
        drop(self.post.ask(&Command::Untrace(self.id)));
    }
}

impl Running {
    /// Tells of what is meant from now on: at most [`TRACES`] at a time, `None` beyond.
    pub async fn trace(&self, of: &Selection, messages: bool) -> Option<Tracing> {
        let place = Arc::clone(&self.traces.places).try_acquire_owned().ok()?;
        let id = TraceId(self.traces.next.fetch_add(1, Ordering::Relaxed));
        let (sender, told) = channel(WAITING);
        let tracing = Tracing {
            id,
            told,
            lost: Arc::default(),
            post: Arc::clone(&self.post),
            _place: place,
        };
        let trace = Trace {
            id,
            of: of.clone(),
            messages,
        };
        let outlet = Outlet {
            id,
            told: sender,
            lost: Arc::clone(&tracing.lost),
        };
        for shard in 0..self.shards.len() {
            self.post.trace(shard, &trace, &outlet);
        }
        for shard in 0..self.shards.len() {
            self.follow(shard, id).await;
        }
        Some(tracing)
    }

    /// Has a shard look for the allocations that are meant already, a thousand places in one turn.
    async fn follow(&self, shard: usize, id: TraceId) {
        let mut next = Some(0);
        while let Some(from) = next.take() {
            let places = Places {
                from,
                count: PLACES,
            };
            let answered = self.post.ask_one(shard, Command::Follow(id, places));
            let Some(answered) = answered else {
                return;
            };
            if let Ok(Ok(relay::Answer::Tracing(more))) = timeout(Self::PATIENCE, answered).await {
                next = more;
            }
        }
    }
}

/// The places of traces.
#[derive(Debug)]
pub(crate) struct TracePlaces {
    places: Arc<Semaphore>,
    next: AtomicU64,
}

impl Default for TracePlaces {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(TRACES)),
            next: AtomicU64::new(0),
        }
    }
}

/// Where a shard puts what a trace tells.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    id: TraceId,
    told: Sender<Told>,
    lost: Arc<AtomicU64>,
}

/// The outlets of a shard.
#[derive(Debug, Default)]
pub(crate) struct Outlets(Vec<Outlet>);

impl Outlets {
    pub(crate) fn add(&mut self, outlet: Outlet) {
        self.0.push(outlet);
    }

    pub(crate) fn remove(&mut self, id: TraceId) {
        self.0.retain(|it| it.id != id);
    }

    /// Passes something on, or counts that it could not be.
    pub(crate) fn tell(&self, traced: Traced) {
        let Some(outlet) = self.0.iter().find(|it| it.id == traced.trace) else {
            return;
        };
        let at = clock::now().unix;
        if outlet.told.try_send(Told { at, traced }).is_err() {
            outlet.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many traces there may be at a time.
pub const TRACES: usize = 4;

/// How many things wait for the reader of a trace at most.
const WAITING: usize = 1024;
