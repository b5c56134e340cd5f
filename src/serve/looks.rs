//! Looks at the configuration file and at those that it names: whether any has changed.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::reload::Reason;
use crate::config::Watched;

/// The files, and a look at them that may be under way.
pub(super) struct Looks {
    files: Files,
    under_way: Option<JoinHandle<(Option<Reason>, Files)>>,
    ticks: Interval,
    /// A change that was seen at the last look.
    seen: Option<Reason>,
}

#[derive(Clone)]
struct Files {
    /// The configuration itself, if it is a file.
    own: Option<Watched>,
    /// Those that it names.
    named: Vec<Watched>,
}

impl Looks {
    /// The configuration file, and those that it names. It must be called on a runtime.
    pub(super) fn new(own: Option<Watched>, named: Vec<Watched>) -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            files: Files { own, named },
            under_way: None,
            ticks,
            seen: None,
        }
    }

    /// Looks at these from now on.
    pub(super) fn follow(&mut self, own: Option<Watched>, named: Vec<Watched>) {
        self.files.own = own.or(self.files.own.take());
        self.files.named = named;
        self.under_way = None;
    }

    /// Looks once; returns why the configuration should be read again, if it should. A file that
    /// still changes may be written half: it is read when it has been the same for a second look.
    /// The call may be given up for a signal, as a file system that does not answer holds a look up;
    /// the next one waits for the same look.
    pub(super) async fn next(&mut self, watches_own: bool) -> Option<Reason> {
        let changed = self.look(watches_own).await;
        match changed {
            Some(reason) => {
                // The file itself is read with those that it names.
                let is_own = [self.seen, changed].contains(&Some(Reason::Edit));
                self.seen = Some(if is_own { Reason::Edit } else { reason });
                None
            }
            None => self.seen.take(),
        }
    }

    async fn look(&mut self, watches_own: bool) -> Option<Reason> {
        if self.under_way.is_none() {
            self.ticks.tick().await;
            let files = self.files.clone();
            self.under_way = Some(spawn_blocking(move || files.look(watches_own)));
        }
        let looked = self.under_way.as_mut()?.await;
        self.under_way = None;
        // Or it panicked, or the process ends.
        let (changed, seen) = looked.ok()?;
        self.files = seen;
        changed
    }
}

impl Files {
    fn look(mut self, watches_own: bool) -> (Option<Reason>, Self) {
        let mut named = self.named.iter_mut();
        // Each is looked at, also behind one that has changed.
        let named = named
            .by_ref()
            .filter_map(|it| it.has_changed().then_some(()));
        let mut reason = (named.count() > 0).then_some(Reason::File);
        if watches_own && self.own.as_mut().is_some_and(Watched::has_changed) {
            reason = Some(Reason::Edit);
        }
        (reason, self)
    }
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[test]
    fn a_look_that_hangs_can_be_given_up_and_goes_on_and_there_is_one_at_a_time() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(async {
            let (answer, answered) = std::sync::mpsc::channel();
            let mut looks = Looks::new(None, Vec::new());
            looks.ticks = interval(Duration::from_millis(1));
            let files = looks.files.clone();
            looks.under_way = Some(spawn_blocking(move || (answered.recv().unwrap(), files)));
            for _ in 0..3 {
                let a_moment = Duration::from_millis(5);
                timeout(a_moment, looks.next(false)).await.unwrap_err();
            }
            answer.send(Some(Reason::File)).unwrap();
            assert_eq!(looks.next(false).await, None, "it may be written half");
            assert_eq!(looks.next(false).await, Some(Reason::File));
            assert_eq!(looks.next(false).await, None);
        });
    }

    #[test]
    fn the_file_itself_is_followed_only_where_it_should_be_and_read_with_those_that_it_names() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let place = tempfile::tempdir().unwrap();
        let [own, named] = ["turnserver.toml", "users.toml"].map(|name| place.path().join(name));
        let change = |text: &str| {
            for path in [&own, &named] {
                std::fs::write(path, text).unwrap();
            }
        };
        change("1");
        runtime.block_on(async {
            let files = [&own, &named].map(|path| Watched::now(path.clone()));
            let [own, named] = files;
            let mut looks = Looks::new(Some(own), vec![named]);
            looks.ticks = interval(Duration::from_millis(1));
            for (watches_own, reason, text) in
                [(false, Reason::File, "22"), (true, Reason::Edit, "333")]
            {
                change(text);
                assert_eq!(looks.next(watches_own).await, None);
                assert_eq!(looks.next(watches_own).await, Some(reason));
                assert_eq!(looks.next(watches_own).await, None);
            }
        });
    }
}
