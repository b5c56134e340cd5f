//! The events of the log: `docs/logs.md` lists each by name, with its levels and fields, and has
//! nothing that the server does not write.
//!
//! An event is a call of one of tracing's macros in the crates that the server is made of. Its name
//! is its message up to the first colon. What tells of an allocation, or of a request with a credential, has the id
//! of the allocation, by which all of its lines are found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ignore::Walk;

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// Compares the sources with the document, both ways.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut events = Events::new();
    let mut findings = Vec::new();
    for place in PLACES {
        for entry in Walk::new(workspace.root().join(place)) {
            let path = entry?.into_path();
            if is_of_the_server(&path) {
                let source = workspace::read(&path)?;
                let found = events_in(&source, &mut events);
                findings.extend(found.map(|finding| format!("{}: {finding}", path.display())));
            }
        }
    }
    let listed = listed(&workspace.read(DOCUMENT)?, &mut findings);
    findings.extend(differences(&events, &listed));
    Failure::unless_empty(findings)
}

/// The row of each event, by its name.
type Events = BTreeMap<String, Event>;

/// The levels and fields of an event, wherever it is written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    levels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

fn is_of_the_server(path: &Path) -> bool {
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    let is_test = path
        .iter()
        .any(|part| part == "tests" || part == "tests.rs" || part == "bin");
    is_rust && !is_test
}

/// Adds the events of a source, and returns what is wrong with them: no name, or no allocation.
fn events_in(source: &str, events: &mut Events) -> impl Iterator<Item = String> {
    let tests = source.find("#[cfg(test)]\nmod tests {");
    let source = &source[..tests.unwrap_or(source.len())];
    let mut faults = Vec::new();
    for (at, _) in source.match_indices("!(") {
        let before = &source[..at];
        let word = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$')
            .map_or(before, |end| &before[end + 1..]);
        let levels: &[&str] = match LEVELS.iter().find(|level| **level == word) {
            Some(level) => &[level],
            // A macro of ours, for an event of which the cause decides the level.
            None if word == "$level" => &["info", "warn"],
            None => continue,
        };
        let arguments = arguments(&source[at + 2..]);
        let (fields, message): (Vec<&str>, _) = match arguments
            .iter()
            .position(|argument| argument.starts_with('"'))
        {
            Some(message) => (arguments[..message].to_vec(), arguments[message]),
            None => (arguments, ""),
        };
        let Some(name) = name(message) else {
            faults.push(format!("an event begins without a name: {message}"));
            continue;
        };
        let fields: Vec<String> = fields.into_iter().map(field).collect();
        let has = |name: &str| fields.iter().any(|field| field == name);
        if (name.starts_with("allocation.") || has("credential")) && !has("allocation") {
            faults.push(format!("`{name}` does not say of which allocation it is"));
        }
        let event = events.entry(name.to_owned()).or_default();
        event
            .levels
            .extend(levels.iter().map(|level| (*level).to_owned()));
        event.fields.extend(fields);
    }
    faults.into_iter()
}

/// The arguments of a macro, of which the source begins behind the parenthesis.
fn arguments(source: &str) -> Vec<&str> {
    let mut arguments = Vec::new();
    let (mut depth, mut start) = (0, 0);
    let mut letters = source.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                while let Some((_, letter)) = letters.next().filter(|(_, letter)| *letter != '"') {
                    if letter == '\\' {
                        letters.next();
                    }
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ')' | ',' if depth == 0 => {
                arguments.push(source[start..at].trim());
                start = at + 1;
                if letter == ')' {
                    break;
                }
            }
            _ => {}
        }
    }
    arguments
}

/// The name that a message begins with: words with points and hyphens, `allocation.ended`.
fn name(message: &str) -> Option<&str> {
    let message = message.strip_prefix('"')?;
    let name = &message[..message.find([':', '"'])?];
    let is_name = name.split('.').count() == 2
        && name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || ".-".contains(letter));
    is_name.then_some(name)
}

/// The name of a field, of which the value may stand behind it.
fn field(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or_default();
    name.trim().trim_start_matches(['%', '?']).to_owned()
}

