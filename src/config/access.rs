//! The users who may read a file, by the modes of it and of the directories above it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::remark::Remark;

/// The users who may read a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Whether every user of the host may.
    pub(crate) is_public: bool,
    /// Whether the user of the service may not. It is asked only where root checks what the service
    /// will read: anybody else finds out by reading.
    pub(crate) is_shut: bool,
}

/// A user, or with neither id nor groups everyone.
#[derive(Default)]
struct Reader {
    id: Option<u32>,
    groups: Vec<u32>,
}

impl Access {
    /// That of a file of this host. A file that there is not is nobody's.
    pub(super) fn of(path: &Path) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let service = is_root.then(|| Reader::named(SERVICE)).flatten();
        Self {
            is_public: Reader::default().may_read(path).unwrap_or(false),
            is_shut: service.is_some_and(|it| it.may_read(path) == Some(false)),
        }
    }

    /// The caution about a file, in words, that the service cannot read.
    pub(super) fn shut_out(self, path: &Path, words: &str) -> Option<Remark> {
        let name = path.display();
        self.is_shut.then(|| {
            let sentence = format!("the user `{SERVICE}`, as whom the service runs, cannot read {words}");
            Remark::overall(sentence).help(format!(
                "chgrp {SERVICE} {name} && chmod 640 {name}; the directories above have to let it pass"
            ))
        })
    }
}

impl Reader {
    /// A user of this host, by the files that hold the users.
    fn named(name: &str) -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::among(name, &users, &groups)
    }

    /// See passwd(5) and group(5).
    fn among(name: &str, users: &str, groups: &str) -> Option<Self> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let user = users.lines().map(fields).find(|user| user[0] == name)?;
        let number = |field: Option<&String>| field?.parse::<u32>().ok();
        let is_member = |group: &Vec<String>| {
            group
                .get(3)
                .is_some_and(|members| members.split(',').any(|it| it == name))
        };
        let others = groups.lines().map(fields).filter(is_member);
        let others = others.filter_map(|group| number(group.get(2)));
        Some(Self {
            id: number(user.get(2)),
            groups: number(user.get(3)).into_iter().chain(others).collect(),
        })
    }

    /// `None` if there is no such file.
    fn may_read(&self, path: &Path) -> Option<bool> {
        let path = path.canonicalize().ok()?;
        // systemd leads the service, and nobody else, past these. systemd.exec(5), `DynamicUser=`
        let is_led = |directory: &&Path| {
            self.id.is_some()
                && PRIVATE
                    .iter()
                    .any(|private| *directory == Path::new(private))
        };
        let mut above = path.ancestors().skip(1).filter(|it| !is_led(it));
        let may = self.may(&fs::metadata(&path).ok()?, READ);
        let passes = |directory| Some(self.may(&fs::metadata(directory).ok()?, PASS));
        Some(may && above.all(|directory| passes(directory).unwrap_or(true)))
    }

    /// Whether the mode of a file gives a right; its owner and its group have rights of their own.
    fn may(&self, file: &Metadata, right: u32) -> bool {
        let shift = if self.id == Some(file.uid()) {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        file.mode() >> shift & right != 0
    }
}

/// The name of the user as whom this process reads, or the number.
pub(super) fn this_user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields.find(|user| user.get(2).and_then(|it| it.parse().ok()) == Some(id));
    user.map_or_else(|| id.to_string(), |user| user[0].to_owned())
}

/// The user of the unit in `packaging/systemd`.
const SERVICE: &str = "hairpin";
/// Where the directories are of a service whose user is made when it starts.
const PRIVATE: [&str; 3] = ["/var/cache/private", "/var/lib/private", "/var/log/private"];
const READ: u32 = 4;
const PASS: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_public_if_others_may_read_it_and_pass_the_directories_above() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secret");
        fs::write(&file, "").unwrap();
        for (directory, mode, is_public) in [
            (0o755, 0o600, false),
            (0o755, 0o640, false),
            (0o755, 0o644, true),
            (0o700, 0o644, false),
        ] {
            set(&file, mode);
            set(place.path(), directory);
            assert_eq!(
                Access::of(&file).is_public,
                is_public,
                "{directory:o} {mode:o}"
            );
        }
        assert_eq!(Access::of(Path::new("/nonexistent")), Access::default());
    }

    #[test]
    fn a_user_reads_by_the_mode_of_its_group_or_as_any_other() {
        let users = "root:x:0:0::/root:/bin/sh\nhairpin:x:990:991::/:/usr/sbin/nologin\n";
        let place = tempfile::tempdir().unwrap();
        set(place.path(), 0o755);
        let file = place.path().join("secret");
        fs::write(&file, "").unwrap();
        let group = fs::metadata(&file).unwrap().gid();
        let member = format!("certs:x:{group}:alice,hairpin\n");
        for (mode, groups, may) in [
            (0o600, "", false),
            (0o640, "", false),
            (0o640, &*member, true),
            (0o604, "", true),
            (0o604, &*member, false),
        ] {
            set(&file, mode);
            let user = Reader::among("hairpin", users, groups).unwrap();
            assert_eq!(user.may_read(&file), Some(may), "{mode:o} {groups}");
        }
        assert!(Reader::among("nobody-here", users, "").is_none());
    }
}
