//! `packaging/contents.toml`: the files of a package, and the tree that they make.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use super::{Release, at, empty};
use crate::command::run;
use crate::failure::Failure;

/// The list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    file: Vec<Entry>,
}

/// An entry of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    from: PathBuf,
    to: String,
    #[serde(default = "readable")]
    mode: String,
    #[serde(default)]
    keep: bool,
    only: Option<String>,
}

fn readable() -> String {
    "644".to_owned()
}

/// A file in the tree of a package.
pub(super) struct Installed {
    /// Its path on the host, which begins with a slash.
    pub(super) to: String,
    /// Its mode, in octal digits.
    pub(super) mode: String,
    /// Whether it is a configuration of the operator's.
    pub(super) keep: bool,
}

/// Puts the files of a format below `tree`, which is emptied.
pub(super) fn stage(
    release: &Release<'_>,
    format: &str,
    tree: &Path,
) -> Result<Vec<Installed>, Failure> {
    let list: List = release.workspace.read_toml("packaging/contents.toml")?;
    empty(tree)?;
    let mut installed = Vec::new();
    let is_meant = |entry: &Entry| entry.only.as_ref().is_none_or(|only| only == format);
    for entry in list.file.into_iter().filter(is_meant) {
        let from = source(release, &entry.from);
        let mut pairs = Vec::new();
        if entry.to.ends_with('/') {
            let files = fs::read_dir(&from).map_err(at(&from))?;
            pairs.extend(files.flatten().map(|file| {
                let name = file.file_name();
                (file.path(), format!("{}{}", entry.to, name.display()))
            }));
            pairs.sort();
        } else {
            pairs.push((from, entry.to.clone()));
        }
        for (from, to) in pairs {
            put(release, &from, &tree.join(&to[1..]), &entry.mode)?;
            installed.push(Installed {
                to,
                mode: entry.mode.clone(),
                keep: entry.keep,
            });
        }
    }
    date(release, tree)?;
    Ok(installed)
}

/// Where a file of the list is.
fn source(release: &Release<'_>, from: &Path) -> PathBuf {
    match from.strip_prefix("made") {
        Ok(made) => release.made.join(made),
        Err(_) => release.workspace.root().join(from),
    }
}

/// Copies one file; one whose new name ends in `.gz` and its old one does not is compressed.
pub(super) fn put(
    release: &Release<'_>,
    from: &Path,
    to: &Path,
    mode: &str,
) -> Result<(), Failure> {
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(at(parent))?;
    let is_zipped = |path: &Path| path.extension().is_some_and(|it| it == "gz");
    if is_zipped(to) && !is_zipped(from) {
        let plain = to.with_extension("");
        fs::copy(from, &plain).map_err(at(from))?;
        run(Command::new("gzip").args(["-9", "--no-name"]).arg(&plain))?;
    } else {
        fs::copy(from, to).map_err(at(from))?;
    }
    let bits = u32::from_str_radix(mode, 8);
    let bits = bits.map_err(|_| Failure::Findings(vec![format!("no mode: {mode}")]))?;
    fs::set_permissions(to, Permissions::from_mode(bits)).map_err(at(to))?;
    touch(release, to)
}

/// Gives every directory of a tree its mode and all that is in it the time of the release.
pub(super) fn date(release: &Release<'_>, tree: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(tree).map_err(at(tree))?.flatten() {
        if entry.path().is_dir() {
            date(release, &entry.path())?;
        } else {
            touch(release, &entry.path())?;
        }
    }
    fs::set_permissions(tree, Permissions::from_mode(0o755)).map_err(at(tree))?;
    touch(release, tree)
}

fn touch(release: &Release<'_>, path: &Path) -> Result<(), Failure> {
    let time = UNIX_EPOCH + Duration::from_secs(release.epoch);
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    let file = File::open(path).map_err(at(path))?;
    file.set_times(times).map_err(at(path))
}
