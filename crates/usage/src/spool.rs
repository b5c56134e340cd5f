//! The spool: events that wait for the webhook, on disk, within a bound.
//!
//! Events have numbers. A segment is a file of lines that is named by the number of its first one; a
//! file of its own says which number is the next to be delivered. The oldest segment goes when there
//! is too much. While the disk fails, events wait in memory behind those on it.

mod disk;

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use crate::post::{Batch, Source};
use disk::Disk;

/// Events that wait.
#[derive(Debug, Default)]
pub struct Spool {
    disk: Option<Disk>,
    memory: VecDeque<String>,
    /// Their bytes.
    bytes: usize,
    /// The number of the first in memory, among those that were ever there.
    first: u64,
    /// A batch out of memory that is being posted, or tried again.
    posting: Option<Posting>,
    dropped: u64,
    /// Of them, and of those of earlier runs, how many nobody was told of.
    untold: u64,
    /// Whether that, or how far events were delivered, is not on disk as it is.
    is_unnoted: bool,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events.
    pub events: u64,
    /// Of them in memory, since the disk fails or there is none.
    pub in_memory: u64,
    /// Events that were lost, in this run.
    pub dropped: u64,
}

/// Where the events of a batch out of memory are: it may come to disk meanwhile.
#[derive(Clone, Copy, Debug)]
struct Posting {
    /// Those that came to disk, which has them from this number on.
    on_disk: Option<u64>,
    moved: u64,
    /// The number in memory behind the last one.
    end: u64,
}

impl Spool {
    /// Keeps events in this directory from now on, within so many bytes, and finds those of earlier runs there.
    ///
    /// # Errors
    /// If it cannot be read. Events wait in memory as before.
    pub fn attach(&mut self, directory: &Path, most: u64) -> io::Result<()> {
        let (disk, untold) = Disk::open(directory, most)?;
        self.is_unnoted = self.untold > 0;
        self.untold += untold;
        self.disk = Some(disk);
        self.flush()
    }

    /// Whether there is a directory.
    pub const fn is_attached(&self) -> bool {
        self.disk.is_some()
    }

    /// Adds an event, as a line.
    ///
    /// # Errors
    /// If it, or what was lost for it, cannot be written: that waits in memory.
    pub fn push(&mut self, line: String) -> io::Result<()> {
        let mut failed = Ok(());
        if let Some(disk) = self.disk.as_mut().filter(|_| self.memory.is_empty()) {
            match disk.append(&line) {
                Ok(dropped) => {
                    self.count_dropped(dropped);
                    return self.note();
                }
                Err(error) => failed = Err(error),
            }
        }
        self.bytes += line.len();
        self.memory.push_back(line);
        while self.bytes > MOST_IN_MEMORY
            && let Some(first) = self.memory.pop_front()
        {
            self.bytes -= first.len();
            self.first += 1;
            self.count_dropped(1);
        }
        failed
    }

