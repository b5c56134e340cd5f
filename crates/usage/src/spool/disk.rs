//! The spool on disk: segments, and a note of how far they were delivered.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use tempfile::NamedTempFile;

use crate::post::Source;

/// The events on disk.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    /// Bytes in all at most.
    most: u64,
    pub(super) segments: VecDeque<Segment>,
    /// The file of the last segment.
    pub(super) writer: Option<File>,
    /// The number of the next event to be delivered.
    pub(super) next: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// The number of its first line.
    first: u64,
    lines: u64,
    pub(super) bytes: u64,
}

impl Segment {
    const fn end(&self) -> u64 {
        self.first.saturating_add(self.lines)
    }
}

impl Disk {
    /// The segments of earlier runs, and how many events were lost that nobody was told of.
    pub(super) fn open(directory: &Path, most: u64) -> io::Result<(Self, u64)> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            let Some(first) = number.and_then(in_reason) else {
                continue;
            };
            // One that cannot be read keeps nobody from the others.
            let Ok(text) = fs::read(&path) else {
                continue;
            };
            // A line that was written half is the last one.
            let whole = text
                .iter()
                .rposition(|it| *it == b'\n')
                .map_or(0, |at| at + 1);
            let lines = text.iter().filter(|it| **it == b'\n').count();
            segments.push(Segment {
                first,
                lines: lines as u64,
                bytes: whole as u64,
            });
        }
        segments.sort_by_key(|segment| segment.first);
        let noted = fs::read_to_string(directory.join(NOTE)).unwrap_or_default();
        let mut noted = noted
            .split_whitespace()
            .map(|it| in_reason(it).unwrap_or(0));
        let next: u64 = noted.next().unwrap_or(0);
        let untold = noted.next().unwrap_or(0);
        let first = segments.first().map_or(0, |segment| segment.first);
        let mut disk = Self {
            directory: directory.to_owned(),
            most,
            segments: segments.into(),
            writer: None,
            next: next.max(first),
        };
        disk.clear();
        Ok((disk, untold))
    }

    /// Adds a line; returns how many events were lost for it.
    pub(super) fn append(&mut self, line: &str) -> io::Result<u64> {
        let is_full = |last: &Segment| last.bytes >= self.most / SEGMENTS;
        if self.segments.back().is_none_or(is_full) {
            self.writer = None;
            let first = self.segments.back().map_or(self.next, Segment::end);
            self.segments.push_back(Segment {
                first: first.max(self.next),
                lines: 0,
                bytes: 0,
            });
        }
        let written = self.write(line);
        if written.is_err() {
            // It may have come halfway: the next one is written over that.
            self.writer = None;
        }
        written?;
        Ok(self.make_room())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let Some(last) = self.segments.back().copied() else {
            return Ok(());
        };
        if self.writer.is_none() {
            let mut options = OpenOptions::new();
            let options = options.create(true).append(true).mode(0o600);
            let file = options.open(self.path(last))?;
            file.set_len(last.bytes)?;
            self.writer = Some(file);
        }
        if let Some(file) = &mut self.writer {
            file.write_all(format!("{line}\n").as_bytes())?;
        }
        if let Some(last) = self.segments.back_mut() {
            last.lines += 1;
            last.bytes += line.len() as u64 + 1;
        }
        Ok(())
    }

    fn make_room(&mut self) -> u64 {
        let mut dropped = 0;
        while self.segments.len() > 1
            && self.segments.iter().map(|it| it.bytes).sum::<u64>() > self.most
        {
            dropped += self.give_up_first();
        }
        dropped
    }

    /// Removes the oldest segment; returns how many of its events were not delivered.
    pub(super) fn give_up_first(&mut self) -> u64 {
        let Some(first) = self.segments.pop_front() else {
            return 0;
        };
        if self.segments.is_empty() {
            self.writer = None;
        }
        let lost = first.end().saturating_sub(self.next.max(first.first));
        self.next = self.next.max(first.end());
        // It may stay for any reason, and is read no more in this run.
        let _ = fs::remove_file(self.path(first));
        lost
    }

    /// Events before this number have come.
    pub(super) fn delivered(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.clear();
    }

    /// Removes the segments that were delivered whole.
    fn clear(&mut self) {
        while let Some(first) = self.segments.front()
            && first.end() <= self.next
        {
            self.give_up_first();
        }
        // Between segments there may be numbers that no event has.
        if let Some(first) = self.segments.front() {
            self.next = self.next.max(first.first);
        }
    }

    /// The oldest events, at most so many and about so many bytes.
    pub(super) fn read(&self, most: usize, bytes: usize) -> io::Result<(Vec<String>, Source)> {
        let none = || io::Error::from(ErrorKind::NotFound);
        let segment = self.segments.front().ok_or_else(none)?;
        let text = fs::read(self.path(*segment))?;
        let text = text.get(..segment.bytes as usize).ok_or_else(none)?;
        let (mut lines, mut count, mut taken) = (Vec::new(), 0, 0);
        let skipped = self.next.saturating_sub(segment.first) as usize;
        for line in text.split(|it| *it == b'\n').skip(skipped) {
            if count + self.next >= segment.end() || lines.len() >= most || taken >= bytes {
                break;
            }
            count += 1;
            taken += line.len();
            let is_event = serde_json::from_slice::<IgnoredAny>(line).is_ok();
            if let Some(line) = str::from_utf8(line).ok().filter(|_| is_event) {
                lines.push(line.to_owned());
            }
        }
        let first = self.next;
        Ok((lines, Source::Disk { first, count }))
    }

    /// Writes down how far events were delivered, and how many are lost that nobody was told of.
    pub(super) fn note(&self, untold: u64) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        writeln!(file, "{} {untold}", self.next)?;
        file.persist(self.directory.join(NOTE))?;
        Ok(())
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> u64 {
        self.end().saturating_sub(self.next)
    }

    /// The number behind the last event.
    pub(super) fn end(&self) -> u64 {
        self.segments.back().map_or(self.next, Segment::end)
    }

    fn path(&self, segment: Segment) -> PathBuf {
        let number = segment.first;
        self.directory.join(format!("{PREFIX}{number:020}{SUFFIX}"))
    }
}

/// A number that can be counted on from: no spool comes to such a one by itself.
fn in_reason(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number <= u64::MAX / 2)
}

const PREFIX: &str = "events-";
const SUFFIX: &str = ".jsonl";
pub(super) const NOTE: &str = "delivered";
/// How many there are when the spool is full: so large a part of it is lost at a time.
const SEGMENTS: u64 = 16;
