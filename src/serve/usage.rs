//! `[usage]` and `[[cap]]`: who used how much, told to others and held within caps.
//!
//! Shards put what begins and ends into a bounded queue and go on; all else is done by a thread of its own,
//! for a disk or a resolver may take its time. It looks at the allocations that there are every few
//! seconds, by pages, and so finds what the queue had no room for.

mod answer;
mod notices;
mod outlets;
mod tap;
mod webhook;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::admin::api::usage::{self as shown, Filter, Source};
use ::admin::metrics;
use ::usage::Cap;
use net::Running;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::error;

use crate::config::Config;
pub(super) use tap::Tap;
use tap::{Message, Stats};
use worker::Worker;

/// The control side's part of it.
pub(super) struct Usage {
    tap: Arc<Tap>,
    stats: Arc<Stats>,
    /// The directory of what is kept, unless the configuration names one.
    state: Option<PathBuf>,
    /// The other end of the queue, until there is a thread.
    queue: Mutex<Option<mpsc::Receiver<Message>>>,
    caps: watch::Sender<Vec<Cap>>,
}

impl Usage {
    /// `state` is the state directory.
    pub(super) fn new(state: Option<PathBuf>) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let stats = Arc::new(Stats::default());
        Self {
            tap: Arc::new(Tap::new(sender, Arc::clone(&stats))),
            stats,
            state: state.map(|state| state.join("usage")),
            queue: Mutex::new(Some(queue)),
            caps: watch::Sender::default(),
        }
    }

    /// The place where shards report.
    pub(super) fn tap(&self) -> Arc<Tap> {
        Arc::clone(&self.tap)
    }

    /// Follows a configuration, the first one or another. The thread begins when there is something to do.
    pub(super) fn follow(&self, config: &Config, running: &Arc<Running>) {
        self.caps.send_replace(config.caps.clone());
        if config.caps.is_empty() && !config.usage.is_told() {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.take() else {
            return;
        };
        self.tap.open();
        let worker = Worker::new(
            config,
            self.state.clone(),
            Arc::clone(running),
            Arc::clone(&self.stats),
        );
        if let Err(error) = worker.start(queue, self.caps.subscribe()) {
            error!(%error, "usage.failed: nothing is counted, for there is no thread for it");
        }
    }

    /// The source of the API's answers.
    pub(super) fn source(self: &Arc<Self>) -> Source {
        let own = Arc::clone(self);
        Arc::new(move |query| {
            let own = Arc::clone(&own);
            Box::pin(async move { own.ask(query).await })
        })
    }

    async fn ask(&self, query: Filter) -> Option<shown::Usage> {
        if !self.tap.is_open() {
            return Some(shown::Usage::default());
        }
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.tap.send(Message::Asked(query, answer)).await;
            answered.await.ok()
        };
        timeout(PATIENCE, asking).await.ok().flatten()
    }

    /// The numbers of it, for metrics.
    pub(super) fn sample(&self) -> metrics::Usage {
        self.stats.sample()
    }

    /// Writes down all that was reported, and tries once more to post it. To be called when the shards have ended.
    pub(super) async fn end(&self) {
        if !self.tap.is_open() {
            return;
        }
        let (done, ended) = oneshot::channel();
        let ending = async {
            self.tap.send(Message::Stop(done)).await;
            // A thread that is gone has ended, too.
            let _ = ended.await;
        };
        if timeout(PATIENCE, ending).await.is_err() {
            error!("usage.unfinished: the disk is too slow: the last reports may not be kept");
        }
    }
}

/// Reports that may wait: some megabytes, and more than come while a batch is written.
const QUEUE: usize = 32_768;
/// How long a query and the end of the server wait.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn neither_a_query_nor_the_end_of_the_server_waits_for_a_disk_that_stands_still() {
        let usage = Usage::new(None);
        usage.tap.open();
        // Nobody takes out of the queue.
        let queue = usage.queue.lock().unwrap().take();
        assert!(usage.ask(Filter::default()).await.is_none());
        usage.end().await;
        drop(queue);
    }
}
