//! The book on disk: as it was at a moment, and behind that the allocations that began and ended since. One
//! record is one line, so that a record written half is the last one, and is not read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::book::{Book, Open, Progress};
use crate::event::{Event, Whose};
use crate::ledger::Count;

/// A directory that no other process uses meanwhile.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

/// The book in its file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Where records are added; `None` before it was written anew, and after one could not be written whole.
    file: Option<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Month(String),
    Realm(String, Count),
    User(String, String, Count),
    Told(String),
    /// By the id that it has now.
    Open(String, Open),
    Moved(String, String),
    Ended(Whose, Progress),
}

impl Directory {
    /// Takes a directory, which is made if need be.
    ///
    /// # Errors
    /// If it cannot be made or written, or another process has it.
    pub fn take(path: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true).mode(0o600);
        let lock = options.open(path.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                io::Error::new(ErrorKind::AddrInUse, "another process uses this directory")
            } else {
                error.into()
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Journal {
    /// Reads the book that the run before has left here into `book`. Returns the ends of the allocations that it
    /// left open: nobody was there to tell. Nothing is written before [`Journal::rewrite`].
    ///
    /// # Errors
    /// If it is there and cannot be read; `book` is as before.
    pub fn open(
        directory: &Directory,
        book: &mut Book,
        now: Duration,
    ) -> io::Result<(Self, Vec<Event>)> {
        let path = directory.path.join("book.jsonl");
        let mut earlier = Book::new(book.run().to_owned(), Duration::ZERO);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for line in text.split(|byte| *byte == b'\n') {
            // The last line may be half a one; only a fault of the disk spoils another.
            if let Ok(record) = serde_json::from_slice::<Record>(line) {
                record.restore(&mut earlier);
            }
        }
        earlier.turn(now);
        // Their ends are events of this run.
        let events = book.take_over(now, earlier);
        Ok((Self { path, file: None }, events))
    }

    /// Adds that an allocation of the book has started.
    ///
    /// # Errors
    /// If it cannot be written. From then on nothing is, until [`Journal::rewrite`].
    pub fn started(&mut self, book: &Book, allocation: &str) -> io::Result<()> {
        match book.find(allocation) {
            Some(open) => self.add(&Record::Open(allocation.to_owned(), open.clone())),
            None => Ok(()),
        }
    }

    /// Adds that an allocation has another id.
    ///
    /// # Errors
    /// As [`Journal::started`].
    pub fn moved(&mut self, was: &str, is: &str) -> io::Result<()> {
        self.add(&Record::Moved(was.to_owned(), is.to_owned()))
    }

    /// Adds that an allocation has ended.
    ///
    /// # Errors
    /// As [`Journal::started`].
    pub fn ended(&mut self, whose: &Whose, progress: Progress) -> io::Result<()> {
        self.add(&Record::Ended(whose.clone(), progress))
    }

    fn add(&mut self, record: &Record) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let written = file.write_all(&line);
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Writes the whole book anew, or leaves it as it was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn rewrite(&mut self, book: &Book) -> io::Result<()> {
        let file = NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        let mut writer = BufWriter::new(file);
        for record in records(book) {
            serde_json::to_writer(&mut writer, &record)?;
            writer.write_all(b"\n")?;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_data()?;
        self.file = Some(file.persist(&self.path)?);
        Ok(())
    }
}

impl Record {
    fn restore(self, book: &mut Book) {
        match self {
            Self::Month(month) => book.ledger_mut().restore_month(month),
            Self::Realm(realm, count) => book.ledger_mut().restore_realm(realm, count),
            Self::User(realm, user, count) => book.ledger_mut().restore_user(realm, user, count),
            Self::Told(key) => book.ledger_mut().restore_told(key),
            Self::Open(id, open) => book.reopen(id, open),
            Self::Moved(was, is) => book.moved(&was, &is),
            // The event was made when it ended.
            Self::Ended(whose, progress) => drop(book.ended(Duration::ZERO, whose, progress, "")),
        }
    }
}

fn records(book: &Book) -> impl Iterator<Item = Record> {
    let ledger = book.ledger();
    let month = Record::Month(ledger.month().to_owned());
    let realms = ledger.realms();
    let realms = realms.map(|(realm, count)| Record::Realm(realm.to_owned(), count));
    let users = ledger.users();
    let users = users.map(|(realm, user, it)| Record::User(realm.to_owned(), user.to_owned(), it));
    let told = ledger.told().map(|key| Record::Told(key.clone()));
    let open = book.all_open();
    let open = open.map(|(id, open)| Record::Open(id.clone(), open.clone()));
    [month]
        .into_iter()
        .chain(realms)
        .chain(users)
        .chain(told)
        .chain(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Traffic};

    const NOW: Duration = Duration::from_secs(1_795_996_800);

    fn whose(allocation: &str) -> Whose {
        Whose {
            run: "first".to_owned(),
            allocation: allocation.to_owned(),
            realm: "example.org".to_owned(),
            user: "alice".to_owned(),
            credential: "alice".to_owned(),
            transport: "udp".to_owned(),
            client: None,
        }
    }

    fn progress(bytes: u64) -> Progress {
        Progress {
            seconds: 9,
            sent: Traffic { packets: 1, bytes },
            received: Traffic::default(),
        }
    }

    fn open(directory: &Path, run: &str, now: Duration) -> (Journal, Book, Vec<Event>) {
        let directory = Directory::take(directory).unwrap();
        let mut book = Book::new(run.to_owned(), now);
        let (mut journal, events) = Journal::open(&directory, &mut book, now).unwrap();
        journal.rewrite(&book).unwrap();
        (journal, book, events)
    }

    fn sent(book: &Book) -> u64 {
        book.ledger().users().map(|(_, _, it)| it.sent).sum()
    }

    #[test]
    fn after_a_kill_the_open_allocations_end_with_what_was_seen_last_and_no_byte_counts_twice() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().join("deep/usage");
        let (mut journal, mut book, events) = open(&place, "first", NOW);
        assert_eq!(events, []);
        for id in ["1", "2", "3"] {
            book.started(NOW, whose(id));
            journal.started(&book, id).unwrap();
        }
        book.seen(NOW, whose("1"), progress(100));
        book.seen(NOW, whose("2"), progress(1000));
        journal.rewrite(&book).unwrap();
        // Since then one has ended, one has begun, and one has another id.
        book.ended(NOW, whose("2"), progress(1001), "deleted");
        journal.ended(&whose("2"), progress(1001)).unwrap();
        book.started(NOW, whose("4"));
        journal.started(&book, "4").unwrap();
        book.moved("1", "9");
        journal.moved("1", "9").unwrap();
        // Half a line more, when the process dies.
        drop(journal);
        let mut file = OpenOptions::new()
            .append(true)
            .open(place.join("book.jsonl"))
            .unwrap();
        file.write_all(b"{\"open\":[\"5\",{\"run").unwrap();

        let (_journal, book, events) = open(&place, "second", NOW);
        let ended: Vec<(String, u64)> = events
            .iter()
            .map(|event| match &event.kind {
                Kind::Ended {
                    whose, sent, cause, ..
                } => {
                    assert_eq!((&*whose.run, &**cause), ("first", "killed"));
                    (whose.allocation.clone(), sent.bytes)
                }
                Kind::Started(_)
                | Kind::Updated { .. }
                | Kind::Capped { .. }
                | Kind::Dropped { .. } => panic!("{event:?}"),
            })
            .collect();
        let expected = [("3", 0), ("4", 0), ("1", 100)];
        assert_eq!(ended, expected.map(|(id, bytes)| (id.to_owned(), bytes)));
        let (_, _, count) = book.ledger().users().next().unwrap();
        assert_eq!((count.sent, count.ended), (1101, 4));
        // They have ended for good.
        drop(_journal);
        let (_journal, book, events) = open(&place, "third", NOW);
        assert_eq!((events, book.open()), (vec![], 0));
        let (_, realm) = book.ledger().realms().next().unwrap();
        assert_eq!(realm.sent, 1101);
    }

    #[test]
    fn a_new_month_that_began_while_the_server_was_away_begins_with_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (mut journal, mut book, _) = open(place.path(), "first", NOW);
        book.seen(NOW, whose("1"), progress(100));
        journal.rewrite(&book).unwrap();
        drop(journal);
        let (_journal, book, _) = open(place.path(), "second", NOW + 31 * 24 * HOUR);
        assert_eq!(sent(&book), 0);
    }

    #[test]
    fn a_line_that_is_no_record_spoils_no_other_whatever_its_bytes_are() {
        let place = tempfile::tempdir().unwrap();
        let (mut journal, mut book, _) = open(place.path(), "first", NOW);
        book.seen(NOW, whose("1"), progress(100));
        journal.rewrite(&book).unwrap();
        let path = place.path().join("book.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [b"\xff\xfe garbage\n".to_vec(), whole].concat()).unwrap();
        let (_, book, events) = open(place.path(), "second", NOW);
        assert_eq!((sent(&book), events.len()), (100, 1));
    }

    #[test]
    fn a_book_that_is_read_late_ends_no_allocation_of_this_run_and_counts_none_twice() {
        let place = tempfile::tempdir().unwrap();
        let (mut journal, mut book, _) = open(place.path(), "first", NOW);
        book.seen(NOW, whose("1"), progress(100));
        book.seen(NOW, whose("2"), progress(10));
        journal.rewrite(&book).unwrap();
        // The directory was away meanwhile. An id may come again.
        let mut book = Book::new("second".to_owned(), NOW);
        book.seen(NOW, whose("1"), progress(1000));
        let directory = Directory::take(place.path()).unwrap();
        let (mut journal, events) = Journal::open(&directory, &mut book, NOW).unwrap();
        assert_eq!((events.len(), book.open()), (2, 1));
        book.seen(NOW, whose("1"), progress(1001));
        assert_eq!(sent(&book), 1111);
        // A full disk at that moment changes nothing.
        let away = place.path().with_extension("away");
        fs::rename(place.path(), &away).unwrap();
        journal.rewrite(&book).unwrap_err();
        fs::rename(&away, place.path()).unwrap();
        journal.rewrite(&book).unwrap();
        drop(directory);
        let (_, book, _) = open(place.path(), "third", NOW);
        assert_eq!(sent(&book), 1111);
    }

    #[test]
    fn a_directory_is_of_one_process() {
        let place = tempfile::tempdir().unwrap();
        let _directory = Directory::take(place.path()).unwrap();
        let error = Directory::take(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    const HOUR: Duration = Duration::from_secs(3600);
}
