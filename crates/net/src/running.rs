//! The shards together: start and stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use relay::{Counters, Shared, Transport};
use tokio::sync::{mpsc, watch};

use crate::admission::Admission;
use crate::counters::NetCounters;
use crate::shard::{self, Blueprint};
use crate::{Fault, Options, bind};

/// Shards at work.
#[derive(Debug)]
pub struct Running {
    listeners: Vec<(Transport, SocketAddr)>,
    shards: Vec<Shard>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

#[derive(Debug)]
struct Shard {
    thread: JoinHandle<io::Result<(Counters, NetCounters)>>,
    heartbeat: Arc<AtomicU64>,
    /// The heartbeat when it was last looked at.
    seen: u64,
}

/// A shard that ended although nobody told it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one, from 0.
    pub shard: usize,
}

/// Binds the listeners and starts the shards. When it returns, clients are served.
///
/// # Errors
/// [`Fault`], if a listener cannot be bound or a thread cannot be made.
pub fn start(options: Options) -> Result<Running, Fault> {
    let bound = bind::listeners(&options.listeners, options.shards.max(1))?;
    let listeners = bound[0]
        .iter()
        .map(|bound| (bound.transport, bound.listen))
        .collect();
    let config = Arc::new(options.config);
    let shared = Arc::new(Shared::new(&config));
    let admission = Arc::new(Admission::new(&options.streams));
    let (stop, stopped) = watch::channel(false);
    let (note_end, ended) = mpsc::unbounded_channel();

    let mut shards = Vec::new();
    for (number, bound) in bound.into_iter().enumerate() {
        let heartbeat = Arc::new(AtomicU64::new(0));
        let blueprint = Blueprint {
            bound,
            config: Arc::clone(&config),
            shared: Arc::clone(&shared),
            streams: options.streams,
            admission: Arc::clone(&admission),
            report: Arc::clone(&options.report),
            stop: stopped.clone(),
            heartbeat: Arc::clone(&heartbeat),
        };
        let note = EndNote {
            shard: number,
            note_end: note_end.clone(),
        };
        let builder = thread::Builder::new().name(format!("shard-{number}"));
        let thread = builder.spawn(move || {
            let _note = note;
            shard::run(blueprint)
        });
        shards.push(Shard {
            thread: thread.map_err(Fault::Shard)?,
            heartbeat,
            seen: 0,
        });
    }
    Ok(Running {
        listeners,
        shards,
        stop,
        ended,
    })
}

impl Running {
    /// Where clients come in, with real ports.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.listeners
    }

    /// Waits until a shard ends by itself, which only a fault in this program can bring about.
    /// The others go on. `None` once all have ended.
    pub async fn ended(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }

    /// Whether every shard that has not ended has turned since the last call. Shards turn at least
    /// once a second; one that does not is caught in a loop or a blocking call.
    pub fn is_turning(&mut self) -> bool {
        let mut all = true;
        for shard in &mut self.shards {
            let heartbeat = shard.heartbeat.load(Ordering::Relaxed);
            let turned = std::mem::replace(&mut shard.seen, heartbeat) != heartbeat;
            all &= turned || shard.thread.is_finished();
        }
        all
    }

    /// Stops accepting, ends every allocation with a report, and waits for the shards. Returns
    /// what they did in all.
    pub fn stop(self) -> (Counters, NetCounters) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
        let mut sum = (Counters::default(), NetCounters::default());
        for shard in self.shards {
            if let Ok(Ok((relay, net))) = shard.thread.join() {
                sum.0.add(&relay);
                sum.1.add(&net);
            }
        }
        sum
    }
}

/// Tells that a shard's thread ended, also by a panic.
struct EndNote {
    shard: usize,
    note_end: mpsc::UnboundedSender<Ended>,
}

impl Drop for EndNote {
    fn drop(&mut self) {
        // Nobody listens while the process stops.
        let _ = self.note_end.send(Ended { shard: self.shard });
    }
}
