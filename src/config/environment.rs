//! Variables of the environment, by which containers and units are configured: some stand for keys
//! that the file leaves out, and one that nobody reads is a fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf, absolute};
use std::{env, fmt};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::names::{self, nearest};
use super::remark::{NOWHERE, Remark, Remarks};
use super::secret::Secret;

/// The variables that the configuration reads, and those that look as if it did.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, Vec<u8>>);

/// Variables beside a file, as if their text stood behind the file's.
pub(super) struct Beside {
    /// Where the text starts.
    start: usize,
    text: String,
    /// Parts of the text that must not be shown.
    hidden: Vec<Range<usize>>,
    remarks: Vec<Remark>,
    /// The variables that count.
    pub(super) used: Vec<&'static str>,
}

/// Variables, the table and key that each stands for, and the key that says the same.
const VARIABLES: [[&str; 4]; 4] = [
    ["HAIRPIN_EXTERNAL", "relay", "external", "external"],
    ["HAIRPIN_REALM", "", "realm", "realm"],
    ["HAIRPIN_SECRET", "auth", "secrets", "secret-files"],
    ["HAIRPIN_SECRET_FILE", "auth", "secret-files", "secrets"],
];

/// The variables of the command line.
const OF_COMMANDS: [&str; 7] = [
    "HAIRPIN_CONFIG",
    TEXT,
    "HAIRPIN_SOCKET",
    "HAIRPIN_URL",
    "HAIRPIN_TOKEN",
    "HAIRPIN_TOKEN_FILE",
    "HAIRPIN_CA_FILE",
];
const PREFIX: &str = "HAIRPIN_";
/// The variables of this project's own tests, which the servers that they start inherit.
const OF_TESTS: [&str; 4] = ["BIN", "TEST_", "FLOOD_", "SIM_"];
/// The text of a configuration, in place of a file.
const TEXT: &str = "HAIRPIN_CONFIG_TOML";
/// The directory of a service's credentials. systemd.exec(5)
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

impl Environment {
    /// That of this process.
    pub(super) fn here() -> Self {
        let all = env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_read = name == CREDENTIALS || name.to_ascii_uppercase().starts_with(PREFIX);
            is_read.then(|| (name, value.into_vec()))
        });
        Self(all.collect())
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
        Self(variables.iter().map(owned).collect())
    }

    /// The path that the name of a file stands for; `None` if it needs the directory of credentials
    /// and there is none.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let Some(rest) = name.strip_prefix("${CREDENTIALS_DIRECTORY}") else {
            return Some(name.into());
        };
        let directory = String::from_utf8(self.0.get(CREDENTIALS)?.clone()).ok()?;
        Some((directory + rest).into())
    }

    /// The configuration that a variable holds in place of a file, unless it is empty.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let text = self.0.get(TEXT).filter(|text| !text.is_empty())?;
        Some(String::from_utf8_lossy(text))
    }

    /// Puts the variables into the tables of a file of `length` bytes where it leaves their keys
    /// out.
    pub(super) fn fill(&self, tree: &mut DeTable<'_>, length: usize) -> Beside {
        let mut beside = Beside {
            start: length + 1,
            text: String::new(),
            hidden: Vec::new(),
            remarks: Vec::new(),
            used: Vec::new(),
        };
        for (name, value) in &self.0 {
            if let Some(variable) = VARIABLES.iter().find(|it| it[0] == name) {
                beside.take(*variable, value, tree);
            } else if !(name == CREDENTIALS
                || OF_COMMANDS.contains(&name.as_str())
                || is_of_others(name, value))
            {
                let Range { start, end } = beside.line(name, "*");
                beside
                    .remarks
                    .push(unread(name, start - 1 - name.len()..end - 2));
            }
        }
        beside
    }
}

impl Beside {
    /// Adds what was found here to the remarks about a file, and takes those about variables out.
    pub(super) fn take_own(&mut self, remarks: &mut Vec<Remark>) -> Remarks {
        let is_behind = |at: &Range<usize>| *at != NOWHERE && at.start >= self.start;
        let moved = |at: &Range<usize>| at.start - self.start..at.end - self.start;
        remarks.append(&mut self.remarks);
        let own = remarks.extract_if(.., |remark| is_behind(&remark.at));
        let own = own.map(|remark| {
            let see = remark.see.as_ref().filter(|(at, _)| is_behind(at));
            Remark {
                at: moved(&remark.at),
                see: see.map(|(at, words)| (moved(at), *words)),
                ..remark
            }
        });
        let hidden: Vec<_> = self.hidden.iter().map(moved).collect();
        Remarks::new(
            "the environment".to_owned(),
            &self.text,
            &hidden,
            own.collect(),
        )
    }

    /// Adds a line; returns the place of its value, or of all of it where that is empty.
    fn line(&mut self, name: &str, value: &str) -> Range<usize> {
        let start = self.start + self.text.len();
        self.text += &format!("{name}={value}\n");
        let end = self.start + self.text.len() - 1;
        end - value.len()..end.max(start)
    }

