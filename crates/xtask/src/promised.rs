//! Tests that the README names: each must exist, or the feature is only claimed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ignore::Walk;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Looks every named test up in the sources.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let readme = workspace.root().join("README.md");
    let features = read(&readme)?;
    let tests = tests_below(workspace.root())?;
    Failure::unless_empty(findings(&features, &tests))
}

fn findings(features: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for row in features.lines().filter(|line| line.starts_with('|')) {
        let named: Vec<&str> = row
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_sentence(name))
            .collect();
        if named.is_empty() && row.contains("| works |") {
            findings.push(format!("README.md: no test is named in: {row}"));
        }
        let unknown = named.into_iter().filter(|name| !tests.contains(*name));
        findings.extend(unknown.map(|name| format!("README.md: there is no test `{name}`")));
    }
    findings
}

/// Tests are named as sentences; other code in the table is shorter.
fn is_sentence(name: &str) -> bool {
    name.matches('_').count() >= 2
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The names of all test functions.
fn tests_below(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut tests = BTreeSet::new();
    for entry in Walk::new(root) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            tests.extend(tests_in(&read(&path)?));
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
        } else if let Some((_, name)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            tests.extend(name.split('(').next().map(str::to_owned));
        }
    }
    tests
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        let source = "#[test]\nfn a_cat_has_nine_lives() {}\n\nfn no_test_at_all() {}\n";
        tests_in(source).into_iter().collect()
    }

    #[test]
    fn a_test_that_exists_may_be_named() {
        assert_eq!(
            findings("| cats | works | `a_cat_has_nine_lives` |", &known()),
            [""; 0]
        );
        assert_eq!(findings("| dogs | not yet | |", &known()), [""; 0]);
    }

    #[test]
    fn a_feature_without_a_test_or_with_an_unknown_one_is_a_finding() {
        assert_eq!(findings("| cats | works | |", &known()).len(), 1);
        assert_eq!(
            findings("| cats | works | `no_test_at_all` |", &known()).len(),
            1
        );
    }
}
