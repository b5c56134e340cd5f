//! From text to [`File`]: is it TOML, are all keys known, has each the right type.
//!
//! Wrong keys and types are all told at once. To get there past serde, which
//! stops at its first error, the entry it stopped at is taken out and the rest
//! read again: the file is small, and most entries are right.

use std::iter::once;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::fault::{Fault, Finding};
use super::file::{File, Users};
use super::{keys, mask};

/// The text as it was read, and the parts of it that must not be shown.
pub(super) struct Shaped<T> {
    pub(super) file: Result<T, Vec<Finding>>,
    pub(super) hidden: Vec<Range<usize>>,
}

/// Reads the text of a configuration file.
pub(super) fn read(text: &str) -> Shaped<File> {
    shaped(text, keys::holds_a_secret, mask::guess)
}

/// Reads the text of a file of users. Names are the keys there, so all values are secret.
pub(super) fn read_users(text: &str) -> Shaped<Users> {
    shaped(text, |_, _| true, |text| once(0..text.len()).collect())
}

/// `holds_a_secret` is asked for the values of a table's key, and `guess` where the text is no
/// TOML.
fn shaped<T: DeserializeOwned>(
    text: &str,
    holds_a_secret: fn(&str, &str) -> bool,
    guess: fn(&str) -> Vec<Range<usize>>,
) -> Shaped<T> {
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    // The first error only: one open bracket makes the parser stumble over all that follows.
    let position = |error: &&toml::de::Error| error.span().unwrap_or_default().start;
    if let Some(first) = errors.iter().min_by_key(position) {
        return Shaped {
            file: Err(vec![syntax(first, text)]),
            hidden: guess(text),
        };
    }
    let mut hidden = Vec::new();
    secrets(tree.get_ref(), "", holds_a_secret, &mut hidden);
    let mut findings = Vec::new();
    loop {
        let error = match T::deserialize(Deserializer::from(tree.clone())) {
            Ok(file) if findings.is_empty() => {
                return Shaped {
                    file: Ok(file),
                    hidden,
                };
            }
            Ok(_) => break,
            Err(error) => error,
        };
        let at = error.span().unwrap_or_default();
        let Some(entry) = take(tree.get_mut(), "", &at) else {
            findings.push(syntax(&error, text));
            break;
        };
        findings.push(Finding::new(entry.fault(error.message()), at));
    }
    Shaped {
        file: Err(findings),
        hidden,
    }
}

fn syntax(error: &toml::de::Error, text: &str) -> Finding {
    let mut at = error.span().unwrap_or_default();
    // An error at the end of the file has no text of its own to underline.
    at.start = at.start.min(text.trim_end().len());
    at.end = at.end.min(text.len()).max(at.start);
    Finding::new(
        Fault::Syntax {
            message: error.message().to_owned(),
        },
        at,
    )
}

/// The entry of the file that an error is about, taken out of it.
struct Entry<'t> {
    /// Path of its table, joined by dots.
    table: String,
    key: String,
    value: Spanned<DeValue<'t>>,
    /// The value in the entry's array that the error is about, if it is not the whole value.
    element: Option<&'static str>,
}

impl Entry<'_> {
    /// serde's sentence in words of this file's keys. The sentence itself quotes
    /// the value, which may be a secret.
    fn fault(&self, message: &str) -> Fault {
        if message.starts_with("unknown field") {
            let known = quoted(message);
            let holds_table = matches!(self.value.get_ref(), DeValue::Table(_));
            return Fault::Unknown {
                kind: if holds_table { "table" } else { "key" },
                name: self.key.clone(),
                place: if self.table.is_empty() {
                    String::new()
                } else {
                    format!(" {}", keys::place(&self.table))
                },
                hint: keys::hint(&self.table, &self.key, &known),
            };
        }
        let key = keys::full_name(&self.table, &self.key);
        if message.starts_with("unknown variant") {
            let choices = quoted(message);
            let value = self.value.get_ref().as_str().unwrap_or_default().to_owned();
            let hint = keys::nearest(&value, &choices).map_or_else(
                || format!("one of {}", keys::listed(&choices)),
                |near| format!("did you mean `{near}`? One of {}", keys::listed(&choices)),
            );
            return Fault::Choice { key, value, hint };
        }
        let key = match self.element {
            Some(_) => format!("an entry of `{key}`"),
            None => format!("`{key}`"),
        };
        let found = self
            .element
            .unwrap_or_else(|| type_name(self.value.get_ref()));
        Fault::Type {
            key,
            found,
            expected: expectation(message).to_owned(),
        }
    }
}

/// Takes out the entry whose key or value stands at `at`.
fn take<'t>(tree: &mut DeTable<'t>, table: &str, at: &Range<usize>) -> Option<Entry<'t>> {
    let hit = tree.iter().find_map(|(key, value)| {
        let here = key.span() == *at || value.span() == *at;
        let element = elements(value).find(|element| element.span() == *at);
        (here || element.is_some()).then(|| {
            let element = element
                .filter(|_| !here)
                .map(|element| type_name(element.get_ref()));
            (key.get_ref().to_string(), element)
        })
    });
    if let Some((key, element)) = hit {
        let value = tree.remove(key.as_str())?;
        return Some(Entry {
            table: table.to_owned(),
            key,
            value,
            element,
        });
    }
    tree.iter_mut().find_map(|(key, value)| {
        let path = join(table, key.get_ref());
        let inner = tables(value.get_mut());
        inner.into_iter().find_map(|inner| take(inner, &path, at))
    })
}

/// The table that the value is, or those in its array.
fn tables<'a, 't>(value: &'a mut DeValue<'t>) -> Vec<&'a mut DeTable<'t>> {
    match value {
        DeValue::Table(table) => vec![table],
        DeValue::Array(array) => array
            .iter_mut()
            .flat_map(|element| tables(element.get_mut()))
            .collect(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => Vec::new(),
    }
}

/// The places of all values that are secret, or could be because nobody knows their key.
fn secrets(
    tree: &DeTable<'_>,
    table: &str,
    holds_a_secret: fn(&str, &str) -> bool,
    hidden: &mut Vec<Range<usize>>,
) {
    for (key, value) in tree {
        let path = join(table, key.get_ref());
        let secret = holds_a_secret(table, key.get_ref());
        // One value, or each element of an array.
        let alone = (!value.get_ref().is_array()).then_some(value);
        for value in alone.into_iter().chain(elements(value)) {
            if let Some(inner) = value.get_ref().as_table() {
                secrets(inner, &path, holds_a_secret, hidden);
            } else if secret {
                hidden.push(value.span());
            }
        }
    }
}

fn elements<'a, 't>(
    value: &'a Spanned<DeValue<'t>>,
) -> impl Iterator<Item = &'a Spanned<DeValue<'t>>> {
    value.get_ref().as_array().into_iter().flatten()
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() {
        key.to_owned()
    } else {
        format!("{table}.{key}")
    }
}

/// The words between backticks after the first, which is the offending one:
/// serde lists the known fields and variants in this form.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(3).step_by(2).collect()
}

/// The kind of value that serde expected, in TOML's words instead of Rust's.
fn expectation(message: &str) -> &str {
    let expected = message
        .rsplit_once("expected ")
        .map_or("", |(_, expected)| expected);
    match expected {
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        // An enum: the parser says "wanted string or table".
        "" => "a string",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