/// The rows of the document: name, levels, fields, and when it comes and what to do.
fn listed(document: &str, findings: &mut Vec<String>) -> Events {
    let mut events = Events::new();
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        // A cause has no point in its name.
        if !cells[0].contains('.') {
            continue;
        }
        let [name, levels, fields, meaning] = cells[..] else {
            findings.push(format!("{DOCUMENT}: a row has four cells: {row}"));
            continue;
        };
        let name = name.trim_matches('`').to_owned();
        if meaning.is_empty() {
            findings.push(format!("{DOCUMENT}: `{name}` is not explained"));
        }
        let event = Event {
            levels: levels.split(", ").map(str::to_owned).collect(),
            fields: fields
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
        };
        if events.insert(name.clone(), event).is_some() {
            findings.push(format!("{DOCUMENT}: `{name}` stands there twice"));
        }
    }
    events
}

fn differences(events: &Events, listed: &Events) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, event) in events {
        match listed.get(name) {
            None => findings.push(format!("{DOCUMENT} lacks `{name}`: {event:?}")),
            Some(told) if told != event => findings.push(format!(
                "{DOCUMENT} has `{name}` as {told:?}, the sources as {event:?}"
            )),
            Some(_) => {}
        }
    }
    let gone = listed.keys().filter(|name| !events.contains_key(*name));
    findings.extend(gone.map(|name| format!("{DOCUMENT} has `{name}`, which nothing writes")));
    findings
}

const DOCUMENT: &str = "docs/logs.md";

/// The sources of the server.
const PLACES: [&str; 8] = [
    "src",
    "crates/acme/src",
    "crates/admin/src",
    "crates/httpd/src",
    "crates/net/src",
    "crates/probe/src",
    "crates/relay/src",
    "crates/signal/src",
];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        fn tell(&self) {
            info!(%peer, bytes = self.of(1, "a, b"), error = ?why, "cat.fed: with {}", food);
            tracing::warn!("cat.hungry");
            not_info!("cat.asleep");
        }
        #[cfg(test)]
mod tests {
            info!("a test says what it likes");
        }
    "#;

    fn found(source: &str) -> (Events, Vec<String>) {
        let mut events = Events::new();
        let nameless = events_in(source, &mut events).collect();
        (events, nameless)
    }

    #[test]
    fn an_event_has_the_fields_before_its_message_and_the_name_in_it() {
        let (events, nameless) = found(SOURCE);
        assert!(nameless.is_empty());
        let row = "| `cat.fed` | info | `peer`, `bytes`, `error` | it ate |\n\
                   | `cat.hungry` | warn | | feed it |\n";
        let mut findings = Vec::new();
        assert_eq!(listed(row, &mut findings), events);
        assert!(findings.is_empty());
    }

    #[test]
    fn an_event_without_a_name_is_a_finding() {
        for source in [
            "info!(\"a cat was fed\")",
            "warn!(\"{outcome}\")",
            "warn!(\"cat: fed\")",
            "error!(%error)",
        ] {
            assert_eq!(found(source).1.len(), 1, "{source}");
        }
    }

    #[test]
    fn a_line_of_an_allocation_or_of_a_credential_without_the_id_is_a_finding() {
        for (source, count) in [
            ("info!(%allocation, user, \"allocation.fed\")", 0),
            (
                "info!(allocation = id.map(display), credential, \"cat.fed\")",
                0,
            ),
            ("info!(user, \"cat.fed\")", 0),
            ("info!(user, \"allocation.fed: whose?\")", 1),
            ("warn!(credential = name, \"cat.hungry\")", 1),
        ] {
            assert_eq!(found(source).1.len(), count, "{source}");
        }
    }

    #[test]
    fn what_only_the_sources_or_only_the_document_has_is_a_finding() {
        let (events, _) = found(SOURCE);
        for row in [
            "| `cat.fed` | info | `peer`, `bytes`, `error` | it ate |",
            "| `cat.fed` | info | `peer`, `bytes` | it ate |\n| `cat.hungry` | warn | | feed it |",
            "| `cat.fed` | warn | `peer`, `bytes`, `error` | it ate |\n| `cat.hungry` | warn | | feed it |",
            "| `cat.fed` | info | `peer`, `bytes`, `error` | it ate |\n| `cat.hungry` | warn | | feed it |\n\
             | `dog.fed` | info | | it ate |",
        ] {
            assert_eq!(
                differences(&events, &listed(row, &mut Vec::new())).len(),
                1,
                "{row}"
            );
        }
    }

    #[test]
    fn a_row_explains_its_event_once() {
        let mut findings = Vec::new();
        listed(
            "| `cat.fed` | info | | |\n| `cat.fed` | info | | it ate |\n| `cat.fed` | info | |",
            &mut findings,
        );
        assert_eq!(findings.len(), 3, "{findings:?}");
    }
}
