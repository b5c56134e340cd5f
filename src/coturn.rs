//! A configuration of coturn, read as coturn reads it and written as one of Hairpin.
//!
//! `lines` reads, `options` knows every option and what becomes of it, `translate` makes a draft of
//! the settings, and an account of every line. Nothing is opened that coturn had closed, and nothing
//! that coturn had open by default alone: `docs/coming-from-coturn.md` lists the differences.

mod account;
mod database;
mod draft;
mod lines;
mod options;
mod ranges;
mod regular;
mod shapes;
mod sqlite;
mod translate;

use std::path::{Path, PathBuf};

use crate::config::{self, Machine, Unusable};

pub(crate) use account::Account;
pub(crate) use database::{Database, Unread};
pub(crate) use lines::File;
pub(crate) use options::{OPTIONS, find};
pub(crate) use regular::whole;

/// The database that coturn reads where no option names another, by the package of Debian.
pub(crate) const DEFAULT_DATABASE: &str = "/var/lib/turn/turndb";

/// The configuration to translate.
pub(crate) struct Source<'s> {
    pub(crate) file: &'s File,
    /// The name of the file, as comments and the report show it.
    pub(crate) name: &'s str,
    /// The directory of the file: relative paths are looked for there, too.
    pub(crate) directory: &'s Path,
    pub(crate) database: Option<&'s Database>,
    pub(crate) host: &'s Machine,
}

/// A configuration of Hairpin, and how it came about.
pub(crate) struct Import {
    /// The file.
    pub(crate) toml: String,
    /// The same without secrets.
    pub(crate) masked: String,
    pub(crate) account: Account,
    /// The faults that `hairpin check` would find in the file.
    pub(crate) faults: Option<config::Remarks>,
}

impl File {
    /// The databases of users that the file names: the last one counts.
    pub(crate) fn database(&self) -> Option<PathBuf> {
        let line = self.last(&["userdb", "db"])?;
        (!line.value.is_empty()).then(|| PathBuf::from(&line.value))
    }
}

/// Translates a configuration, for the file at `path`.
pub(crate) fn import(source: &Source<'_>, path: &Path) -> Import {
    // DTLS needs a certificate with an ECDSA key. The reviewer of certificates says whether it is one.
    let with_dtls = attempt(source, path, true);
    if with_dtls.faults.is_none() {
        return with_dtls;
    }
    let without = attempt(source, path, false);
    if without.faults.is_none() {
        without
    } else {
        with_dtls
    }
}

fn attempt(source: &Source<'_>, path: &Path, dtls: bool) -> Import {
    let (draft, mut account) = translate::translate(source, dtls);
    let read = |account: &Account| {
        let toml = draft.render(&account.heading(source.name), false);
        let faults = match config::read(&toml, path, source.host) {
            Ok(_) => None,
            Err(Unusable::Faulty(remarks, _)) => Some(remarks),
            Err(Unusable::Unreadable { .. } | Unusable::Twice) => None,
        };
        (toml, faults)
    };
    let (mut toml, mut faults) = read(&account);
    if let Some(remarks) = &faults {
        // A person has to change a refused line. The list grows by it, and moves the lines below.
        for fault in remarks.lines().filter(|line| line.is_fault) {
            account.decide(format!(
                "`hairpin check` refuses the file: {}",
                fault.sentence
            ));
        }
        (toml, faults) = read(&account);
    }
    Import {
        masked: draft.render(&account.heading(source.name), true),
        toml,
        account,
        faults,
    }
}

/// Whether it is a configuration of this server: TOML with tables, which coturn does not have.
pub(crate) fn is_ours(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).ok();
    let file = text.and_then(|text| text.parse::<toml::Table>().ok());
    file.is_some_and(|file| {
        file.values()
            .any(|value| value.is_table() || value.is_array())
    })
}
