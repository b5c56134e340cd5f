//! From text to values: is it TOML, are all keys known, has each the right type, form and range.
//! All of it is told at once, and all of it follows from the rows.

use std::ops::Range;

use relay::policy::block;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::form::Form;
use super::instead::{instead, written};
use super::kind::Kind;
use super::names;
use super::remark::Remark;
use super::row::{Row, Unwritten};
use super::rows::ROWS;
use super::table::{Table, join};
use super::{Config, Machine, mask};

/// Puts the values of a file into `config`, and says what cannot be one of them. Keys that a table
/// lacks are told only where all keys and types are right: they may stand under misspelt names.
pub(super) fn read(
    tree: &DeTable<'_>,
    config: &mut Config,
    host: &Machine,
) -> Result<Vec<Remark>, Vec<Remark>> {
    let scalars = ROWS
        .iter()
        .filter(|row| !matches!(row.kind, Kind::Texts(_) | Kind::TextOrTexts(_)));
    for row in scalars {
        if let Unwritten::Is(default) = row.unwritten {
            let read = row.kind.read(default, config);
            debug_assert!(read.is_ok(), "{} = {default}: {read:?}", row.name());
        }
    }
    let mut reader = Reader::new(config, host);
    reader.table(&Table::top(tree));
    reader.end()
}

/// The same for a file of users, which `key` names.
pub(super) fn users(
    tree: &DeTable<'_>,
    key: &str,
    host: &Machine,
) -> Result<Vec<Remark>, Vec<Remark>> {
    let mut none = Config::default();
    let mut reader = Reader::new(&mut none, host);
    reader.users(&Table::top(tree), key);
    reader.end()
}

/// The tables of a text, or why it is not TOML.
pub(super) fn tree(text: &str) -> Result<DeTable<'_>, Remark> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    // The first error only: one open bracket makes the parser stumble over all that follows.
    let position = |error: &&toml::de::Error| error.span().unwrap_or_default().start;
    match errors.iter().min_by_key(position) {
        Some(first) => Err(syntax(first, text)),
        None => Ok(tree.into_inner()),
    }
}

/// The place of what the line with a place writes for the second time, and what to do about it.
fn duplicate(text: &str, at: usize) -> Option<(Range<usize>, String)> {
    let (first, is_table) = mask::first_named(text, at)?;
    let line = text[..first.start].matches('\n').count() + 1;
    let help = if is_table {
        format!("line {line} begins this table already: put the keys there, under one heading")
    } else {
        format!("line {line} has this key already: leave one of the two out")
    };
    Some((first, help))
}

fn syntax(error: &toml::de::Error, text: &str) -> Remark {
    let mut at = error.span().unwrap_or_default();
    // An error at the end of the file has no text of its own to underline.
    at.start = at.start.min(text.trim_end().len());
    at.end = at.end.min(text.len()).max(at.start);
    let help = mask::assigned(text, at.start).and_then(|(table, key, value)| {
        let is_bare = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']);
        is_bare
            .then(|| instead(names::find(table, key)?, value, false))
            .flatten()
    });
    let fault = Remark::fault(at.clone(), format!("this is not TOML: {}", error.message()));
    if error.message() == "duplicate key"
        && let Some((first, help)) = duplicate(text, at.start)
    {
        return fault.see(first, "first here").help(help);
    }
    Remark { help, ..fault }
}

struct Reader<'c> {
    host: &'c Machine,
    config: &'c mut Config,
    /// Whether all keys are known and all values of the right type.
    is_right: bool,
    remarks: Vec<Remark>,
    missing: Vec<Remark>,
}

