//! Checks that no file names a path of somebody's machine.

use std::fs;
use std::path::Path;

use ignore::WalkBuilder;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Fails on every line that names a home directory, in every file that git does not ignore.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let root = workspace.root();
    let mut findings = Vec::new();
    // Hidden files count, except git's own. A copy without git obeys .gitignore, too.
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            findings.extend(findings_in(root, entry.path())?);
        }
    }
    Failure::unless_empty(findings)
}

fn findings_in(root: &Path, path: &Path) -> Result<Vec<String>, Failure> {
    let content = fs::read(path).map_err(|source| Failure::File {
        path: path.into(),
        source,
    })?;
    // Files that are not text (a fuzz corpus) may contain any bytes.
    let Ok(text) = str::from_utf8(&content) else {
        return Ok(Vec::new());
    };
    let name = path.strip_prefix(root).unwrap_or(path).display();
    let found = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, home(line)?)));
    Ok(found
        .map(|(number, home)| format!("{name}:{number}: names a path of one machine, {home}…"))
        .collect())
}

/// Home directories. Written in two parts, so that this file does not name them.
const HOMES: [(&str, &str); 3] = [("/ro", "ot/"), ("/ho", "me/"), ("/Use", "rs/")];

/// The home directory that a line names, if any. `~` and placeholders such as `NAME` do not count.
fn home(line: &str) -> Option<String> {
    HOMES
        .iter()
        .map(|(one, two)| format!("{one}{two}"))
        .find(|home| {
            line.split(home.as_str()).skip(1).any(|rest| {
                rest.starts_with(|c: char| c.is_lowercase() || c.is_numeric() || c == '.')
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_somebodys_home_is_found() {
        for (one, two) in HOMES {
            assert_eq!(
                home(&format!("see {one}{two}alice/notes")),
                Some(format!("{one}{two}"))
            );
        }
    }

    #[test]
    fn a_placeholder_is_nobodys_home() {
        assert_eq!(home(concat!("/ho", "me/NAME/.config")), None);
        assert_eq!(
            home(concat!("ProtectHome hides /ho", "me/, /run/user")),
            None
        );
    }
}
