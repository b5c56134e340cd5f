//! Files that the configuration names: whether they have changed since they were read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file, and what it was when it was read.
///
/// It is looked at from time to time: inotify tells nothing of changes that another host makes on a
/// network file system, and of a symbolic link that Kubernetes turns to another directory it tells
/// only whoever watches that link.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// The marks by which one content of a path is told from another: file, length, times. `None` stands for a file
/// that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// The file as it is now.
    pub(crate) fn now(path: PathBuf) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_change_is_seen_once_however_it_is_made() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for (name, text) in [("one", "alice"), ("two", "bobby")] {
            fs::write(at(name), text).unwrap();
        }
        symlink("one", at("current")).unwrap();
        let mut file = Watched::now(at("current"));
        let turn_to = |target: &str| {
            symlink(target, at("new")).unwrap();
            fs::rename(at("new"), at("current")).unwrap();
        };
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(at("one"), "carol and dave").unwrap(),
            &|| turn_to("two"),
            &|| fs::remove_file(at("current")).unwrap(),
            &|| turn_to("one"),
            &|| fs::rename(at("two"), at("one")).unwrap(),
        ];
        for change in changes {
            assert!(!file.has_changed());
            change();
            assert!(file.has_changed());
        }
        assert!(!file.has_changed());
    }
}
