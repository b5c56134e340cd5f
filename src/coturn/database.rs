//! coturn's own database of users, secrets and rules on peers.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::regular;
use super::sqlite::{Pages, Row};
use crate::shown;

/// The rows of the database, by realm.
#[derive(Default)]
pub(crate) struct Database {
    /// Realm, name, and the key of the user: MD5 of `name:realm:password` in hexadecimal digits.
    pub(super) users: Vec<(String, String, String)>,
    pub(super) secrets: Vec<(String, String)>,
    /// Realm and range; without a realm for all of them.
    pub(super) allowed: Vec<(String, String)>,
    pub(super) denied: Vec<(String, String)>,
    /// Origin and realm.
    pub(super) origins: Vec<(String, String)>,
    /// Realm, option and value.
    pub(super) options: Vec<(String, String, String)>,
    pub(super) oauth: Vec<OauthKey>,
    /// Rows that are left out, for their text is no UTF-8.
    pub(super) garbled: usize,
}

/// A key of an authorization server.
pub(super) struct OauthKey {
    pub(super) id: String,
    /// In base64.
    pub(super) key: String,
    /// In seconds since 1970.
    pub(super) timestamp: u64,
    /// In seconds; 0 for no end.
    pub(super) lifetime: u64,
    pub(super) algorithm: String,
}

/// Why a database was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("cannot read the database {}: {source}", shown::path(path))]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot read the database {}: {why}", shown::path(path))]
    Damaged { path: PathBuf, why: String },
    #[error(
        "the database {} has changes in a log beside it: stop coturn, so that they are written",
        shown::path(.0)
    )]
    InUse(PathBuf),
}

impl Database {
    /// Reads the file of a database.
    pub(crate) fn open(path: &Path) -> Result<Self, Unread> {
        let io = |source| Unread::Io {
            path: path.to_owned(),
            source,
        };
        for end in ["-wal", "-journal"] {
            let mut log = path.as_os_str().to_owned();
            log.push(end);
            if fs::metadata(PathBuf::from(log)).is_ok_and(|log| log.len() > 0) {
                return Err(Unread::InUse(path.to_owned()));
            }
        }
        let bytes = regular::read(path, MOST).map_err(io)?;
        // coturn makes an empty file into a database.
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        Self::read(&bytes).map_err(|why| Unread::Damaged {
            path: path.to_owned(),
            why: why.to_string(),
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, super::sqlite::Unreadable> {
        let pages = Pages::new(bytes)?;
        let garbled = Cell::new(0);
        let rows_of = |table, columns: &[&str]| {
            let mut rows = pages.table(table, columns)?;
            let count = rows.len();
            let is_text = |text: &String| !text.contains(char::REPLACEMENT_CHARACTER);
            rows.retain(|row| row.iter().flatten().all(is_text));
            garbled.set(garbled.get() + count - rows.len());
            Ok(rows)
        };
        let two = |table, columns: [&str; 2]| -> Result<Vec<(String, String)>, _> {
            let rows = rows_of(table, &columns)?;
            Ok(rows
                .iter()
                .map(|row| (text(row, 0), text(row, 1)))
                .collect())
        };
        let three = |table, columns: [&str; 3]| -> Result<Vec<(String, String, String)>, _> {
            let rows = rows_of(table, &columns)?;
            Ok(rows
                .iter()
                .map(|row| (text(row, 0), text(row, 1), text(row, 2)))
                .collect())
        };
        let oauth = rows_of(
            "oauth_key",
            &["kid", "ikm_key", "timestamp", "lifetime", "as_rs_alg"],
        )?;
        Ok(Self {
            users: three("turnusers_lt", ["realm", "name", "hmackey"])?,
            secrets: two("turn_secret", ["realm", "value"])?,
            allowed: two("allowed_peer_ip", ["realm", "ip_range"])?,
            denied: two("denied_peer_ip", ["realm", "ip_range"])?,
            origins: two("turn_origin_to_realm", ["origin", "realm"])?,
            options: three("turn_realm_option", ["realm", "opt", "value"])?,
            oauth: oauth.iter().map(OauthKey::of).collect(),
            garbled: garbled.get(),
        })
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        let rules = [&self.secrets, &self.allowed, &self.denied, &self.origins];
        let are_empty = rules.iter().all(|rows| rows.is_empty());
        are_empty
            && self.garbled == 0
            && self.users.is_empty()
            && self.options.is_empty()
            && self.oauth.is_empty()
    }
}

impl OauthKey {
    fn of(row: &Row) -> Self {
        let number = |column| text(row, column).parse().unwrap_or(0);
        Self {
            id: text(row, 0),
            key: text(row, 1),
            timestamp: number(2),
            lifetime: number(3),
            algorithm: text(row, 4),
        }
    }
}

fn text(row: &Row, column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

/// The longest file that is read.
const MOST: u64 = 64 << 20;
