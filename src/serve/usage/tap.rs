//! The tap: where shards report, and the queue behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::admin::api::usage::{self as shown, Filter};
use ::admin::metrics;
use ::usage::{Over, Progress, Traffic, Whose};
use relay::{AllocationId, ClientTuple, EndCause, Report};
use tokio::sync::{mpsc, oneshot};

/// Where shards report. It never waits.
pub(in crate::serve) struct Tap {
    is_open: AtomicBool,
    queue: mpsc::Sender<Message>,
    stats: Arc<Stats>,
}

/// An entry of the queue.
pub(super) enum Message {
    Started(Fact),
    Moved {
        was: AllocationId,
        is: AllocationId,
    },
    Ended(Fact, Progress, EndCause),
    Asked(Filter, oneshot::Sender<shown::Usage>),
    /// The server ends.
    Stop(oneshot::Sender<()>),
}

/// An allocation, and whose it is.
pub(super) struct Fact {
    pub(super) allocation: AllocationId,
    pub(super) client: ClientTuple,
    pub(super) realm: Arc<str>,
    pub(super) user: Arc<str>,
    pub(super) credential: Arc<str>,
}

/// Numbers that metrics show.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) delivered: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) waiting: AtomicU64,
    /// Reports that the queue had no room for.
    pub(super) missed: AtomicU64,
    /// Users and realms over a cap, in the order of [`KINDS`].
    pub(super) over: [AtomicU64; 3],
}

/// The consequences of caps.
pub(super) const KINDS: [&str; 3] = ["warn", "throttle", "refuse"];

impl Tap {
    pub(super) const fn new(queue: mpsc::Sender<Message>, stats: Arc<Stats>) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            queue,
            stats,
        }
    }

    /// From now on reports are of interest.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Whether they are.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Takes a report, on the thread of a shard.
    pub(in crate::serve) fn report(&self, report: &Report) {
        if self.is_open()
            && let Some(message) = message(report)
            && self.queue.try_send(message).is_err()
        {
            self.stats.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts an entry into the queue when there is room.
    pub(super) async fn send(&self, message: Message) {
        // Without a thread at the other end nobody waits for an answer in vain: the sender of it is dropped.
        let _ = self.queue.send(message).await;
    }
}

fn message(report: &Report) -> Option<Message> {
    match report {
        Report::Opened {
            allocation,
            client,
            realm,
            user,
            credential,
            ..
        } => Some(Message::Started(Fact {
            allocation: *allocation,
            client: *client,
            realm: Arc::clone(realm),
            user: Arc::clone(user),
            credential: Arc::clone(credential),
        })),
        Report::Ended {
            allocation,
            client,
            realm,
            user,
            credential,
            cause,
            age,
            sent,
            received,
            ..
        } => {
            let fact = Fact {
                allocation: *allocation,
                client: *client,
                realm: Arc::clone(realm),
                user: Arc::clone(user),
                credential: Arc::clone(credential),
            };
            let progress = Progress {
                seconds: age.as_secs(),
                sent: traffic(*sent),
                received: traffic(*received),
            };
            Some(Message::Ended(fact, progress, *cause))
        }
        Report::Moved {
            allocation, was, ..
        } => (was != allocation).then_some(Message::Moved {
            was: *was,
            is: *allocation,
        }),
        Report::Partner { .. }
        | Report::Refused { .. }
        | Report::Banned(_)
        | Report::Denied { .. } => None,
    }
}

impl Fact {
    /// As events have it.
    pub(super) fn whose(&self, run: &str, has_address: bool) -> Whose {
        Whose {
            run: run.to_owned(),
            allocation: self.allocation.to_string(),
            realm: self.realm.to_string(),
            user: self.user.to_string(),
            credential: self.credential.to_string(),
            transport: self.client.transport.name().to_owned(),
            client: has_address.then_some(self.client.client),
        }
    }
}

pub(super) const fn traffic(relay::Traffic { packets, bytes }: relay::Traffic) -> Traffic {
    Traffic { packets, bytes }
}

impl Stats {
    /// Shows who is over a cap.
    pub(super) fn show_over(&self, over: &[Over]) {
        for (kind, count) in KINDS.iter().zip(&self.over) {
            let of_kind = over.iter().filter(|it| it.then.name() == *kind);
            count.store(of_kind.count() as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn sample(&self) -> metrics::Usage {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [warn, throttle, refuse] = &self.over;
        let over = [warn, throttle, refuse].map(load);
        metrics::Usage {
            events: vec![
                ("delivered", load(&self.delivered)),
                ("dropped", load(&self.dropped)),
                ("missed", load(&self.missed)),
            ],
            waiting: load(&self.waiting),
            over: KINDS.into_iter().zip(over).collect(),
        }
    }
}
