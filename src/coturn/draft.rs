//! A configuration in the making: tables of keys with their values, each with a comment on where it
//! comes from. Rendered with secrets for a file, or with asterisks for a screen.

use std::fmt::Write;

/// All tables, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    tables: Vec<Table>,
}

/// A table, with keys or with comments alone.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// As it is written: `[relay]`, `[[listener]]`; the top of the file is "".
    header: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    comments: Vec<String>,
    /// Without one the comments stand alone.
    key: Option<String>,
    value: Value,
}

/// The value of a key, as TOML has it.
#[derive(Clone)]
pub(crate) enum Value {
    /// Any text of TOML.
    Plain(String),
    /// A string.
    Text(String),
    /// A string that a screen must not show.
    Secret(String),
    /// The key of a user.
    Key(String),
    /// An array of strings, a line each if there are many.
    Texts(Vec<String>),
    /// The same of secrets.
    Secrets(Vec<String>),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(true))
    }
}

impl Draft {
    /// The table with this header, which there is once.
    pub(crate) fn table(&mut self, header: &str) -> &mut Table {
        match self.tables.iter().position(|table| table.header == header) {
            Some(index) => &mut self.tables[index],
            None => self.another(header),
        }
    }

    /// One more table with this header, which there may be several times.
    pub(crate) fn another(&mut self, header: &str) -> &mut Table {
        self.tables.push(Table {
            header: header.to_owned(),
            entries: Vec::new(),
        });
        self.tables.last_mut().expect("one was pushed")
    }

    /// The file, after these lines of comment.
    pub(crate) fn render(&self, heading: &[String], is_masked: bool) -> String {
        let mut text = String::new();
        for line in heading {
            comment(&mut text, line);
        }
        // Keys of no table come before the first table.
        let (top, tables): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|it| it.header.is_empty());
        for table in top.into_iter().chain(tables) {
            table.render(&mut text, is_masked);
        }
        text
    }
}

impl Table {
    /// A key with its value, under comments.
    pub(crate) fn set(&mut self, key: &str, value: Value, comments: Vec<String>) -> &mut Self {
        self.entries.push(Entry {
            comments,
            key: Some(if is_bare(key) {
                key.to_owned()
            } else {
                quoted(key)
            }),
            value,
        });
        self
    }

    /// Comments without a key.
    pub(crate) fn remark(&mut self, comments: Vec<String>) -> &mut Self {
        self.entries.push(Entry {
            comments,
            key: None,
            value: Value::Plain(String::new()),
        });
        self
    }

    fn render(&self, text: &mut String, is_masked: bool) {
        text.push('\n');
        if !self.header.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", self.header);
        }
        for entry in &self.entries {
            for line in &entry.comments {
                comment(text, line);
            }
            if let Some(key) = &entry.key {
                let _ = writeln!(text, "{key} = {}", entry.value.render(is_masked));
            }
        }
    }
}

impl Value {
    fn render(&self, is_masked: bool) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Text(text) => quoted(text),
            Self::Secret(_) if is_masked => "\"***\"".to_owned(),
            Self::Secret(text) => quoted(text),
            Self::Key(_) if is_masked => "{ key = \"***\" }".to_owned(),
            Self::Key(digits) => format!("{{ key = {} }}", quoted(digits)),
            Self::Texts(texts) => array(texts.iter().map(|text| quoted(text))),
            Self::Secrets(texts) if is_masked => array(texts.iter().map(|_| "\"***\"".to_owned())),
            Self::Secrets(texts) => array(texts.iter().map(|text| quoted(text))),
        }
    }
}

fn array(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.len() <= ON_ONE_LINE {
        return format!("[{}]", items.join(", "));
    }
    format!("[\n    {},\n]", items.join(",\n    "))
}

fn comment(text: &mut String, line: &str) {
    let line = format!("# {}", crate::shown::text(line));
    text.push_str(line.trim_end());
    text.push('\n');
}

fn is_bare(key: &str) -> bool {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    !key.is_empty() && key.chars().all(is_bare)
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ if probe::is_unseen(letter) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// As many items of an array stand on one line.
const ON_ONE_LINE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::default();
        let users = draft.table("[auth.users]");
        users.set(
            "alice",
            Value::Secret("hidden\"\\".to_owned()),
            vec!["line 3".to_owned()],
        );
        users.set("a b\n", Value::Key("00ff".to_owned()), Vec::new());
        let secrets = Value::Secrets(vec!["hidden".to_owned()]);
        draft.table("[auth]").set("secrets", secrets, Vec::new());
        let many = (0..5).map(|it| it.to_string()).collect();
        draft
            .table("[peers]")
            .set("deny", Value::Texts(many), Vec::new());
        draft.table("").set(
            "realm",
            Value::Text("x".to_owned()),
            vec!["a\u{1b}b".to_owned()],
        );
        draft
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = draft().render(&["made".to_owned()], false);
        assert!(
            text.starts_with("# made\n\n# a\\u{1b}b\nrealm = \"x\"\n"),
            "{text}"
        );
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["auth"]["users"]["alice"].as_str(), Some("hidden\"\\"));
        assert_eq!(read["auth"]["users"]["a b\n"]["key"].as_str(), Some("00ff"));
        assert_eq!(read["peers"]["deny"].as_array().map(Vec::len), Some(5));
    }

    #[test]
    fn a_screen_shows_no_secret() {
        let text = draft().render(&[], true);
        assert!(!text.contains("hidden") && !text.contains("00ff"), "{text}");
        assert!(!format!("{:?}", draft()).contains("hidden"));
        assert!(text.parse::<toml::Table>().is_ok());
    }
}
