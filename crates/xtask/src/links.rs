//! Links between the project's own documents, and names of its files in backticks: each must lead to something.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ignore::Walk;

use crate::failure::Failure;
use crate::markdown::{self, is_markdown, prose};
use crate::workspace::Workspace;

/// Follows the relative links of every Markdown file, and looks up the files that it names.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let documents = markdown::files(workspace)?;
    let mut headings = HashMap::new();
    for (path, text) in &documents {
        headings.insert(whole(path)?, anchors(text));
    }
    let tree = Tree::walk(workspace.root())?;
    let mut findings = Vec::new();
    for (path, text) in &documents {
        let mut find = |what: String| findings.push(format!("{}: {what}", path.display()));
        for (target, anchor) in targets(text) {
            if let Some(fault) = fault(path, target, anchor, &headings) {
                find(fault);
            }
        }
        // The change log tells of files that are gone.
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        for name in names(text) {
            if tree.should_have(name) && !tree.has(name) {
                find(format!("no file of the repository is called {name}"));
            }
        }
    }
    Failure::unless_empty(findings)
}

/// The fault of a link of a document, if it has one.
fn fault(
    document: &Path,
    target: &str,
    anchor: Option<&str>,
    headings: &HashMap<PathBuf, HashSet<String>>,
) -> Option<String> {
    let path = match target {
        "" => document.to_owned(),
        _ => document.parent()?.join(target),
    };
    let Ok(path) = whole(&path) else {
        return Some(format!("{target} is not there"));
    };
    let anchor = anchor.filter(|_| is_markdown(&path))?;
    let is_there = headings.get(&path).is_some_and(|its| its.contains(anchor));
    (!is_there).then(|| format!("no heading of {} is #{anchor}", path.display()))
}

/// A path without `..` and links, by which documents are found again.
fn whole(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

/// The targets of `[text](target#anchor)` in this repository; a target without a file is the document itself.
fn targets(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .map(|link| match link.split_once('#') {
            Some((target, anchor)) => (target, Some(anchor)),
            None => (link, None),
        })
}

/// The anchors that GitHub gives to the headings of a document.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading.trim());
        let mut unique = anchor.clone();
        let mut count = 0;
        while !anchors.insert(unique.clone()) {
            count += 1;
            unique = format!("{anchor}-{count}");
        }
    }
    anchors
}

/// A heading in small letters, without punctuation, and with `-` in place of blanks. Of a link its text counts.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, link)) = rest.split_once("](") {
        text += before;
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    text += rest;
    let kept = text.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The words between backticks that could be a path.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let spans = prose(text).flat_map(|(_, line)| line.split('`').skip(1).step_by(2));
    spans.filter(|span| {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
        !span.is_empty() && span.chars().all(is_plain)
    })
}

/// The files and directories of the repository.
struct Tree {
    /// From its root, without a `/` at the end.
    paths: HashSet<PathBuf>,
}

impl Tree {
    fn walk(root: &Path) -> Result<Self, Failure> {
        let mut paths = HashSet::new();
        for entry in Walk::new(root) {
            let path = entry?.into_path();
            paths.extend(path.strip_prefix(root).map(Path::to_owned));
        }
        Ok(Self { paths })
    }

    /// Whether a name is one of ours: it begins with a directory of the root, or is of a kind of file that only we have.
    fn should_have(&self, name: &str) -> bool {
        let is_below = name
            .split_once('/')
            .is_some_and(|(first, _)| !first.is_empty() && self.paths.contains(Path::new(first)));
        let is_ours = [".rs", ".sh", ".md"]
            .iter()
            .any(|ending| name.len() > ending.len() && name.ends_with(ending));
        is_below || is_ours
    }

    /// Whether a file or directory has this name, or this end of its path: `answer.rs` is enough beside its directory.
    fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('/');
        self.paths.iter().any(|path| path.ends_with(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_within_the_project_are_followed() {
        let text = "[a](src/main.rs) [b](https://example.org/x) [c](#here) [d](../README.md#top)";
        assert_eq!(
            targets(text).collect::<Vec<_>>(),
            [
                ("src/main.rs", None),
                ("", Some("here")),
                ("../README.md", Some("top"))
            ]
        );
    }

    #[test]
    fn an_anchor_is_a_heading_as_github_spells_it() {
        let text = "# Hairpin in front; Caddy, nginx\n## `[a]` of *b* ([c](d.md))\n```sh\n# no heading\n```\n## Twice\n## Twice\n#none";
        let expected = [
            "hairpin-in-front-caddy-nginx",
            "a-of-b-c",
            "twice",
            "twice-1",
        ];
        assert_eq!(anchors(text), expected.map(str::to_owned).into());
    }

    #[test]
    fn a_link_to_a_heading_that_is_not_there_is_a_fault() {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let document = whole(&document).unwrap();
        let headings = [(document.clone(), HashSet::from(["state".to_owned()]))].into();
        let fault = |target, anchor| fault(&document, target, Some(anchor), &headings).is_some();
        assert!(!fault("", "state"));
        assert!(fault("", "states"));
        assert!(fault("README.md", "states"));
        assert!(fault("nowhere.md", "state"));
    }

    #[test]
    fn a_file_in_backticks_is_looked_up_by_the_end_of_its_path() {
        let paths = ["src", "src/cli", "src/cli/serve.rs"].map(PathBuf::from);
        let tree = Tree {
            paths: paths.into(),
        };
        for name in ["src/cli/", "serve.rs", "cli/serve.rs"] {
            assert!(tree.should_have(name) || name.starts_with("cli"));
            assert!(tree.has(name), "{name}");
        }
        for name in ["src/cli/drain.rs", "drain.rs", "rve.rs"] {
            assert!(tree.should_have(name) && !tree.has(name), "{name}");
        }
        for name in ["/etc/hairpin/turnserver.toml", "target/clients", ".rs"] {
            assert!(!tree.should_have(name), "{name}");
        }
        let text = "`src/cli` `hairpin serve` `[relay]` `x=1`";
        assert_eq!(names(text).collect::<Vec<_>>(), ["src/cli"]);
    }
}
