//! The shards together: start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
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
    shards: Vec<JoinHandle<std::io::Result<(Counters, NetCounters)>>>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedReceiver<Ended>,
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
        let blueprint = Blueprint {
            bound,
            config: Arc::clone(&config),
            shared: Arc::clone(&shared),
            streams: options.streams,
            admission: Arc::clone(&admission),
            report: Arc::clone(&options.report),
            stop: stopped.clone(),
        };
        let note = EndNote {
            shard: number,
            note_end: note_end.clone(),
        };
        let thread = thread::Builder::new().name(format!("shard-{number}"));
        let shard = thread.spawn(move || {
            let _note = note;
            shard::run(blueprint)
        });
        shards.push(shard.map_err(Fault::Shard)?);
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

    /// Stops accepting, ends every allocation with a report, and waits for the shards. Returns
    /// what they did in all.
    pub fn stop(self) -> (Counters, NetCounters) {
        // Shards that are gone need not hear it.
        let _ = self.stop.send(true);
        let mut sum = (Counters::default(), NetCounters::default());
        for shard in self.shards {
            if let Ok(Ok((relay, net))) = shard.join() {
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
