//! Events as lines of a file, which others rotate.

use std::collections::VecDeque;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::OFlags;

/// A file that lines are added to. Lines that cannot be written wait in memory, within a bound.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: Option<File>,
    waiting: VecDeque<String>,
    /// Their bytes.
    bytes: usize,
    /// Whether the file ends in the middle of a line.
    is_torn: bool,
    dropped: u64,
    untold: u64,
}

impl Lines {
    /// The file at this place. It is opened with the first line.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            waiting: VecDeque::new(),
            bytes: 0,
            is_torn: false,
            dropped: 0,
            untold: 0,
        }
    }

    /// Adds a line, which [`Lines::flush`] writes.
    pub fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.waiting.push_back(line);
        while self.bytes > MOST_WAITING
            && let Some(first) = self.waiting.pop_front()
        {
            self.bytes -= first.len();
            self.dropped += 1;
            self.untold += 1;
        }
    }

    /// Writes what waits. A file that was moved or removed is begun anew. `told` makes the line that says how
    /// many before it are lost.
    ///
    /// # Errors
    /// If it cannot be written. The next flush tries again.
    pub fn flush(&mut self, told: impl FnOnce(u64) -> String) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.reopen_if_moved()?;
        if self.untold > 0 {
            self.write(&told(self.untold))?;
            self.untold = 0;
        }
        while let Some(line) = self.waiting.pop_front() {
            if let Err(error) = self.write(&line) {
                self.waiting.push_front(line);
                return Err(error);
            }
            self.bytes -= line.len();
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let begin = if self.is_torn { "\n" } else { "" };
        let whole = format!("{begin}{line}\n");
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut rest = whole.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    let written = whole.len() - rest.len();
                    self.is_torn = written > begin.len() && !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file anew with the next line.
    pub fn reopen(&mut self) {
        self.file = None;
    }

    /// How many lines wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// How many lines are lost.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn reopen_if_moved(&mut self) -> io::Result<()> {
        let identity = |there: &Metadata| (there.dev(), there.ino());
        let there = self.path.metadata().ok();
        let own = self.file.as_ref().and_then(|file| file.metadata().ok());
        if own.is_some() && there.as_ref().map(identity) == own.as_ref().map(identity) {
            return Ok(());
        }
        self.file = None;
        let mut options = OpenOptions::new();
        // A pipe that nobody reads fails like a full disk: it holds up nobody.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let options = options.append(true).mode(0o640).custom_flags(flags);
        let file = match options.clone().create_new(true).open(&self.path) {
            Ok(file) => {
                // The mask of the process does not count.
                file.set_permissions(Permissions::from_mode(0o640))?;
                file
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(&self.path)?,
            Err(error) => return Err(error),
        };
        if let Some(is_torn) = self.is_torn_there() {
            self.is_torn = is_torn;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Whether the file ends in the middle of a line, which another run or an earlier try may have left. Of a pipe
    /// nobody can say.
    fn is_torn_there(&self) -> Option<bool> {
        if !self.path.metadata().ok()?.is_file() {
            return None;
        }
        let file = File::open(&self.path).ok()?;
        let Some(last) = file.metadata().ok()?.len().checked_sub(1) else {
            return Some(false);
        };
        let mut end = [0];
        file.read_exact_at(&mut end, last).ok()?;
        Some(end != *b"\n")
    }
}

/// Some 25,000 events.
const MOST_WAITING: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;

    fn said(lost: u64) -> String {
        format!("{lost} are lost")
    }

    #[test]
    fn lines_are_added_to_the_file_that_is_there_also_after_it_was_moved() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("usage.jsonl");
        fs::write(&path, "earlier\n").unwrap();
        let mut lines = Lines::new(path.clone());
        lines.push("one".to_owned());
        lines.flush(said).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier\none\n");
        let moved = place.path().join("usage.jsonl.1");
        fs::rename(&path, &moved).unwrap();
        lines.push("two".to_owned());
        lines.flush(said).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "earlier\none\n");
    }

    #[test]
    fn half_a_line_that_is_there_already_spoils_no_other() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("usage.jsonl");
        fs::write(&path, "earlier\nha").unwrap();
        let mut lines = Lines::new(path.clone());
        for line in ["one", "two"] {
            lines.push(line.to_owned());
            lines.flush(said).unwrap();
            lines.reopen();
        }
        let text = "earlier\nha\none\ntwo\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        // The same file after a reload, torn by a full disk.
        fs::write(&path, "earlier\nha").unwrap();
        lines.push("three".to_owned());
        lines.flush(said).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier\nha\nthree\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody_and_has_each_line_whole_afterwards() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
        let mut lines = Lines::new(path.clone());
        lines.push("first".to_owned());
        // Nobody has it open.
        lines.flush(said).unwrap_err();
        let mut options = OpenOptions::new();
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut reader = options.read(true).custom_flags(flags).open(&path).unwrap();
        // The reader that has it open stands still.
        let line = "x".repeat(10_000);
        (0..10).for_each(|_| lines.push(line.clone()));
        lines.flush(said).unwrap_err();
        assert!(lines.waiting() > 0);
        let mut text = Vec::new();
        while lines.waiting() > 0 {
            let _ = reader.read_to_end(&mut text);
            let _ = lines.flush(said);
        }
        let _ = reader.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("first\n"));
        assert_eq!(text.lines().filter(|it| *it == line).count(), 10);
    }

    #[test]
    fn what_cannot_be_written_waits_within_a_bound_and_the_oldest_are_lost() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("none/usage.jsonl");
        let mut lines = Lines::new(path.clone());
        let line = "x".repeat(1 << 20);
        for _ in 0..10 {
            lines.push(line.clone());
            lines.flush(said).unwrap_err();
        }
        assert_eq!((lines.waiting(), lines.dropped()), (8, 2));
        fs::create_dir(place.path().join("none")).unwrap();
        lines.flush(said).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1 + 8);
        assert!(text.starts_with("2 are lost\n"));
        lines.push(line);
        lines.flush(said).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1 + 9);
    }
}
