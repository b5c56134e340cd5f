//! Tests that our documents name: each must exist, or the document only claims it.
//!
//! Four documents are read. In the table of `docs/features.md`, each row with "works" names a test,
//! and so do the tables of `SECURITY.md` and `docs/clients.md`. In `docs/conformance.md` each row is
//! an obligation of an RFC, and its last cell names the tests that fail without it, or says why there
//! is none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ignore::Walk;

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// Looks every named test up in the sources.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let tests = tests_below(workspace.root())?;
    let tests = tests.into_iter().map(|test| test.name).collect();
    let mut findings = Vec::new();
    for (document, faults) in DOCUMENTS {
        let text = workspace.read(document)?;
        let found = text.lines().filter(|line| line.starts_with('|'));
        let found = found.flat_map(|row| faults(row, &tests));
        findings.extend(found.map(|finding| format!("{document}: {finding}")));
    }
    Failure::unless_empty(findings)
}

/// Finds the faults in a row of a document's tables.
type Faults = fn(&str, &BTreeSet<String>) -> Vec<String>;

const DOCUMENTS: [(&str, Faults); 4] = [
    ("docs/features.md", feature),
    ("SECURITY.md", feature),
    ("docs/clients.md", feature),
    ("docs/conformance.md", obligation),
];

/// The reason of an ignored test that counts nevertheless.
const RUN_ALL_THE_SAME: &str = "run by `cargo xtask test`";

/// A feature that works names a test.
fn feature(row: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let named: Vec<&str> = quoted(row).filter(|name| is_sentence(name)).collect();
    if named.is_empty() && row.contains("| works |") {
        return vec![format!("no test is named in: {row}")];
    }
    unknown(named, tests)
}

/// An obligation is a section, a sentence, and tests or a reason.
fn obligation(row: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [section, asked, proof] = cells[..] else {
        return vec![format!("a row has three cells: {row}")];
    };
    if section == "§" || section.starts_with("--") {
        return Vec::new();
    }
    if section.is_empty() || asked.is_empty() {
        return vec![format!("section or obligation is missing: {row}")];
    }
    let reason = REASONS.iter().find_map(|why| proof.strip_prefix(why));
    let named: Vec<&str> = match reason {
        Some(reason) if reason.trim().is_empty() => {
            return vec![format!("a reason is missing: {row}")];
        }
        // Words in backticks in a reason may be a key or an attribute.
        Some(reason) => quoted(reason).filter(|name| is_sentence(name)).collect(),
        None => quoted(proof).collect(),
    };
    if named.is_empty() && reason.is_none() {
        return vec![format!("neither a test nor a reason: {row}")];
    }
    unknown(named, tests)
}

/// The beginnings of the last cell of an obligation without a test.
const REASONS: [&str; 3] = ["does not apply: ", "not met: ", "open: "];

fn unknown(named: Vec<&str>, tests: &BTreeSet<String>) -> Vec<String> {
    let unknown = named.into_iter().filter(|name| !tests.contains(*name));
    unknown
        .map(|name| format!("there is no test `{name}`"))
        .collect()
}

/// The words between backticks.
fn quoted(row: &str) -> impl Iterator<Item = &str> {
    row.split('`').skip(1).step_by(2)
}

/// Tests are named as sentences; other code in a table is shorter, or of capitals.
fn is_sentence(name: &str) -> bool {
    name.matches('_').count() >= 2
        && name.contains(|letter: char| letter.is_ascii_lowercase())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A test function.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

/// All test functions, but for the ignored ones that the test command does not run either.
pub(crate) fn tests_below(root: &Path) -> Result<BTreeSet<Test>, Failure> {
    let mut tests = BTreeSet::new();
    for entry in Walk::new(root) {
        let file = entry?.into_path();
        if file.extension().is_some_and(|extension| extension == "rs") {
            let names = tests_in(&workspace::read(&file)?);
            tests.extend(names.into_iter().map(|name| Test {
                name,
                file: file.clone(),
            }));
        }
    }
    Ok(tests)
}

fn tests_in(source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            // A test that does not run proves nothing; the test command runs some of them on their
            // own.
            is_test &= line.contains(RUN_ALL_THE_SAME);
        } else if let Some((_, name)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            tests.extend(name.split('(').next().map(str::to_owned));
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        let source = "#[test]\nfn a_cat_has_nine_lives() {}\n\nfn no_test_at_all() {}\n\n\
                      #[test]\n#[ignore = \"it sleeps\"]\nfn a_cat_at_night() {}\n\n\
                      #[test]\n#[ignore = \"slow: run by `cargo xtask test`\"]\nfn a_cat_grows_old() {}\n";
        tests_in(source).into_iter().collect()
    }

    #[test]
    fn a_test_that_exists_may_be_named() {
        let nothing: [&str; 0] = [];
        let row = "| cats | works | `a_cat_has_nine_lives` |";
        assert_eq!(feature(row, &known()), nothing);
        assert_eq!(feature("| dogs | not yet | |", &known()), nothing);
        let row = "| old cats | works | `a_cat_grows_old` |";
        assert_eq!(feature(row, &known()), nothing);
        let row = "| 9.1 | Cats live often. | `a_cat_has_nine_lives` |";
        assert_eq!(obligation(row, &known()), nothing);
    }

    #[test]
    fn a_feature_without_a_test_or_with_an_unknown_one_is_a_finding() {
        assert_eq!(feature("| cats | works | |", &known()).len(), 1);
        for none in ["no_test_at_all", "a_cat_at_night"] {
            let row = format!("| cats | works | `{none}` |");
            assert_eq!(feature(&row, &known()).len(), 1);
        }
    }

    #[test]
    fn an_obligation_without_test_and_reason_is_a_finding() {
        for row in [
            "| 9.1 | Cats live often. | |",
            "| 9.1 | Cats live often. | surely |",
            "| 9.1 | Cats live often. | open: |",
            "| 9.1 | Cats live often. | `no_test_at_all` |",
            "| 9.1 | Cats live often. | `lives` |",
            "| 9.1 | Cats live often. | not met: see `no_test_at_all` |",
            "| | Cats live often. | `a_cat_has_nine_lives` |",
            "| 9.1 | `a_cat_has_nine_lives` |",
        ] {
            assert_eq!(obligation(row, &known()).len(), 1, "{row}");
        }
    }

    #[test]
    fn a_reason_may_stand_for_a_test_and_quote_what_it_likes() {
        let nothing: [&str; 0] = [];
        for row in [
            "| § | asked | test |",
            "|---|---|---|",
            "| 9.2 | Dogs may bark. | does not apply: no `dog` is kept |",
        ] {
            assert_eq!(obligation(row, &known()), nothing, "{row}");
        }
    }
}
