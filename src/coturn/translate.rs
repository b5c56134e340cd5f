//! From the settings of coturn to keys, and an account of every line.
//!
//! Each file below has a subject. It reads the lines that are about it, writes keys, and says what
//! became of the lines. Lines that are left at the end are told by the table of options.

mod auth;
mod limits;
mod listeners;
mod peers;
mod realms;
mod relay;
mod rest;
mod tls;

use std::io;
use std::path::PathBuf;

use super::account::{Account, Outcome};
use super::draft::Draft;
use super::lines::{File, Line};
use super::options::{self, Fate, KnownTo};
use super::{Source, regular, shapes};
use tls::Certificate;

/// A translation under way.
struct Translation<'s> {
    source: &'s Source<'s>,
    file: &'s File,
    draft: Draft,
    account: Account,
    certificate: Certificate,
    /// Whether DTLS can be served, if coturn does.
    dtls: bool,
}

/// Translates. With `dtls` it is served where coturn does.
pub(super) fn translate(source: &Source<'_>, dtls: bool) -> (Draft, Account) {
    let mut translation = Translation {
        source,
        file: source.file,
        draft: Draft::default(),
        account: Account::default(),
        certificate: Certificate::None,
        dtls,
    };
    translation.refuse_values_that_stop_coturn();
    translation.find_certificate();
    translation.realm();
    translation.listeners();
    translation.tls();
    translation.relay();
    translation.auth();
    translation.limits();
    translation.peers();
    translation.rest();
    translation.settle_what_is_left();
    translation.account.shapes = shapes::recognise(source.file);
    (translation.draft, translation.account)
}

impl Translation<'_> {
    /// A key takes the place of the line.
    fn mapped(&mut self, line: &Line, key: &str) {
        self.account.settle(line, Outcome::Mapped, key);
    }

    /// The line asks for what is so anyway.
    fn needless(&mut self, line: &Line, why: &str) {
        self.account.settle(line, Outcome::Default, why);
    }

    /// Nothing takes the place of the line.
    fn dropped(&mut self, line: &Line, why: &str) {
        self.account.settle(line, Outcome::Dropped, why);
    }

    /// The same, and somebody has to decide.
    fn undecided(&mut self, line: &Line, what: &str) {
        self.dropped(line, what);
        self.ask(line, what);
    }

    /// Somebody has to decide about a line.
    fn ask(&mut self, line: &Line, what: &str) {
        let (number, shown) = (line.number, line.shown());
        self.account
            .decide(format!("line {number}, {shown}: {what}"));
    }

    /// The line would open something.
    fn dangerous(&mut self, line: &Line, what: &str) {
        self.account.settle(line, Outcome::Unsafe, what);
        self.ask(line, &format!("not carried over: {what}"));
    }

    /// The same for the lines of these options that count.
    fn mapped_all(&mut self, names: &[&str], key: &str) {
        for line in names.iter().filter_map(|name| self.file.last(&[name])) {
            self.mapped(line, key);
        }
    }

    /// coturn ends at a flag that is neither yes nor no, if it knows the flag.
    fn refuse_values_that_stop_coturn(&mut self) {
        for line in &self.file.lines {
            let is_known = |it: &options::Known| it.is_flag() && it.known_to != KnownTo::Guides;
            if line.option.is_some_and(is_known) && line.flag().is_err() {
                self.undecided(
                    line,
                    "coturn does not start with this value (text after # is a part of it): write yes or no \
                     in this line and import the file again, if you need the option",
                );
            }
        }
    }

    fn settle_what_is_left(&mut self) {
        for line in &self.file.lines {
            if self.account.knows(line) {
                continue;
            }
            let Some(option) = line.option else {
                self.unknown(line);
                continue;
            };
            if !line.is_usable() {
                self.undecided(
                    line,
                    "it is not UTF-8, and is not carried over: write the line in UTF-8",
                );
                continue;
            }
            let names = [option.name];
            let last = self
                .file
                .last(&names)
                .filter(|last| last.index != line.index);
            if let Some(last) = last.filter(|_| !option.is_list()) {
                let why = format!("line {} comes later, and counts in its place", last.number);
                self.needless(line, &why);
                continue;
            }
            if option.is_flag() && matches!(line.flag(), Ok(false)) {
                self.needless(
                    line,
                    "the file switches it off, which is the same as leaving it out",
                );
                continue;
            }
            match option.fate {
                Fate::Key(key) => self.mapped(line, key),
                Fate::Default(why) if option.is_flag() && line.flag().is_err() => {
                    self.needless(
                        line,
                        &format!("{why} (the words after it count as a value)"),
                    );
                }
                Fate::Default(why) => self.needless(line, why),
                Fate::Dropped(why) => self.dropped(line, why),
                Fate::Decide(what) => self.undecided(line, what),
                Fate::Unsafe(what) => self.dangerous(line, what),
            }
        }
    }

    /// coturn warns of such a line, and goes on without it.
    fn unknown(&mut self, line: &Line) {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_".contains(*letter);
        let name: String = line.name.chars().take_while(is_plain).collect();
        let near = options::find(&name).filter(|it| it.known_to == KnownTo::This);
        let near = near.map(|it| it.name).or_else(|| options::nearest(&name));
        let words = match near {
            Some(near) => format!("coturn ignores this line; perhaps `{near}` is meant"),
            None => "coturn ignores this line".to_owned(),
        };
        self.account.settle(line, Outcome::Unknown, words.as_str());
        if near.is_some() {
            self.ask(line, &words);
        }
    }

    /// A file that coturn would find: relative names are looked for in directories of its own.
    ///
    /// # Errors
    /// A sentence that names the file and the reason.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        let own = [self.source.directory.to_owned()];
        let others = DIRECTORIES.iter().map(PathBuf::from);
        let mut missing = None;
        let mut why = None;
        for path in own.into_iter().chain(others).map(|it| it.join(name)) {
            // A relative path would start at the directory of the configuration.
            match regular::open(&path).and_then(|_| std::path::absolute(path)) {
                Ok(path) => return Ok(path),
                // It may not be in one directory, and be in another for others to read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(error),
                Err(error) => why = Some(error),
            }
        }
        let why = why.or(missing).expect("several directories were tried");
        let remedy = if why.kind() == io::ErrorKind::NotFound {
            "; run the import on the host of coturn"
        } else if why.kind() == io::ErrorKind::PermissionDenied {
            "; run the import as root"
        } else {
            ""
        };
        Err(format!(
            "cannot read {}: {why}{remedy}",
            crate::shown::text(name)
        ))
    }
}

/// The comment on a key: the lines that it comes from.
fn from<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Vec<String> {
    let comment = |line: &Line| format!("line {}: {}", line.number, line.shown());
    lines.into_iter().map(comment).collect()
}

/// Where coturn looks for files that it is given without a directory.
const DIRECTORIES: [&str; 6] = [
    "/etc",
    "/etc/turnserver",
    "/etc/coturn",
    "/usr/local/etc",
    "/usr/local/etc/turnserver",
    "/usr/local/etc/coturn",
];

#[cfg(test)]
mod tests;