    fn take(
        &mut self,
        [name, place, key, twin]: [&'static str; 4],
        value: &[u8],
        tree: &mut DeTable<'_>,
    ) {
        // Files of variables for containers keep quotation marks, and shells line ends.
        let value = match Secret::in_file(value) {
            Ok(value) => value,
            Err(why) => {
                let at = self.line(name, "");
                let why = why.to_string();
                let why = why.strip_prefix("which ").unwrap_or(&why);
                let sentence = format!("the variable `{name}` {why}");
                let help = "give it a value, or unset it";
                return self.remarks.push(Remark::fault(at, sentence).help(help));
            }
        };
        let at = self.line(name, value.expose());
        if key == "secrets" {
            self.hidden.push(at.clone());
        }
        let parts = parts(key, value.expose(), at.start);
        let Some(table) = table(tree, place, &at) else {
            // Another type has its place, of which a fault is told.
            return;
        };
        if let Some((other, written)) = [key, twin]
            .into_iter()
            .find_map(|key| Some((key, table.get(key).filter(|it| !is_empty(it.get_ref()))?)))
        {
            let is_same = says(written.get_ref(), &parts);
            let other = names::full_name(place, other);
            return self.clash(name, at, &other, written.span(), is_same);
        }
        let value = |(at, text): (Range<usize>, String)| {
            Spanned::new(at, DeValue::String(Cow::Owned(text)))
        };
        let mut values = parts.into_iter().map(value);
        let value = if place.is_empty() {
            values.next()
        } else {
            let array: DeArray<'_> = values.collect();
            Some(Spanned::new(at.clone(), DeValue::Array(array)))
        };
        table.extend(value.map(|value| (Spanned::new(at, Cow::Borrowed(key)), value)));
        self.used.push(name);
    }

    /// A variable stands beside a key of the file, or beside another variable for it.
    fn clash(&mut self, name: &str, at: Range<usize>, key: &str, of: Range<usize>, is_same: bool) {
        if of.start >= self.start {
            let sentence = format!("`{name}` is set beside another variable for `{key}`");
            let fault = Remark::fault(at, sentence).see(of, "this one");
            self.remarks.push(fault.help("unset one of them"));
        } else if !is_same {
            let sentence = format!("the file's `{key}` is used; the variable `{name}` is ignored");
            let help = "the file goes before the environment: take the key out of the file, or \
                        unset the variable";
            self.remarks.push(Remark::caution(of, sentence).help(help));
        }
    }
}

/// The texts in a value, and where each is.
fn parts(key: &str, value: &str, start: usize) -> Vec<(Range<usize>, String)> {
    let at = |part: &str| {
        let start = start + (part.as_ptr() as usize - value.as_ptr() as usize);
        start..start + part.len()
    };
    if key == "external" {
        let parts = value
            .split([',', ' ', '\t'])
            .filter(|part| !part.is_empty());
        return parts.map(|part| (at(part), part.to_owned())).collect();
    }
    // A relative name starts where the server was started, and not beside the configuration.
    let is_plain_file = key == "secret-files" && !value.starts_with('$');
    let path = is_plain_file
        .then(|| absolute(Path::new(value)).ok())
        .flatten();
    let text = path.map_or_else(|| value.to_owned(), |path| path.display().to_string());
    vec![(at(value), text)]
}

fn table<'d, 't>(
    tree: &'d mut DeTable<'t>,
    name: &'static str,
    at: &Range<usize>,
) -> Option<&'d mut DeTable<'t>> {
    if name.is_empty() {
        return Some(tree);
    }
    let new = || Spanned::new(at.clone(), DeValue::Table(DeTable::new()));
    let table = tree.entry(Spanned::new(at.clone(), Cow::Borrowed(name)));
    match table.or_insert_with(new).get_mut() {
        DeValue::Table(table) => Some(table),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => None,
    }
}

/// An empty list says nothing: the shipped file has one for every key that is a list.
fn is_empty(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|array| array.is_empty())
}

fn says(value: &DeValue<'_>, parts: &[(Range<usize>, String)]) -> bool {
    let has = |text: &str| match value.as_array() {
        Some(array) => array.iter().any(|it| it.get_ref().as_str() == Some(text)),
        None => value.as_str() == Some(text),
    };
    parts.iter().all(|(_, text)| has(text))
}

/// Whether a variable is of this project's tests, or one by which Kubernetes tells every pod of a
/// service of that name: `HAIRPIN_SERVICE_HOST`, `HAIRPIN_PORT_3478_UDP_ADDR` and their like.
fn is_of_others(name: &str, value: &[u8]) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let is_link = value.windows(3).any(|part| part == b"://");
    let names_port = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    OF_TESTS.iter().any(|of| rest.starts_with(of))
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT") && is_link
        || name.split("_PORT_").skip(1).any(names_port)
}

fn unread(name: &str, at: Range<usize>) -> Remark {
    let known: Vec<&str> = VARIABLES
        .iter()
        .map(|it| it[0])
        .chain(OF_COMMANDS)
        .collect();
    let upper = name.to_ascii_uppercase();
    let rests: Vec<&str> = known.iter().map(|name| &name[PREFIX.len()..]).collect();
    let upper = &upper[PREFIX.len()..];
    let longer = rests.iter().rev().find(|rest| upper.starts_with(**rest));
    let help = match nearest(upper, &rests).or(longer.copied()) {
        Some(near) => format!("did you mean `{PREFIX}{near}`?"),
        None => format!(
            "the variables are {}; all else stands in the configuration file",
            names::listed(&known)
        ),
    };
    Remark::fault(at, format!("nothing reads the variable `{name}`")).help(help)
}

/// Names the variables, whose values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
