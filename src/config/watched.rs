//! Files that the configuration names: whether they have changed since they were read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file, and what it was when it was read.
///
/// It is looked at from time to time: inotify tells nothing of changes that another host makes on a
/// network file system, and of a symbolic link that Kubernetes turns to another directory it tells
/// only whoever watches that link.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// What tells one content of a path from another: file, length, times. `None` stands for a file
/// that is not there.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// The file as it is now.
    pub(super) fn now(path: PathBuf) -> Self {
        let stamp = Stamp::of(&path);
        Self { path, stamp }
    }

    /// Whether it is another one, or has other contents, than at the last look.
    pub(crate) fn has_changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.stamp, Stamp::of(&self.path));
        before != self.stamp
    }
}

impl Stamp {
    fn of(path: &std::path::Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}