impl<'c> Reader<'c> {
    fn new(config: &'c mut Config, host: &'c Machine) -> Self {
        Self {
            host,
            config,
            is_right: true,
            remarks: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn end(mut self) -> Result<Vec<Remark>, Vec<Remark>> {
        if !self.is_right {
            return Err(self.remarks);
        }
        self.remarks.extend(self.missing);
        Ok(self.remarks)
    }

    fn table(&mut self, table: &Table<'_>) {
        for (key, value) in table.entries.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            let inner = join(&table.path, name);
            if let Some(row) = names::find(&table.path, name) {
                self.value(row, table, value);
            } else if !ROWS.iter().any(|row| row.table == inner) {
                self.unknown(
                    &table.path,
                    key.span(),
                    name,
                    value,
                    &names::known(&table.path),
                );
            } else if names::header(&inner).starts_with("[[") {
                self.entries(table, name, value);
            } else if value.get_ref().is_table() {
                let table = table.table(name);
                self.table(&table);
                self.missing(&table);
            } else {
                let full = names::full_name(&table.path, name);
                self.mistyped(&full, false, value, "a table", None);
            }
        }
    }

    /// The tables of an array such as `[[listener]]`.
    fn entries(&mut self, table: &Table<'_>, name: &str, value: &Spanned<DeValue<'_>>) {
        let full = names::full_name(&table.path, name);
        let Some(array) = value.get_ref().as_array() else {
            let is_key = full == "[oauth] key" && value.get_ref().is_str();
            let help = if full == "[auth] realm" && value.get_ref().is_str() {
                OTHER_REALMS.to_owned()
            } else if is_key {
                "a key has a table of its own, [[oauth.key]], with an `id`".to_owned()
            } else {
                let header = names::header(&join(&table.path, name));
                format!("write {header} in double brackets, once per entry")
            };
            return self.mistyped(&full, false, value, "an array", Some(help));
        };
        for entry in array.iter().filter(|entry| !entry.get_ref().is_table()) {
            self.mistyped(&full, true, entry, "a table", None);
        }
        for entry in table.tables(name) {
            self.table(&entry);
            self.missing(&entry);
        }
    }

    fn missing(&mut self, table: &Table<'_>) {
        for row in ROWS.iter().filter(|row| row.table == table.path) {
            let entry = table.value(row.key).map(Spanned::get_ref);
            let is_empty =
                entry.is_none_or(|entry| entry.as_array().is_some_and(|all| all.is_empty()));
            if let Unwritten::Missing(example) = row.unwritten
                && is_empty
            {
                let sentence = format!("this `{}` has no `{}`", row.header, row.key);
                let fault = Remark::fault(table.at.clone(), sentence);
                self.missing
                    .push(fault.help(format!("add a line such as `{example}`")));
            }
        }
    }

    fn value(&mut self, row: &'static Row, table: &Table<'_>, value: &Spanned<DeValue<'_>>) {
        let (key, full) = (row.key, names::full_name(row.table, row.key));
        match (&row.kind, value.get_ref()) {
            (Kind::Number(..), DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                let number = number.map_or_else(|_| "more".to_owned(), |number| number.to_string());
                self.read(row, table, &number, value.span());
            }
            (Kind::Flag(_), DeValue::Boolean(is)) => {
                self.read(row, table, &is.to_string(), value.span())
            }
            (Kind::Texts(_) | Kind::TextOrTexts(_), DeValue::Array(entries)) => {
                for entry in entries {
                    match entry.get_ref().as_str() {
                        Some(text) => self.read(row, table, text, entry.span()),
                        None => {
                            let help =
                                written(entry.get_ref()).and_then(|text| instead(row, &text, true));
                            self.mistyped(&full, true, entry, "a string", help);
                        }
                    }
                }
            }
            (Kind::Users, DeValue::Table(_)) => {
                let users = table.table(key);
                self.users(&users, &users.heading());
            }
            (Kind::When, DeValue::Table(_)) => {
                let when = table.table(key);
                self.table(&when);
                self.missing(&when);
            }
            (kind, DeValue::String(text)) if kind.takes_text() => {
                self.read(row, table, text, value.span());
            }
            (kind, found) => {
                let help = if full == "realm" && found.is_array() {
                    Some(OTHER_REALMS.to_owned())
                } else {
                    written(found).and_then(|text| instead(row, &text, false))
                };
                self.mistyped(&full, false, value, kind.expected(), help);
            }
        }
    }

    fn read(&mut self, row: &Row, table: &Table<'_>, text: &str, at: Range<usize>) {
        let Err((words, help)) = row.kind.read(text, self.config) else {
            return self.example(row, table, text, at);
        };
        // Several in one text.
        let is_list = matches!(row.kind, Kind::TextOrTexts(_));
        let help = help.and_then(|help| {
            if is_list {
                instead(row, text, false)
            } else {
                Some(help)
            }
        });
        let is_word = matches!(row.kind, Kind::Word(_) | Kind::When);
        let names_table = matches!(row.kind, Kind::Text(Form::Realm | Form::Name(_)));
        let key = if is_word || names_table {
            format!("`{}`", row.name())
        } else {
            table.name(row.key)
        };
        let fault = Remark {
            help,
            ..Remark::fault(at, format!("{key} {words}"))
        };
        self.is_right &= !is_word;
        self.remarks.push(fault);
    }

    /// An address of documents, such as those in our own, was copied, unless the host has it.
    fn example(&mut self, row: &Row, table: &Table<'_>, text: &str, at: Range<usize>) {
        let address = row
            .kind
            .address(text)
            .filter(|ip| !self.host.addresses.contains(ip));
        let block = address
            .and_then(block)
            .filter(|block| block.is_documentation());
        if let Some((block, address)) = block.zip(address) {
            let name = table.name(row.key);
            let sentence = format!("{name} holds {address}, an example of documents: {block}");
            let caution = Remark::caution(at, sentence);
            self.remarks
                .push(caution.help("write the address that is meant in its place"));
        }
    }

    /// Users in the table that `key` names in backticks.
    fn users(&mut self, users: &Table<'_>, key: &str) {
        for (name, entry) in users.users() {
            self.user(users, key, name.get_ref(), entry);
        }
    }

    /// `"password"` or `{ key = "32 hexadecimal digits" }`.
    fn user(&mut self, users: &Table<'_>, key: &str, name: &str, entry: &Spanned<DeValue<'_>>) {
        let full = names::full_name(&users.path, name);
        let Some(inner) = entry.get_ref().as_table() else {
            if !entry.get_ref().is_str() {
                self.mistyped(
                    &full,
                    false,
                    entry,
                    "a password in quotes or { key = \"…\" }",
                    None,
                );
            }
            return;
        };
        let path = join(&users.path, name);
        for (name, value) in inner {
            if name.get_ref() != "key" {
                self.unknown(&path, name.span(), name.get_ref(), value, &["key"]);
            } else if !value.get_ref().is_str() {
                let full = names::full_name(&path, "key");
                self.mistyped(
                    &full,
                    false,
                    value,
                    "a string",
                    Some("put it in quotes".to_owned()),
                );
            }
        }
        if inner.get("key").is_none() {
            let sentence = format!("{key} has a user without a password or a key");
            let fault = Remark::fault(entry.span(), sentence);
            self.missing
                .push(fault.help("write a password in quotes, or { key = \"…\" }"));
        }
    }

    /// A key or table that nobody reads. Silence here is how settings from old guides go dead.
    fn unknown(
        &mut self,
        table: &str,
        at: Range<usize>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        known: &[&str],
    ) {
        let kind = if value.get_ref().is_table() {
            "table"
        } else {
            "key"
        };
        let place = if table.is_empty() {
            String::new()
        } else {
            format!(" {}", names::place(table))
        };
        let fault = Remark::fault(at, format!("unknown {kind} `{name}`{place}"));
        self.is_right = false;
        self.remarks
            .push(fault.help(names::hint(table, name, known)));
    }

    /// A value, or an entry of an array, of another TOML type.
    fn mistyped(
        &mut self,
        key: &str,
        is_entry: bool,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        help: Option<String>,
    ) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let of = if is_entry { "an entry of " } else { "" };
        let fault = Remark::fault(
            value.span(),
            format!("{of}`{key}` is {found}, expected {expected}"),
        );
        self.is_right = false;
        self.remarks.push(Remark { help, ..fault });
    }
}

const OTHER_REALMS: &str =
    "the default realm is `realm` at the top of the file, others are [[auth.realm]]";

impl Kind {
    /// The TOML type, in words with an article.
    fn expected(&self) -> &'static str {
        match self {
            Self::Number(..) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::Texts(_) => "an array",
            Self::TextOrTexts(_) => "a string or an array",
            Self::Users => "a table",
            Self::When => "\"always\", \"draining\" or { allocations = … }",
            Self::Text(_)
            | Self::Duration(..)
            | Self::Milliseconds(..)
            | Self::Percent(_)
            | Self::Rate(_)
            | Self::Bandwidth(_)
            | Self::Word(_)
            | Self::Ports(_) => "a string",
        }
    }

    pub(super) fn takes_text(&self) -> bool {
        matches!(self, Self::TextOrTexts(_) | Self::When) || self.expected() == "a string"
    }
}