    /// Writes to disk what waits in memory, if it can be had again.
    ///
    /// # Errors
    /// If it cannot.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(line) = self.memory.front()
            && let Some(disk) = &mut self.disk
        {
            let dropped = disk.append(line)?;
            if let Some(posting) = &mut self.posting
                && self.first < posting.end
            {
                posting.on_disk.get_or_insert(disk.end().saturating_sub(1));
                posting.moved += 1;
            }
            self.bytes -= line.len();
            self.first += 1;
            self.memory.pop_front();
            self.count_dropped(dropped);
        }
        self.note()
    }

    /// The oldest events, at most so many and about so many bytes. They stay until they are
    /// [`Spool::delivered`]; until then, or [`Spool::has`] says no, they are posted as they are.
    pub fn batch(&mut self, most: usize, bytes: usize) -> Option<Batch> {
        while let Some(disk) = &mut self.disk
            && disk.waiting() > 0
        {
            match disk.read(most, bytes) {
                Ok((lines, from)) if !lines.is_empty() => {
                    return Some(Batch {
                        lines,
                        dropped: self.untold,
                        from,
                    });
                }
                // None of these lines is an event, or the file is gone: only a fault of the disk, or a stranger in
                // the directory, brings that about.
                Ok(_) | Err(_) => {
                    let dropped = disk.give_up_first();
                    self.count_dropped(dropped);
                    // Where that fails, it is tried again at the next flush.
                    let _ = self.note();
                }
            }
        }
        let (mut lines, mut taken) = (Vec::new(), 0);
        for line in self.memory.iter().take(most) {
            taken += line.len();
            lines.push(line.clone());
            if taken >= bytes {
                break;
            }
        }
        if lines.is_empty() {
            return None;
        }
        let count = lines.len() as u64;
        self.posting = Some(Posting {
            on_disk: None,
            moved: 0,
            end: self.first + count,
        });
        let from = Source::Memory {
            first: self.first,
            count,
        };
        Some(Batch {
            lines,
            dropped: self.untold,
            from,
        })
    }

    /// Whether the events of a batch are there still: the oldest may be lost meanwhile.
    pub fn has(&self, batch: &Batch) -> bool {
        match batch.from {
            Source::Disk { first, .. } => self.is_next_on_disk(first),
            Source::Memory { first, count } => match self.posting {
                Some(Posting {
                    on_disk: Some(number),
                    moved,
                    ..
                }) => {
                    let rest = moved == count || self.first == first + moved;
                    rest && self.is_next_on_disk(number)
                }
                Some(_) | None => self.first == first,
            },
        }
    }

    fn is_next_on_disk(&self, number: u64) -> bool {
        self.disk.as_ref().is_some_and(|it| it.next == number)
    }

    /// Lets go of a batch that is not posted again.
    pub const fn let_go(&mut self) {
        self.posting = None;
    }

    /// A batch has come to the webhook.
    ///
    /// # Errors
    /// If that cannot be written down: after a restart these events are posted once more.
    pub fn delivered(&mut self, batch: &Batch) -> io::Result<()> {
        let posting = self.posting.take();
        self.untold = self.untold.saturating_sub(batch.dropped);
        match batch.from {
            Source::Disk { first, count } => {
                if let Some(disk) = &mut self.disk {
                    disk.delivered(first + count);
                }
            }
            Source::Memory { first, count } => {
                if let (Some(posting), Some(disk)) = (posting, &mut self.disk)
                    && let Some(number) = posting.on_disk
                    // Where those of an earlier run wait before them, they come once more.
                    && disk.next >= number
                {
                    disk.delivered(number + posting.moved);
                }
                while self.first < first + count
                    && let Some(line) = self.memory.pop_front()
                {
                    self.bytes -= line.len();
                    self.first += 1;
                }
            }
        }
        self.is_unnoted = true;
        self.note()
    }

    /// The server ends: gives up what is in memory only, which the next run tells of; returns how much that is.
    pub fn end(&mut self) -> u64 {
        // Events that can still be written are not lost.
        let _ = self.flush();
        let lost = self.memory.len() as u64;
        self.memory.clear();
        self.bytes = 0;
        self.first += lost;
        self.count_dropped(lost);
        // Where that fails, the log has it.
        let _ = self.note();
        lost
    }

    /// How much waits.
    pub fn backlog(&self) -> Backlog {
        let in_memory = self.memory.len() as u64;
        let on_disk = self.disk.as_ref().map_or(0, Disk::waiting);
        Backlog {
            events: on_disk + in_memory,
            in_memory,
            dropped: self.dropped,
        }
    }

    const fn count_dropped(&mut self, events: u64) {
        self.dropped += events;
        self.untold += events;
        self.is_unnoted |= events > 0;
    }

    /// Writes down how far events were delivered and how many are lost, for the next run. [`Spool::flush`] tries
    /// again where it fails.
    fn note(&mut self) -> io::Result<()> {
        if let Some(disk) = self.disk.as_ref().filter(|_| self.is_unnoted) {
            disk.note(self.untold)?;
            self.is_unnoted = false;
        }
        Ok(())
    }
}

