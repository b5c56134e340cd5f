//! Where events go, and the book is kept: the file, the spool with the webhook behind it, the journal. Whatever
//! fails of them is said once, and tried again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::admin::api::usage::Events;
use ::usage::{Book, Directory, Event, Journal, Lines, Spool};

use super::notices::{self, Notices};
use super::tap::Stats;
use super::webhook::{Outcome, Webhook, now};
use crate::config;

pub(super) struct Outlets {
    config: config::Usage,
    directory: Option<PathBuf>,
    /// The same, since it is ours.
    taken: Option<Directory>,
    journal: Option<Journal>,
    lines: Option<Lines>,
    spool: Spool,
    webhook: Option<Webhook>,
    notices: Notices,
    stats: Arc<Stats>,
    delivered: u64,
}

impl Outlets {
    /// `directory` is where the book and the spool are kept unless the configuration says otherwise.
    pub(super) fn new(
        config: config::Usage,
        directory: Option<PathBuf>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            directory: config.spool.clone().or(directory),
            taken: None,
            journal: None,
            lines: config.file.clone().map(Lines::new),
            spool: Spool::default(),
            webhook: config.webhook.as_ref().and_then(Webhook::new),
            notices: Notices::default(),
            stats,
            delivered: 0,
            config,
        }
    }

    /// Passes an event on.
    pub(super) fn tell(&mut self, event: &Event) {
        let line = line(event);
        if let Some(lines) = &mut self.lines {
            lines.push(line.clone());
        }
        if self.webhook.is_some()
            && let Err(error) = self.spool.push(line)
        {
            self.unkept(&error);
        }
    }

    /// Adds to the journal.
    pub(super) fn note(&mut self, add: impl FnOnce(&mut Journal) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_mut().map(add) {
            self.unkept(&error);
        }
    }

    /// Writes the lines that wait.
    pub(super) fn write(&mut self, book: &mut Book) {
        let Some(lines) = &mut self.lines else {
            return;
        };
        let told = |events| line(&book.dropped(now(), events));
        let flaw = lines.flush(told).err().map(|error| error.to_string());
        if let Some(path) = &self.config.file {
            self.notices.written(path, flaw);
        }
    }

    /// Opens the file anew.
    pub(super) fn reopen(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.reopen();
        }
    }

    /// Takes the directory, and what the run before has left there, unless it is taken already; and writes to it
    /// what waits in memory.
    pub(super) fn keep(&mut self, book: &mut Book) {
        let Some(directory) = self.directory.clone() else {
            let flaw = "there is no place for it; name one with --state-dir".to_owned();
            return self.notices.kept(None, Some(flaw));
        };
        let is_new = self.journal.is_none();
        let taken = self.take_over(&directory, book);
        let flushed = self.spool.flush();
        match taken.and(flushed) {
            Ok(()) if is_new => self.notices.kept(Some(&directory), None),
            Ok(()) => {}
            Err(error) => self.unkept(&error),
        }
    }

    fn take_over(&mut self, directory: &Path, book: &mut Book) -> io::Result<()> {
        if self.taken.is_none() {
            self.taken = Some(Directory::take(directory)?);
        }
        // A failure of the one does not hold up the other.
        let attached = if self.webhook.is_some() && !self.spool.is_attached() {
            self.spool.attach(directory, self.config.spool_size)
        } else {
            Ok(())
        };
        let read = self.read_book(book);
        attached.and(read)
    }

    fn read_book(&mut self, book: &mut Book) -> io::Result<()> {
        if let (None, Some(directory)) = (&self.journal, &self.taken) {
            let (journal, events) = Journal::open(directory, book, now())?;
            let journal = self.journal.insert(journal);
            let written = journal.rewrite(book);
            events.iter().for_each(|event| self.tell(event));
            written?;
        }
        Ok(())
    }

    /// Writes the book down anew.
    pub(super) fn rewrite(&mut self, book: &Book) {
        match self.journal.as_mut().map(|journal| journal.rewrite(book)) {
            Some(Ok(())) if self.spool.backlog().in_memory == 0 => {
                self.notices.kept(self.directory.as_deref(), None);
            }
            Some(Err(error)) => self.unkept(&error),
            Some(Ok(())) | None => {}
        }
    }

    fn unkept(&mut self, error: &io::Error) {
        let directory = self.directory.as_deref();
        self.notices.kept(directory, Some(words(error)));
    }

    /// Begins a post, if it is time.
    pub(super) fn post(&mut self, book: &mut Book) {
        if let Some(webhook) = &mut self.webhook {
            webhook.begin(&mut self.spool, |events| book.dropped(now(), events));
        }
    }

    /// Waits for the answer to a post, for ever where there is none.
    pub(super) async fn answered(&mut self) -> Result<(), String> {
        match &mut self.webhook {
            Some(webhook) => webhook.answered().await,
            None => std::future::pending().await,
        }
    }

    /// Takes the answer to a post.
    pub(super) fn posted(&mut self, answer: Result<(), String>, book: &mut Book) {
        let Some(webhook) = &mut self.webhook else {
            return;
        };
        let outcome = webhook.take(answer, &mut self.spool);
        let waiting = self.spool.backlog().events;
        match outcome {
            Outcome::Delivered(events) => {
                self.delivered += events;
                self.notices.post_came(waiting);
                // Events that came meanwhile wait for the tick, unless they are a batch already.
                if waiting >= FULL {
                    self.post(book);
                }
            }
            Outcome::Failed(pause) => {
                let why = webhook.failing.clone().unwrap_or_default();
                self.notices.post_failed(&why, pause, waiting);
            }
        }
        self.show();
    }

    /// Shows the numbers to metrics, and returns those of events.
    pub(super) fn show(&mut self) -> Events {
        let backlog = self.spool.backlog();
        let lines = self.lines.as_ref();
        let events = Events {
            delivered: self.delivered,
            waiting: backlog.events + lines.map_or(0, Lines::waiting),
            dropped: backlog.dropped + lines.map_or(0, Lines::dropped),
            failing: self.webhook.as_ref().and_then(|it| it.failing.clone()),
        };
        let stats = &self.stats;
        stats.waiting.store(events.waiting, Ordering::Relaxed);
        stats.dropped.store(events.dropped, Ordering::Relaxed);
        stats.delivered.store(events.delivered, Ordering::Relaxed);
        let missed = stats.missed.load(Ordering::Relaxed);
        self.notices.lost(events.dropped, missed);
        events
    }

    /// Writes everything down, and tries once more to post what waits. The server ends.
    pub(super) async fn finish(&mut self, book: &mut Book) {
        self.write(book);
        if let Err(error) = self.spool.flush() {
            self.unkept(&error);
        }
        self.rewrite(book);
        if let Some(webhook) = &mut self.webhook {
            let lost = |events| book.dropped(now(), events);
            self.delivered += webhook.finish(&mut self.spool, lost).await;
        }
        let unwritten = self.lines.as_ref().map_or(0, Lines::waiting);
        notices::unkept_at_end(self.spool.end(), unwritten);
        self.show();
    }
}

/// An error without the name of a temporary file, which is another one at each try.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    // A file that was to be temporary has another name at each try.
    let told = text.split(" at path ").next();
    told.unwrap_or_default().to_owned()
}

/// Serialisation of our own events does not fail.
fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// So many events are posted at once.
const FULL: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_same_words_at_each_try() {
        let directory = tempfile::tempdir().unwrap().path().join("none");
        let failed = || tempfile::NamedTempFile::new_in(&directory).unwrap_err();
        assert_eq!(words(&failed()), words(&failed()));
        let plain = io::Error::from_raw_os_error(28);
        assert_eq!(words(&plain), plain.to_string());
    }
}
