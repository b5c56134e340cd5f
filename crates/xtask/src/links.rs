//! Links between the project's own documents: each must lead to something.

use std::path::Path;

use ignore::Walk;

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// Follows the relative links of every Markdown file.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for entry in Walk::new(workspace.root()) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = workspace::read(&path)?;
            let directory = path.parent().unwrap_or(Path::new(""));
            let lost = targets(&text).filter(|target| !directory.join(target).exists());
            findings
                .extend(lost.map(|target| format!("{}: {target} is not there", path.display())));
        }
    }
    Failure::unless_empty(findings)
}

/// The targets of `[text](target)` in this repository, without the part behind `#`.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_within_the_project_are_followed() {
        let text = "[a](src/main.rs) [b](https://example.org/x) [c](#here) [d](../README.md#top)";
        assert_eq!(
            targets(text).collect::<Vec<_>>(),
            ["src/main.rs", "../README.md"]
        );
    }
}
