//! The book: which allocations there are, how far each has come, and the events that follow.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Kind, Traffic, Whose, time};
use crate::ledger::{Cap, Count, Ledger, Over, UNUSED};

/// The allocations that there are, and the ledger.
#[derive(Debug)]
pub struct Book {
    /// Names this run of the server.
    run: String,
    /// Events so far.
    number: u64,
    open: BTreeMap<String, Open>,
    ledger: Ledger,
}

/// An allocation that there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    #[serde(flatten)]
    whose: Whose,
    progress: Progress,
    /// The counts in the last event.
    #[serde(skip)]
    told: [Traffic; 2],
    /// How often it was not listed where all were.
    #[serde(skip)]
    missed: u8,
}

/// How far an allocation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How long it has lived, in seconds.
    pub seconds: u64,
    /// Data from the client to peers.
    pub sent: Traffic,
    /// Data from peers to the client.
    pub received: Traffic,
}

impl Progress {
    const fn bytes(&self) -> u64 {
        self.sent.bytes.saturating_add(self.received.bytes)
    }
}

impl Book {
    /// An empty book of a run, which no other run of any server is named like.
    pub fn new(run: String, now: Duration) -> Self {
        let mut ledger = Ledger::default();
        ledger.turn(now);
        Self {
            run,
            number: 0,
            open: BTreeMap::new(),
            ledger,
        }
    }

    /// The name of this run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The counts of this month.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Begins a new month, if it is time; returns whether it is. To be called before all else of a moment.
    pub fn turn(&mut self, now: Duration) -> bool {
        self.ledger.turn(now)
    }

    /// An allocation was granted.
    pub fn started(&mut self, now: Duration, whose: Whose) -> Event {
        self.begin(now, whose, Progress::default())
    }

    fn begin(&mut self, now: Duration, whose: Whose, progress: Progress) -> Event {
        let began = now.saturating_sub(Duration::from_secs(progress.seconds));
        let open = Open {
            whose: whose.clone(),
            progress: Progress::default(),
            told: Default::default(),
            missed: 0,
        };
        self.open.insert(whose.allocation.clone(), open);
        self.event(began, Kind::Started(whose))
    }

    /// An allocation has another id. In events it keeps the one that it had when it started.
    pub fn moved(&mut self, was: &str, is: &str) {
        if let Some(open) = self.open.remove(was) {
            self.open.insert(is.to_owned(), open);
        }
    }

    /// An allocation has come so far. One that nobody has told of has started, too.
    pub fn seen(&mut self, now: Duration, whose: Whose, progress: Progress) -> Option<Event> {
        let id = whose.allocation.clone();
        let started = (!self.open.contains_key(&id)).then(|| self.begin(now, whose, progress));
        let open = self.open.get_mut(&id)?;
        open.missed = 0;
        let more = open.advance(progress);
        let (realm, user) = (open.whose.realm.clone(), open.whose.user.clone());
        if more.bytes() > 0 {
            self.ledger.count(&realm, &user, more);
        }
        started
    }

    /// An allocation is gone. The event is made also for one that was not known.
    pub fn ended(&mut self, now: Duration, whose: Whose, progress: Progress, cause: &str) -> Event {
        let known = self.open.remove(&whose.allocation);
        let mut open = known.unwrap_or_else(|| Open {
            whose,
            progress: Progress::default(),
            told: Default::default(),
            missed: 0,
        });
        let more = open.advance(progress);
        self.end(now, open, more, cause)
    }

    fn end(&mut self, now: Duration, open: Open, more: Count, cause: &str) -> Event {
        let Open {
            whose, progress, ..
        } = open;
        let unused = progress.bytes() <= UNUSED;
        let count = Count {
            ended: 1,
            unused: unused.into(),
            ..more
        };
        self.ledger.count(&whose.realm, &whose.user, count);
        let Progress {
            seconds,
            sent,
            received,
        } = progress;
        let kind = Kind::Ended {
            whose,
            seconds,
            sent,
            received,
            cause: cause.to_owned(),
            unused,
        };
        self.event(now, kind)
    }

    /// The events of all allocations for which data has passed since their last one.
    pub fn updates(&mut self, now: Duration) -> Vec<Event> {
        let mut kinds = Vec::new();
        for open in self.open.values_mut() {
            let Progress {
                seconds,
                sent,
                received,
            } = open.progress;
            if mem::replace(&mut open.told, [sent, received]) != [sent, received] {
                kinds.push(Kind::Updated {
                    whose: open.whose.clone(),
                    seconds,
                    sent,
                    received,
                });
            }
        }
        kinds
            .into_iter()
            .map(|kind| self.event(now, kind))
            .collect()
    }

