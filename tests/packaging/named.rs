//! Names in the documents that nobody runs: variables, events of the log and causes are those that the server has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{documents::documents, help};

#[test]
fn every_variable_of_the_help_stands_in_the_table_of_the_configuration() {
    let table = source("docs/configuration.md");
    let help = help([]);
    let variables: Vec<&str> = help
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with("HAIRPIN_") && !word.ends_with('_'))
        .collect();
    assert!(!variables.is_empty(), "{help}");
    for name in variables {
        assert!(
            table.contains(&format!("`{name}`")),
            "{name} is not in docs/configuration.md"
        );
    }
}

#[test]
fn every_cause_that_a_document_names_is_one_of_a_refusal_or_of_the_table_of_causes() {
    let mut causes = quoted(&source("crates/relay/src/reject.rs"), '"');
    causes.extend(rows_of_the_log());
    each_document(|name, text| {
        for beginning in ["cause=\"", "HAIRPIN_CAUSE="] {
            for rest in text.split(beginning).skip(1) {
                let cause = rest.split(|it: char| !is_of_a_name(it)).next();
                let cause = cause.unwrap_or_default();
                assert!(causes.contains(cause), "{name}: no cause is {cause:?}");
            }
        }
    });
}

#[test]
fn every_event_that_a_document_names_is_one_of_the_log() {
    let rows = rows_of_the_log();
    let subjects: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| parts(row))
        .map(|it| it.0)
        .collect();
    each_document(|name, text| {
        for span in quoted(text, '`') {
            let is_event = parts(&span).is_some_and(|(subject, what)| {
                subjects.contains(subject) && !FILES.contains(&what)
            });
            assert!(
                !is_event || rows.contains(&span),
                "{name}: no event is `{span}`"
            );
        }
    });
}

/// Ends of names of files, which look like events.
const FILES: &[&str] = &[
    "json", "md", "pcap", "rs", "secret", "service", "socket", "toml", "yaml",
];

/// The names in the first cells of the tables of docs/logs.md: events, and causes of ends and drops.
fn rows_of_the_log() -> BTreeSet<String> {
    let log = source("docs/logs.md");
    let cells = log
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| quoted(cell, '`')).collect()
}

/// Subject and what happened to it, if this can be the name of an event.
fn parts(name: &str) -> Option<(&str, &str)> {
    let parts = name.split_once('.')?;
    let is_name = |part: &str| !part.is_empty() && part.chars().all(is_of_a_name);
    (is_name(parts.0) && is_name(parts.1)).then_some(parts)
}

fn is_of_a_name(character: char) -> bool {
    character.is_ascii_lowercase() || character == '-'
}

/// The texts of one line between two quotation marks of this kind.
fn quoted(text: &str, mark: char) -> BTreeSet<String> {
    let lines = text.lines();
    let spans = lines.flat_map(|line| line.split(mark).skip(1).step_by(2));
    spans.map(str::to_owned).collect()
}

fn each_document(look: impl Fn(&str, &str)) {
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        look(&path.display().to_string(), &text);
    }
}

fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}
