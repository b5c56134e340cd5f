//! How sentences name a key.

use std::fmt;

/// A key with its table, and whose it is where there are several tables of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    key: &'static str,
    whose: Option<String>,
}

impl KeyName {
    /// The key of a realm's table.
    pub(super) const fn in_realm(key: &'static str, realm: Option<String>) -> Self {
        Self { key, whose: realm }
    }

    /// The key of a table that its own name tells from others.
    pub(super) fn of(key: &'static str, whose: &str) -> Self {
        Self {
            key,
            whose: Some(whose.to_owned()),
        }
    }

    /// The key with its table.
    pub(super) const fn key(&self) -> &'static str {
        self.key
    }
}

impl From<&'static str> for KeyName {
    fn from(key: &'static str) -> Self {
        Self { key, whose: None }
    }
}

/// In backticks.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.key)?;
        match &self.whose {
            Some(whose) => write!(f, " of `{whose}`"),
            None => Ok(()),
        }
    }
}
