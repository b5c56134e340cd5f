//! How sentences name a key.

use std::fmt;

/// A key with its table, and the realm whose it is where there are several tables of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    key: &'static str,
    realm: Option<String>,
}

impl KeyName {
    /// The key of a realm's table.
    pub(super) const fn in_realm(key: &'static str, realm: Option<String>) -> Self {
        Self { key, realm }
    }
}

impl From<&'static str> for KeyName {
    fn from(key: &'static str) -> Self {
        Self { key, realm: None }
    }
}

/// In backticks.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.key)?;
        match &self.realm {
            Some(realm) => write!(f, " of `{realm}`"),
            None => Ok(()),
        }
    }
}