    /// All allocations that there are were [`Book::seen`]. Those that were not twice running are gone: an
    /// allocation that moves from one shard to another may be missed once.
    pub fn missing(&mut self, now: Duration) -> Vec<Event> {
        let mut gone = Vec::new();
        for (id, open) in &mut self.open {
            // One that was seen has 0 here.
            open.missed += 1;
            if open.missed > 2 {
                gone.push(id.clone());
            }
        }
        let gone = gone.iter().filter_map(|id| self.open.remove(id));
        let gone: Vec<Open> = gone.collect();
        gone.into_iter()
            .map(|open| self.end(now, open, Count::default(), "unseen"))
            .collect()
    }

    /// Ends all that there are.
    pub fn end_all(&mut self, now: Duration, cause: &str) -> Vec<Event> {
        let all = mem::take(&mut self.open).into_values();
        all.map(|open| self.end(now, open, Count::default(), cause))
            .collect()
    }

    /// Caps that are reached and were not told yet.
    pub fn news(&mut self, now: Duration, caps: &[Cap]) -> Vec<(Over, Event)> {
        let mut news = self.ledger.over(caps);
        news.retain(|over| self.ledger.is_news(over));
        let event = |over: Over| {
            let kind = Kind::Capped {
                realm: over.realm.clone(),
                user: over.user.clone(),
                month: self.ledger.month().to_owned(),
                bytes: over.bytes,
                cap: over.cap,
                then: over.then.name().to_owned(),
            };
            let event = Event {
                id: next_id(&self.run, &mut self.number),
                time: time(now),
                kind,
            };
            (over, event)
        };
        news.into_iter().map(event).collect()
    }

    /// So many events are lost.
    pub fn dropped(&mut self, now: Duration, events: u64) -> Event {
        self.event(now, Kind::Dropped { events })
    }

    fn event(&mut self, now: Duration, kind: Kind) -> Event {
        Event {
            id: next_id(&self.run, &mut self.number),
            time: time(now),
            kind,
        }
    }

    /// How many allocations there are.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn all_open(&self) -> impl Iterator<Item = (&String, &Open)> {
        self.open.iter()
    }

    pub(crate) fn find(&self, allocation: &str) -> Option<&Open> {
        self.open.get(allocation)
    }

    pub(crate) const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// An allocation of an earlier run.
    pub(crate) fn reopen(&mut self, id: String, open: Open) {
        self.open.insert(id, open);
    }

    /// Takes over the counts of an earlier run, and ends the allocations that it left open. The counts of
    /// this one, and its own allocations, stay.
    pub(crate) fn take_over(&mut self, now: Duration, earlier: Self) -> Vec<Event> {
        let own = mem::replace(&mut self.ledger, earlier.ledger);
        for (realm, user, count) in own.users() {
            self.ledger.count(realm, user, count);
        }
        let told = own.told().cloned();
        told.for_each(|key| self.ledger.restore_told(key));
        let left = earlier.open.into_values();
        left.map(|open| self.end(now, open, Count::default(), "killed"))
            .collect()
    }
}

impl Open {
    /// Takes over how far it has come; returns what is new.
    fn advance(&mut self, progress: Progress) -> Count {
        let was = mem::replace(&mut self.progress, progress);
        Count {
            sent: progress.sent.bytes.saturating_sub(was.sent.bytes),
            received: progress.received.bytes.saturating_sub(was.received.bytes),
            ..Count::default()
        }
    }
}