/// Some 25,000 events.
const MOST_IN_MEMORY: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;
    use disk::NOTE;

    const LARGE: u64 = 1 << 20;

    fn spool(place: &Path, most: u64) -> Spool {
        let mut spool = Spool::default();
        spool.attach(place, most).unwrap();
        spool
    }

    fn line(number: u64) -> String {
        format!("{{\"number\":{number}}}")
    }

    fn fill(spool: &mut Spool, numbers: std::ops::Range<u64>) {
        for number in numbers {
            spool.push(line(number)).unwrap();
        }
    }

    fn all(spool: &mut Spool) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(batch) = spool.batch(7, usize::MAX) {
            assert!(spool.has(&batch));
            all.extend(batch.lines.clone());
            spool.delivered(&batch).unwrap();
        }
        all
    }

    #[test]
    fn what_waits_is_found_by_the_next_run_and_what_was_delivered_is_not() {
        let place = tempfile::tempdir().unwrap();
        let mut first = spool(place.path(), LARGE);
        fill(&mut first, 0..100);
        let batch = first.batch(60, usize::MAX).unwrap();
        first.delivered(&batch).unwrap();
        drop(first);
        let mut second = spool(place.path(), LARGE);
        fill(&mut second, 100..110);
        assert_eq!(second.backlog().events, 50);
        assert_eq!(all(&mut second), (60..110).map(line).collect::<Vec<_>>());
        assert_eq!(spool(place.path(), LARGE).backlog().events, 0);
    }

    #[test]
    fn a_line_that_was_written_half_is_left_out_and_written_over() {
        let place = tempfile::tempdir().unwrap();
        let mut first = spool(place.path(), LARGE);
        fill(&mut first, 0..3);
        drop(first);
        let path = place.path().join("events-00000000000000000000.jsonl");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"numb").unwrap();
        let mut second = spool(place.path(), LARGE);
        fill(&mut second, 3..5);
        assert_eq!(all(&mut second), (0..5).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_spool_loses_the_oldest_and_says_how_many_also_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let mut first = spool(place.path(), 16_000);
        fill(&mut first, 0..2000);
        let Backlog {
            events, dropped, ..
        } = first.backlog();
        assert_eq!(events + dropped, 2000);
        assert!(events > 500, "{events}");
        let kept: u64 = fs::read_dir(place.path())
            .unwrap()
            .map(|it| it.unwrap().metadata().unwrap().len())
            .sum();
        assert!(kept < 17_000, "{kept}");
        let batch = first.batch(10, usize::MAX).unwrap();
        assert_eq!((batch.dropped, &batch.lines[0]), (dropped, &line(dropped)));
        // It is told with a batch that arrives, after a restart if none did before.
        drop(first);
        let mut first = spool(place.path(), 16_000);
        let batch = first.batch(10, usize::MAX).unwrap();
        assert_eq!((batch.dropped, &batch.lines[0]), (dropped, &line(dropped)));
        first.delivered(&batch).unwrap();
        assert_eq!(first.batch(10, usize::MAX).unwrap().dropped, 0);
        fill(&mut first, 2000..4000);
        let more = first.backlog().dropped;
        let batch = first.batch(10, usize::MAX).unwrap();
        assert_eq!(batch.dropped, more);
    }

    #[test]
    fn what_memory_had_no_room_for_is_told_by_the_next_run_and_so_is_what_the_disk_lost() {
        let place = tempfile::tempdir().unwrap();
        let mut first = Spool::default();
        let large = format!("\"{}\"", "x".repeat(1 << 20));
        (0..10).for_each(|_| first.push(large.clone()).unwrap());
        let dropped = first.backlog().dropped;
        assert!(dropped > 0);
        first.attach(place.path(), 32 << 20).unwrap();
        assert_eq!(first.backlog().in_memory, 0);
        drop(first);
        let mut second = spool(place.path(), 32 << 20);
        assert_eq!(second.batch(1, usize::MAX).unwrap().dropped, dropped);
        // A stranger takes the oldest away.
        let path = place.path().join("events-00000000000000000000.jsonl");
        let lines = fs::read_to_string(&path).unwrap().lines().count() as u64;
        fs::remove_file(path).unwrap();
        let batch = second.batch(1, usize::MAX).unwrap();
        assert_eq!(batch.dropped, dropped + lines);
        drop(second);
        let mut third = spool(place.path(), 32 << 20);
        assert_eq!(third.batch(1, usize::MAX).unwrap().dropped, dropped + lines);
    }

    #[test]
    fn a_batch_that_is_lost_while_it_is_posted_is_known_to_be() {
        let place = tempfile::tempdir().unwrap();
        let mut spool = spool(place.path(), 16_000);
        fill(&mut spool, 0..10);
        let batch = spool.batch(10, usize::MAX).unwrap();
        fill(&mut spool, 10..2000);
        assert!(!spool.has(&batch));
        let waiting = spool.backlog().events;
        spool.delivered(&batch).unwrap();
        assert_eq!(spool.backlog().events, waiting);
    }

    #[test]
    fn without_a_disk_events_wait_in_memory_and_come_to_it_when_there_is_one() {
        let place = tempfile::tempdir().unwrap();
        let mut spool = Spool::default();
        fill(&mut spool, 0..5);
        let batch = spool.batch(2, usize::MAX).unwrap();
        spool.attach(place.path(), LARGE).unwrap();
        // Those that are posted, too, however often they have to be.
        assert_eq!(spool.backlog().in_memory, 0);
        assert!(spool.has(&batch));
        fill(&mut spool, 5..7);
        spool.delivered(&batch).unwrap();
        assert_eq!(spool.backlog().events, 5);
        assert_eq!(all(&mut spool), (2..7).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_disk_that_fails_for_a_while_loses_and_doubles_nothing() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("spool");
        fs::create_dir(&directory).unwrap();
        let mut spool = spool(&directory, LARGE);
        fill(&mut spool, 0..3);
        // The file cannot be opened once more, whatever user runs this.
        let away = place.path().join("away");
        fs::rename(&directory, &away).unwrap();
        spool.disk.as_mut().unwrap().writer = None;
        for number in 3..6 {
            let _ = spool.push(line(number));
        }
        assert_eq!(spool.backlog().in_memory, 3);
        spool.flush().unwrap_err();
        fs::rename(&away, &directory).unwrap();
        spool.flush().unwrap();
        assert_eq!(all(&mut spool), (0..6).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_in_memory_only_at_the_end_is_told_by_the_next_run() {
        let place = tempfile::tempdir().unwrap();
        let mut first = spool(place.path(), LARGE);
        fill(&mut first, 0..3);
        // The next segment cannot be written, and the note can.
        let disk = first.disk.as_mut().unwrap();
        disk.writer = None;
        disk.segments.back_mut().unwrap().bytes = LARGE;
        fs::create_dir(place.path().join("events-00000000000000000003.jsonl")).unwrap();
        for number in 3..5 {
            first.push(line(number)).unwrap_or_default();
        }
        assert_eq!(first.end(), 2);
        assert_eq!(first.backlog().in_memory, 0);
        drop(first);
        let batch = spool(place.path(), LARGE).batch(10, usize::MAX).unwrap();
        assert_eq!((batch.lines.len(), batch.dropped), (3, 2));
    }

    #[test]
    fn a_batch_out_of_memory_that_is_posted_in_vain_waits_for_the_next_run() {
        let place = tempfile::tempdir().unwrap();
        let mut first = Spool::default();
        fill(&mut first, 0..5);
        let batch = first.batch(2, usize::MAX).unwrap();
        first.attach(place.path(), LARGE).unwrap();
        fill(&mut first, 5..9);
        assert!(first.has(&batch));
        assert_eq!(first.end(), 0);
        drop(first);
        let mut second = spool(place.path(), LARGE);
        assert_eq!(all(&mut second), (0..9).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_out_of_memory_that_arrives_takes_no_event_of_an_earlier_run_with_it() {
        let place = tempfile::tempdir().unwrap();
        fill(&mut spool(place.path(), LARGE), 0..3);
        let mut second = Spool::default();
        fill(&mut second, 3..5);
        let batch = second.batch(2, usize::MAX).unwrap();
        second.attach(place.path(), LARGE).unwrap();
        second.delivered(&batch).unwrap();
        assert_eq!(all(&mut second), (0..5).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_out_of_reason_are_those_of_a_stranger() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events-18446744073709551615.jsonl");
        fs::write(path, "{}\n").unwrap();
        fs::write(place.path().join(NOTE), "18446744073709551615 3").unwrap();
        let mut spool = spool(place.path(), LARGE);
        fill(&mut spool, 0..2);
        assert_eq!(all(&mut spool), [line(0), line(1)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_nobody_from_the_others() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("events-00000000000000000000.jsonl")).unwrap();
        let path = place.path().join("events-00000000000000000003.jsonl");
        fs::write(path, format!("{}\n", line(3))).unwrap();
        let mut spool = spool(place.path(), LARGE);
        fill(&mut spool, 4..6);
        assert_eq!(all(&mut spool), (3..6).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn lines_that_are_no_events_are_skipped() {
        let place = tempfile::tempdir().unwrap();
        let mut first = spool(place.path(), LARGE);
        fill(&mut first, 0..3);
        drop(first);
        let path = place.path().join("events-00000000000000000000.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("{\"number\":1}", "\u{0}\u{0}mber\":1}")).unwrap();
        let mut second = spool(place.path(), LARGE);
        assert_eq!(all(&mut second), [line(0), line(2)]);
    }
}
