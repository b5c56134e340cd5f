//! Lines of the log about usage: each state once, when it begins and when it is over.

use std::path::Path;
use std::time::{Duration, Instant};

use ::usage::Over;
use tracing::{error, info, warn};

/// The states that were said.
#[derive(Default)]
pub(super) struct Notices {
    /// Why the book or the spool is not kept.
    unkept: Option<String>,
    /// Why the file is not written.
    file: Option<String>,
    /// Whether posts fail.
    is_webhook_failing: bool,
    /// The lost events and reports that were said, and when.
    dropped: Counted,
    missed: Counted,
}

#[derive(Default)]
struct Counted {
    said: u64,
    at: Option<Instant>,
}

impl Counted {
    /// How many there are since, once a minute.
    fn more(&mut self, count: u64) -> Option<u64> {
        let is_time = self.at.is_none_or(|at| at.elapsed() >= MINUTE);
        if !is_time || count <= self.said {
            return None;
        }
        self.at = Some(Instant::now());
        let before = std::mem::replace(&mut self.said, count);
        Some(count - before)
    }
}

impl Notices {
    /// Whether counts and events are kept on disk.
    pub(super) fn kept(&mut self, directory: Option<&Path>, flaw: Option<String>) {
        let before = std::mem::replace(&mut self.unkept, flaw);
        let directory = directory.map(|directory| directory.display().to_string());
        match &self.unkept {
            Some(why) if before.as_ref() != Some(why) => error!(
                directory,
                why, "usage.unkept: counts and events are in memory only (key `spool` in [usage])"
            ),
            None if before.is_some() => info!(directory, "usage.kept: on disk again"),
            Some(_) | None => {}
        }
    }

    /// Whether the file could be written.
    pub(super) fn written(&mut self, path: &Path, flaw: Option<String>) {
        let before = std::mem::replace(&mut self.file, flaw);
        let path = path.display();
        match &self.file {
            Some(why) if before.as_ref() != Some(why) => error!(
                %path,
                why, "usage.file-failed: events wait in memory (key `file` in [usage])"
            ),
            None if before.is_some() => {
                info!(%path, "usage.file-written: events are written again")
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn post_failed(&mut self, why: &str, pause: Duration, waiting: u64) {
        if !std::mem::replace(&mut self.is_webhook_failing, true) {
            warn!(
                why,
                waiting,
                pause = pause.as_secs().max(1),
                "usage.webhook-failed: events wait in the spool (key `webhook` in [usage])"
            );
        }
    }

    pub(super) fn post_came(&mut self, waiting: u64) {
        if std::mem::take(&mut self.is_webhook_failing) {
            info!(waiting, "usage.webhook-answered: events are posted again");
        }
    }

    /// Tells the sum of lost events so far.
    pub(super) fn lost(&mut self, dropped: u64, missed: u64) {
        if let Some(events) = self.dropped.more(dropped) {
            warn!(
                events,
                "usage.dropped: there was no room for events, and the oldest are lost (key `spool-size` in [usage])"
            );
        }
        if let Some(reports) = self.missed.more(missed) {
            warn!(
                reports,
                "usage.missed: more allocations began and ended than could be noted; those that there are now are found by looking"
            );
        }
    }
}

/// A cap is reached.
pub(super) fn capped(over: &Over, month: &str) {
    warn!(
        realm = over.realm,
        user = over.user,
        month,
        bytes = over.bytes,
        cap = over.cap,
        then = over.then.name(),
        "cap.reached: the data of this month is used up ([[cap]])"
    );
}

/// The server ends, and so many events are in memory only: those for the webhook, and those for the file.
pub(super) fn unkept_at_end(webhook: u64, file: u64) {
    if webhook + file > 0 {
        error!(
            webhook,
            file, "usage.lost: events could not be written by the end of the server"
        );
    }
}

const MINUTE: Duration = Duration::from_secs(60);
