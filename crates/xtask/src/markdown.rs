//! The Markdown files of the workspace, and the lines of one that are no code.

use std::path::{Path, PathBuf};

use ignore::Walk;

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// Every Markdown file that git does not ignore, with its text.
pub(crate) fn files(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut files = Vec::new();
    for entry in Walk::new(workspace.root()) {
        let path = entry?.into_path();
        if is_markdown(&path) {
            let text = workspace::read(&path)?;
            files.push((path, text));
        }
    }
    Ok(files)
}

pub(crate) fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The lines outside of code blocks, each with its number.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_no_prose() {
        let text = "one\n```sh\n# two\n```\n   ```toml\n   three\n   ```\nfour";
        assert_eq!(prose(text).collect::<Vec<_>>(), [(1, "one"), (8, "four")]);
    }
}
