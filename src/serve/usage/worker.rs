//! The thread that counts: it takes reports, looks at the allocations, keeps the book, writes and posts.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::admin::api::usage::{self as shown, Filter};
use ::usage::{Book, Cap, Over, Progress, Then};
use net::{Cursor, Running};
use relay::{Capped, Caps, Listed, Selection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use super::answer::answer;
use super::notices;
use super::outlets::Outlets;
use super::tap::{Fact, Message, Stats, traffic};
use super::webhook::now;
use crate::config::{self, Config};

pub(super) struct Worker {
    running: Arc<Running>,
    stats: Arc<Stats>,
    config: config::Usage,
    caps: Vec<Cap>,
    /// The users and realms over them.
    over: Vec<Over>,
    /// The caps as the shards were told.
    told: Caps,
    book: Book,
    outlets: Outlets,
    /// While there is a look: allocations that were reported to be gone since a list was asked for.
    gone: Option<HashSet<String>>,
    next_look: Instant,
    next_update: Instant,
    stopping: Option<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        directory: Option<PathBuf>,
        running: Arc<Running>,
        stats: Arc<Stats>,
    ) -> Self {
        let usage = config.usage.clone();
        let run = format!("{:016x}", rand::random::<u64>());
        Self {
            running,
            caps: config.caps.clone(),
            over: Vec::new(),
            told: Caps::default(),
            book: Book::new(run, now()),
            outlets: Outlets::new(usage.clone(), directory, Arc::clone(&stats)),
            gone: None,
            next_look: Instant::now(),
            next_update: Instant::now() + usage.every,
            config: usage,
            stats,
            stopping: None,
        }
    }

    /// Begins the thread.
    pub(super) fn start(
        self,
        queue: mpsc::Receiver<Message>,
        caps: watch::Receiver<Vec<Cap>>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("usage".to_owned());
        thread.spawn(move || {
            runtime.block_on(self.work(queue, caps));
            // A resolver may hang.
            runtime.shutdown_background();
        })?;
        Ok(())
    }

    async fn work(
        mut self,
        mut queue: mpsc::Receiver<Message>,
        mut caps: watch::Receiver<Vec<Cap>>,
    ) {
        self.outlets.keep(&mut self.book);
        // A user over a cap before the restart is over it still.
        self.judge().await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.stopping.is_none() {
            tokio::select! {
                message = queue.recv() => match message {
                    Some(message) => {
                        self.take(message);
                        self.take_waiting(&mut queue);
                    }
                    None => return,
                },
                Ok(()) = caps.changed() => self.follow(caps.borrow_and_update().clone()),
                answer = self.outlets.answered() => self.outlets.posted(answer, &mut self.book),
                _ = ticks.tick() => self.tick(&mut queue).await,
            }
        }
        self.finish().await;
    }

    /// Takes what waits in the queue.
    fn take_waiting(&mut self, queue: &mut mpsc::Receiver<Message>) {
        // Not those that come meanwhile, of which there may be no end.
        for _ in 0..queue.len() {
            if let Ok(message) = queue.try_recv() {
                self.take(message);
            }
        }
        self.outlets.write(&mut self.book);
    }

    fn take(&mut self, message: Message) {
        self.turn();
        match message {
            Message::Started(fact) => {
                let whose = self.whose(&fact);
                let id = whose.allocation.clone();
                let event = self.book.started(now(), whose);
                self.outlets.tell(&event);
                let book = &self.book;
                self.outlets.note(|journal| journal.started(book, &id));
            }
            Message::Moved { was, is } => {
                let (was, is) = (was.to_string(), is.to_string());
                self.book.moved(&was, &is);
                self.outlets.note(|journal| journal.moved(&was, &is));
                self.note_gone(was);
            }
            Message::Ended(fact, progress, cause) => {
                let whose = self.whose(&fact);
                self.note_gone(whose.allocation.clone());
                let event = self
                    .book
                    .ended(now(), whose.clone(), progress, cause.name());
                self.outlets.tell(&event);
                self.outlets.note(|journal| journal.ended(&whose, progress));
            }
            // The asker may be gone.
            Message::Asked(filter, answer) => drop(answer.send(self.answer(&filter))),
            Message::Stop(done) => self.stopping = Some(done),
        }
    }

    /// The configuration was read again, as also whoever moves the file away may want.
    fn follow(&mut self, caps: Vec<Cap>) {
        self.caps = caps;
        self.next_look = Instant::now();
        self.outlets.reopen();
    }

    /// Does all that is due once a second.
    async fn tick(&mut self, queue: &mut mpsc::Receiver<Message>) {
        self.turn();
        self.outlets.keep(&mut self.book);
        if Instant::now() >= self.next_look {
            self.next_look = Instant::now() + self.config.every.min(LOOK);
            self.look(queue).await;
        }
        self.outlets.write(&mut self.book);
        self.outlets.post(&mut self.book);
        self.outlets.show();
    }

    /// Begins a new month, if it is time.
    fn turn(&mut self) {
        if self.book.turn(now()) {
            self.outlets.rewrite(&self.book);
            // Nobody is over a cap any more.
            self.next_look = Instant::now();
        }
    }

    /// Looks at all allocations, by pages.
    async fn look(&mut self, queue: &mut mpsc::Receiver<Message>) {
        let mut next = Some(Cursor::default());
        let mut is_whole = true;
        while let Some(from) = next {
            self.gone = Some(HashSet::new());
            let page = self.running.list(&Selection::default(), from, PAGE).await;
            // Reports from before the list are in the queue by now.
            self.take_waiting(queue);
            if self.stopping.is_some() {
                return;
            }
            is_whole &= page.silent.is_empty();
            page.listed.into_iter().for_each(|listed| self.see(listed));
            next = page.next;
        }
        self.gone = None;
        if is_whole {
            let events = self.book.missing(now());
            events.iter().for_each(|event| self.outlets.tell(event));
        }
        if Instant::now() >= self.next_update {
            self.next_update = Instant::now() + self.config.every;
            let events = self.book.updates(now());
            events.iter().for_each(|event| self.outlets.tell(event));
            self.outlets.rewrite(&self.book);
        }
        self.judge().await;
    }

    fn see(&mut self, listed: Listed) {
        let progress = Progress {
            seconds: listed.age.as_secs(),
            sent: traffic(listed.sent),
            received: traffic(listed.received),
        };
        let whose = self.whose(&Fact {
            allocation: listed.id,
            client: listed.client,
            realm: listed.realm,
            user: listed.user,
            credential: listed.credential,
        });
        // It has ended, or has another id, since it was listed.
        let id = &whose.allocation;
        if self.gone.as_ref().is_some_and(|gone| gone.contains(id)) {
            return;
        }
        if let Some(event) = self.book.seen(now(), whose, progress) {
            self.outlets.tell(&event);
        }
    }

    /// Finds who is over a cap, and has the shards follow.
    async fn judge(&mut self) {
        for (over, event) in self.book.news(now(), &self.caps) {
            notices::capped(&over, self.book.ledger().month());
            self.outlets.tell(&event);
        }
        self.over = self.book.ledger().over(&self.caps);
        self.stats.show_over(&self.over);
        let mut caps = Caps::default();
        for over in &self.over {
            let capped = match over.then {
                Then::Warn => continue,
                Then::Throttle(rate) => Capped {
                    is_refused: false,
                    rate: Some(rate),
                },
                Then::Refuse => Capped {
                    is_refused: true,
                    rate: None,
                },
            };
            let user = over.user.as_deref().map(Arc::from);
            caps.add(&Arc::from(over.realm.as_str()), user.as_ref(), capped);
        }
        if caps != self.told {
            let silent = self.running.cap(caps.clone()).await;
            // Shards that did not answer are told again.
            if silent.is_empty() {
                self.told = caps;
            } else {
                warn!(
                    ?silent,
                    "cap.unheard: shards stand still, their allocations keep the bandwidth they have"
                );
            }
        }
    }

    fn whose(&self, fact: &Fact) -> ::usage::Whose {
        fact.whose(self.book.run(), self.config.addresses)
    }

    fn note_gone(&mut self, allocation: String) {
        if let Some(gone) = &mut self.gone {
            gone.insert(allocation);
        }
    }

    fn answer(&mut self, filter: &Filter) -> shown::Usage {
        shown::Usage {
            events: self.outlets.show(),
            ..answer(self.book.ledger(), &self.over, filter)
        }
    }

    /// Ends all that is left, and writes everything down.
    async fn finish(&mut self) {
        let events = self.book.end_all(now(), relay::EndCause::Shutdown.name());
        events.iter().for_each(|event| self.outlets.tell(event));
        self.outlets.finish(&mut self.book).await;
        if let Some(done) = self.stopping.take() {
            // The server may have ended without waiting.
            let _ = done.send(());
        }
    }
}

const TICK: Duration = Duration::from_secs(1);
/// How often the allocations are looked at, unless they tell more often. A cap is seen so late.
const LOOK: Duration = Duration::from_secs(10);
/// Allocations that are asked for at once.
const PAGE: usize = 4096;
