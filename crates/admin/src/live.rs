//! The server as it is watched: what it does at this moment, who uses it, and the last hour.
//!
//! Counters are read every five seconds, for the history. The sessions are listed only while somebody
//! looks: a [`Look`] has each with what it did since the one before.

mod history;
mod look;
mod moment;
mod top;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use net::{Cursor, Running};
use relay::Selection;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::metrics::Source;
use history::Instants;
pub use history::Point;
use look::Before;
pub use look::{Look, Rate, Row};
pub(crate) use moment::is_refusal;
pub use moment::{Certificate, Count, Limit, Moment, Quality, Shard};
pub use top::{By, Sort, Talker, Top, Wanted};

/// The server as it is watched. One task keeps it ([`Live::keep`]); many may look.
pub struct Live {
    running: Arc<Running>,
    source: Source,
    /// The last hour.
    history: Mutex<Instants>,
    /// How many look.
    lookers: watch::Sender<usize>,
    /// The last look, while somebody looks.
    seen: watch::Sender<Option<Arc<Look>>>,
}

impl Live {
    /// Watches these shards; `source` says the rest of the server.
    pub fn new(running: Arc<Running>, source: Source) -> Self {
        Self {
            running,
            source,
            history: Mutex::default(),
            lookers: watch::Sender::new(0),
            seen: watch::Sender::new(None),
        }
    }

    /// Keeps the history, and looks while somebody does. It never ends.
    pub async fn keep(&self) {
        let mut points = interval(POINT);
        points.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut lookers = self.lookers.subscribe();
        loop {
            tokio::select! {
                _ = points.tick() => self.remember(),
                () = somebody(&mut lookers) => self.look_on(&mut points).await,
            }
        }
    }

    /// Begins to look. The server of lookers bounds their number.
    pub fn look(self: &Arc<Self>) -> Looking {
        self.lookers.send_modify(|lookers| *lookers += 1);
        Looking {
            live: Arc::clone(self),
            seen: self.seen.subscribe(),
        }
    }

    /// The points of the last hour that are younger than this one, by its time in seconds since the Unix
    /// epoch; the oldest first.
    pub fn points_after(&self, time: u64) -> Vec<Point> {
        self.instants().after(time)
    }

    /// Looks again and again, until nobody has for a while.
    async fn look_on(&self, points: &mut Interval) {
        let mut before = Before::default();
        let mut next = Instant::now();
        let mut last_wanted = next;
        loop {
            tokio::select! {
                _ = points.tick() => self.remember(),
                () = sleep_until(next) => {
                    let began = Instant::now();
                    if *self.lookers.borrow() > 0 {
                        last_wanted = began;
                    } else if began - last_wanted > LINGER {
                        break;
                    }
                    let is_first = before.is_empty();
                    let look = self.seen_now(&mut before).await;
                    // Of the first there are no rates.
                    if !is_first {
                        self.seen.send_replace(Some(Arc::new(look)));
                    }
                    let pause = if is_first { FIRST } else { EVERY };
                    // A list of very many sessions shall not be all that this thread does.
                    next = (began + pause).max(Instant::now() + began.elapsed() * 10);
                }
            }
        }
        self.seen.send_replace(None);
    }

    async fn seen_now(&self, before: &mut Before) -> Look {
        let everything = Selection::default();
        let (mut listed, mut silent) = (Vec::new(), Vec::new());
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = self.running.list(&everything, cursor, PAGE).await;
            listed.extend(page.listed);
            silent.extend(page.silent);
            next = page.next;
        }
        before.look(SystemTime::now(), &(self.source)(), listed, silent)
    }

    fn remember(&self) {
        let (relay, net) = self.running.snapshot();
        let load = self.running.load();
        let now = SystemTime::now();
        self.instants().add(now, &relay, &net, load.allocations);
    }

    fn instants(&self) -> MutexGuard<'_, Instants> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until somebody looks.
async fn somebody(lookers: &mut watch::Receiver<usize>) {
    // The sender lives as long as what is watched.
    let _ = lookers.wait_for(|&lookers| lookers > 0).await;
}

/// Somebody who looks, until it is dropped.
pub struct Looking {
    live: Arc<Live>,
    seen: watch::Receiver<Option<Arc<Look>>>,
}

impl Looking {
    /// The latest look, as soon as there is one.
    pub async fn latest(&mut self) -> Option<Arc<Look>> {
        let seen = self.seen.wait_for(Option::is_some).await;
        seen.ok().and_then(|seen| seen.clone())
    }

    /// The next look. Those that came while nobody asked are left out.
    pub async fn next(&mut self) -> Option<Arc<Look>> {
        self.seen.changed().await.ok()?;
        self.latest().await
    }

    /// The server that is watched.
    pub fn live(&self) -> &Live {
        &self.live
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.live.lookers.send_modify(|lookers| *lookers -= 1);
    }
}

/// How far points of the history are apart.
const POINT: Duration = Duration::from_secs(5);
/// How far looks are apart.
const EVERY: Duration = Duration::from_secs(2);
/// How far the second look is from the first.
const FIRST: Duration = Duration::from_millis(500);
/// How long looks go on when nobody does any more: a script that asks again and again finds rates.
const LINGER: Duration = Duration::from_secs(10);
/// Sessions that are listed at once.
const PAGE: usize = 1000;
