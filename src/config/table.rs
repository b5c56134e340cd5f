//! The tables of the file, by which the review finds values and their places.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names;
use super::row::Unwritten;

/// A text and its place.
pub(super) type Text<'t> = Spanned<&'t str>;

/// A table of the file, or one that the file has not. Its keys and types are right where the review
/// reads it.
#[derive(Clone)]
pub(super) struct Table<'t> {
    pub(super) path: String,
    /// The name that tells it from others of its kind.
    whose: Option<String>,
    /// Its header; nowhere for the top of the file and for a table that there is not.
    pub(super) at: Range<usize>,
    pub(super) entries: Option<&'t DeTable<'t>>,
}

impl<'t> Table<'t> {
    /// The whole file.
    pub(super) fn top(entries: &'t DeTable<'t>) -> Self {
        Self {
            path: String::new(),
            whose: None,
            at: 0..0,
            entries: Some(entries),
        }
    }

    /// A key of this table in backticks, and whose it is.
    pub(super) fn name(&self, key: &str) -> String {
        format!("`{}`{}", names::full_name(&self.path, key), self.of())
    }

    /// The header in backticks, and whose it is.
    pub(super) fn heading(&self) -> String {
        format!("`{}`{}", names::header(&self.path), self.of())
    }

    fn of(&self) -> String {
        self.whose
            .as_ref()
            .map_or_else(String::new, |whose| format!(" of `{whose}`"))
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(
            names::known(&self.path).contains(&key),
            "{} {key}",
            self.path
        );
        self.entries?.get(key)
    }

    /// The place of a value, if the file has it.
    pub(super) fn at(&self, key: &str) -> Option<Range<usize>> {
        self.value(key).map(Spanned::span)
    }

    pub(super) fn text(&self, key: &str) -> Option<Text<'t>> {
        self.value(key).and_then(text)
    }

    /// The texts of an array, or one text alone.
    pub(super) fn texts(&self, key: &str) -> Vec<Text<'t>> {
        let value = self.value(key);
        let entries = value.and_then(|value| value.get_ref().as_array());
        let alone = value.and_then(text);
        alone
            .into_iter()
            .chain(entries.into_iter().flatten().filter_map(text))
            .collect()
    }

    /// A number as it is written, or as it is without.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        match self.value(key).map(Spanned::get_ref) {
            Some(value) => {
                let number = value.as_integer()?;
                u32::from_str_radix(number.as_str(), number.radix()).ok()
            }
            None => match names::find(&self.path, key)?.unwritten {
                Unwritten::Is(number) => number.parse().ok(),
                Unwritten::Says(_) | Unwritten::Missing(_) => None,
            },
        }
    }

    /// A table in this one.
    pub(super) fn table(&self, key: &str) -> Self {
        let value = self.value(key);
        let entries = value.and_then(|value| value.get_ref().as_table());
        Self {
            path: join(&self.path, key),
            whose: self.whose.clone(),
            at: value
                .filter(|_| entries.is_some())
                .map_or(0..0, Spanned::span),
            entries,
        }
    }

    /// The tables of an array.
    pub(super) fn tables(&self, key: &str) -> Vec<Self> {
        let array = self.value(key).and_then(|value| value.get_ref().as_array());
        let entries = array.into_iter().flatten();
        let tables = entries.filter_map(|entry| {
            let entries = entry.get_ref().as_table()?;
            let name = entries.get("name").or_else(|| entries.get("id"));
            let whose = name
                .and_then(|name| name.get_ref().as_str())
                .map(str::to_owned);
            Some(Self {
                path: join(&self.path, key),
                whose,
                at: entry.span(),
                entries: Some(entries),
            })
        });
        tables.collect()
    }

    /// The names of a table of users, and what is written for each.
    pub(super) fn users(&self) -> impl Iterator<Item = (Text<'t>, &'t Spanned<DeValue<'t>>)> {
        let entries = self.entries.into_iter().flatten();
        entries.map(|(name, entry)| (Spanned::new(name.span(), name.get_ref().as_ref()), entry))
    }
}

pub(super) fn text<'t>(value: &'t Spanned<DeValue<'t>>) -> Option<Text<'t>> {
    Some(Spanned::new(value.span(), value.get_ref().as_str()?))
}

/// A path and what follows it.
pub(super) fn join(table: &str, key: &str) -> String {
    if table.is_empty() {
        key.to_owned()
    } else {
        format!("{table}.{key}")
    }
}