fn next_id(run: &str, number: &mut u64) -> String {
    *number += 1;
    format!("{run}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Then;

    const NOW: Duration = Duration::from_secs(1_795_996_800);

    fn whose(allocation: &str) -> Whose {
        Whose {
            run: "run".to_owned(),
            allocation: allocation.to_owned(),
            realm: "example.org".to_owned(),
            user: "alice".to_owned(),
            credential: "alice".to_owned(),
            transport: "udp".to_owned(),
            client: None,
        }
    }

    fn progress(seconds: u64, bytes: u64) -> Progress {
        Progress {
            seconds,
            sent: Traffic { packets: 1, bytes },
            received: Traffic::default(),
        }
    }

    fn used(book: &Book) -> Count {
        book.ledger()
            .users()
            .map(|(_, _, count)| count)
            .next()
            .unwrap()
    }

    #[test]
    fn each_byte_is_counted_once_however_often_it_is_seen() {
        let mut book = Book::new("run".to_owned(), NOW);
        book.started(NOW, whose("1"));
        for (seconds, bytes) in [(10, 500), (20, 500), (30, 20_000)] {
            assert_eq!(book.seen(NOW, whose("1"), progress(seconds, bytes)), None);
        }
        assert_eq!(used(&book).sent, 20_000);
        let event = book.ended(NOW, whose("1"), progress(31, 20_001), "deleted");
        let Kind::Ended { unused, cause, .. } = event.kind else {
            panic!("{event:?}");
        };
        assert_eq!((unused, &*cause), (false, "deleted"));
        let all = Count {
            sent: 20_001,
            ended: 1,
            ..Count::default()
        };
        assert_eq!(used(&book), all);
        assert_eq!(book.open(), 0);
    }

    #[test]
    fn an_update_is_told_only_where_data_has_passed_since() {
        let mut book = Book::new("run".to_owned(), NOW);
        book.started(NOW, whose("1"));
        assert_eq!(book.updates(NOW), []);
        book.seen(NOW, whose("1"), progress(60, 7));
        assert_eq!(book.updates(NOW).len(), 1);
        book.seen(NOW, whose("1"), progress(120, 7));
        assert_eq!(book.updates(NOW), []);
    }

    #[test]
    fn an_allocation_that_carried_only_checks_is_unused() {
        let mut book = Book::new("run".to_owned(), NOW);
        for (bytes, expected) in [(0, true), (UNUSED, true), (UNUSED + 1, false)] {
            book.started(NOW, whose("1"));
            let event = book.ended(NOW, whose("1"), progress(9, bytes), "expired");
            let is_unused = matches!(event.kind, Kind::Ended { unused, .. } if unused);
            assert_eq!(is_unused, expected, "{bytes}");
        }
        assert_eq!((used(&book).ended, used(&book).unused), (3, 2));
    }

    #[test]
    fn what_was_not_told_is_found_by_looking() {
        let mut book = Book::new("run".to_owned(), NOW);
        // It started a minute ago, and its report was lost.
        let event = book.seen(NOW, whose("1"), progress(60, 50)).unwrap();
        assert_eq!(event.time, time(NOW - Duration::from_secs(60)));
        assert_eq!(used(&book).sent, 50);
        // Its end is lost as well: it is there no more in two lists.
        assert_eq!(book.missing(NOW), []);
        assert_eq!(book.missing(NOW), []);
        let [event] = &book.missing(NOW)[..] else {
            panic!("one event");
        };
        let is_unseen = matches!(&event.kind, Kind::Ended { cause, .. } if cause == "unseen");
        assert!(is_unseen, "{event:?}");
    }

    #[test]
    fn an_allocation_that_moves_keeps_its_id_in_events() {
        let mut book = Book::new("run".to_owned(), NOW);
        book.started(NOW, whose("1"));
        book.moved("1", "2");
        assert_eq!(book.seen(NOW, whose("2"), progress(1, 5)), None);
        let event = book.ended(NOW, whose("2"), progress(2, 5), "deleted");
        let Kind::Ended { whose, .. } = event.kind else {
            panic!("{event:?}");
        };
        assert_eq!(whose.allocation, "1");
    }

    #[test]
    fn a_cap_is_told_once_in_a_month() {
        let caps = [Cap {
            realm: None,
            user: Some("*".to_owned()),
            bytes: 100,
            then: Then::Warn,
        }];
        let mut book = Book::new("run".to_owned(), NOW);
        book.started(NOW, whose("1"));
        book.seen(NOW, whose("1"), progress(1, 99));
        assert_eq!(book.news(NOW, &caps).len(), 0);
        book.seen(NOW, whose("1"), progress(2, 100));
        assert_eq!(book.news(NOW, &caps).len(), 1);
        book.seen(NOW, whose("1"), progress(3, 200));
        assert_eq!(book.news(NOW, &caps).len(), 0);
        // In the next month only what passes then counts.
        let next = NOW + Duration::from_secs(31 * 24 * 3600);
        assert!(book.turn(next));
        book.seen(next, whose("1"), progress(4, 250));
        assert_eq!(book.news(next, &caps).len(), 0);
        book.seen(next, whose("1"), progress(5, 300));
        assert_eq!(book.news(next, &caps).len(), 1);
    }
}
