//! A key of the configuration file as a row.

use super::kind::Kind;
use super::names::full_name;

/// A key of the configuration file.
#[derive(Debug)]
pub(crate) struct Row {
    /// The table as a path joined by dots. The top of the file is "".
    pub(crate) table: &'static str,
    /// The table as it is written in the file.
    pub(crate) header: &'static str,
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unwritten: Unwritten,
    /// One line for people, without a full stop.
    pub(crate) help: &'static str,
    /// The options of turnserver.conf that this key stands for.
    pub(crate) coturn: &'static [&'static str],
}

/// The meaning of a file without the key.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The same as with this value, which `turnserver.toml` shows.
    Is(&'static str),
    /// The meaning is in these words.
    Says(&'static str),
    /// The table cannot do without it; a line such as this one is missing.
    Missing(&'static str),
}

impl Row {
    /// Whether its table may stand several times.
    pub(super) fn is_repeated(&self) -> bool {
        self.header.starts_with("[[")
    }

    /// The key with its table, the way sentences name it.
    pub(crate) fn name(&self) -> String {
        if matches!(self.kind, Kind::Users) {
            return format!("[{}.{}]", self.table, self.key);
        }
        full_name(self.table, self.key)
    }
}
