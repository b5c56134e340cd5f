//! The lines of a turnserver.conf, read as coturn 4.6.1 reads them.
//!
//! An option is known by its long name alone. Blanks, tabs and `=` end the name, as many of them as
//! there are. Quotation marks go only where the value begins with one. A `#` begins a comment at the
//! start of a line and nowhere else. Numbers are read up to the first character that is no digit. Of
//! options that have one value the last line counts.
//!
//! coturn takes bytes, TOML has UTF-8: a line that is no UTF-8 is kept to be told of, and its value is
//! never used.

use std::borrow::Cow;
use std::collections::HashMap;

use super::options::{self, Known};

/// A file as coturn sees it.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Those that hold something.
    pub(crate) lines: Vec<Line>,
    /// The words of it in lower case, comments too, but for values that may be secrets: they tell which
    /// guide it comes from.
    pub(crate) words: Vec<String>,
    /// The place of the last line of each name.
    last: HashMap<String, usize>,
}

/// A line that holds an option, or what coturn takes for one.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Its place among the lines that hold something.
    pub(crate) index: usize,
    /// Its number in the file, from 1 on.
    pub(crate) number: usize,
    /// The name as it is written.
    pub(crate) name: String,
    /// Whether `=` stands before the value.
    has_equals: bool,
    pub(crate) value: String,
    /// The option, if any coturn knows it.
    pub(crate) option: Option<&'static Known>,
    /// Whether it is UTF-8.
    pub(crate) is_text: bool,
    /// Whether it follows the first 1023 bytes of a line, and so may be the end of a secret.
    pub(crate) is_rest: bool,
}

impl File {
    /// Reads a file.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let numbered = bytes.split(|byte| *byte == b'\n').enumerate();
        let pieces = numbered.flat_map(|(index, line)| {
            // An empty line has no piece, and coturn ignores it.
            let pieces = line.chunks(LONGEST).enumerate();
            pieces.map(move |(piece, text)| (index + 1, piece > 0, text))
        });
        let lines = pieces.filter_map(|(number, is_rest, text)| {
            Line::read(number, text).map(|line| Line { is_rest, ..line })
        });
        let counted = lines
            .enumerate()
            .map(|(index, line)| Line { index, ..line });
        let lines: Vec<Line> = counted.collect();
        let text = String::from_utf8_lossy(bytes);
        let comments = text
            .lines()
            .filter(|line| line.trim_start().starts_with('#'));
        let told = comments.map(str::to_lowercase);
        let told = told.chain(lines.iter().map(|line| line.shown().to_lowercase()));
        let split = |text: String| {
            let words = text.split(|letter: char| !letter.is_alphanumeric());
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let read = lines.iter().filter(|line| line.is_usable());
        let last = read.map(|line| (line.name.clone(), line.index));
        Self {
            last: last.collect(),
            words: told.flat_map(split).collect(),
            lines,
        }
    }

    /// The line of an option that counts. Some options have two names.
    pub(crate) fn last(&self, names: &[&str]) -> Option<&Line> {
        let last = names.iter().filter_map(|name| self.last.get(*name)).max()?;
        self.lines.get(*last)
    }

    /// The lines of an option, in their order.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter();
        lines.filter(move |line| line.name == name && line.is_usable())
    }

    /// Whether the option stands anywhere, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(&[name]).is_some()
    }

    /// Whether a flag is on. A value that is none is told elsewhere.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let line = self.last(&[name]);
        line.is_some_and(|line| line.flag().unwrap_or(true))
    }

    /// The number of an option, 0 for what is none.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.last(&[name]).map(Line::as_number)
    }

    /// The text of an option, unless it is empty.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        let line = self.last(&[name])?;
        Some(line.value.as_str()).filter(|value| !value.is_empty())
    }
}

impl Line {
    fn read(number: usize, text: &[u8]) -> Option<Self> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_text = std::str::from_utf8(text).is_ok();
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches(is_space);
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let ends_name = |letter: char| matches!(letter, ' ' | '=' | '\t');
        let (name, rest) = text.split_at(text.find(ends_name).unwrap_or(text.len()));
        let value = rest.trim_start_matches(ends_name);
        let before = &rest[..rest.len() - value.len()];
        Some(Self {
            index: 0,
            number,
            name: name.to_owned(),
            has_equals: before.contains('='),
            value: unquoted(value).to_owned(),
            option: options::find(name),
            is_text,
            is_rest: false,
        })
    }

    /// Whether the value is what the file has. Of a flag coturn looks at the first letter alone.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_text || self.option.is_some_and(Known::is_flag)
    }

    /// The value as coturn's flags have it: none at all is yes.
    ///
    /// # Errors
    /// Where coturn would not start.
    pub(crate) fn flag(&self) -> Result<bool, NoFlag> {
        match self.value.as_bytes().first() {
            None | Some(b'1'..=b'9' | b'y' | b'Y' | b't' | b'T') => Ok(true),
            Some(b'0' | b'n' | b'N' | b'f' | b'F') => Ok(false),
            Some(_) => match self.value.as_str() {
                "on" | "ON" | "On" => Ok(true),
                "off" | "OFF" | "Off" => Ok(false),
                _ => Err(NoFlag),
            },
        }
    }

    /// The value as coturn's numbers have it.
    pub(crate) fn as_number(&self) -> u64 {
        let text = self.value.trim_start_matches(is_space);
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text.find(|letter: char| !letter.is_ascii_digit());
        let digits = &text[..end.unwrap_or(text.len())];
        // Digits that are too many for a number are more than any limit.
        digits
            .parse()
            .unwrap_or(if digits.is_empty() { 0 } else { u64::MAX })
    }

    /// The value as a port.
    pub(crate) fn port(&self) -> Option<u16> {
        u16::try_from(self.as_number())
            .ok()
            .filter(|port| *port > 0)
    }

    /// The line as a screen and a comment may show it: without secrets and control characters.
    pub(crate) fn shown(&self) -> String {
        if self.is_rest {
            return "the rest of a long line…".to_owned();
        }
        let Some(option) = self.option else {
            return self.shown_unknown();
        };
        if !self.is_text {
            return format!("{}…", self.name);
        }
        let value = if option.name == "user" {
            match self.value.split_once(':') {
                Some((user, _)) => Cow::from(format!("{user}:***")),
                None => Cow::from("***"),
            }
        } else if option.is_secret() && !self.value.is_empty() {
            Cow::from("***")
        } else {
            Cow::from(&self.value)
        };
        if value.is_empty() {
            return self.name.clone();
        }
        let separator = if self.has_equals { '=' } else { ' ' };
        format!("{}{separator}{}", self.name, crate::shown::text(&value))
    }

    /// The name alone, for an unknown option may be a misspelt one that holds a secret. A word by itself
    /// may be a secret that slipped to the next line: it is shown only if it resembles an option.
    fn shown_unknown(&self) -> String {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_.".contains(*letter);
        let name: String = self.name.chars().take_while(is_plain).collect();
        let is_name = !self.value.is_empty() || options::nearest(&name).is_some();
        let shown: String = name
            .chars()
            .take(if is_name { LONGEST_NAME } else { 2 })
            .collect();
        let is_whole = shown.len() == self.name.len() && self.value.is_empty();
        if is_whole {
            shown
        } else {
            format!("{shown}…")
        }
    }
}

/// The value is no word for yes or no.
#[derive(Debug)]
pub(crate) struct NoFlag;

/// Without the quotation mark at the start, and then without one at the end.
fn unquoted(value: &str) -> &str {
    let Some(inner) = value.strip_prefix('"') else {
        return value;
    };
    let inner = inner.trim_end_matches(['\n', '\r', ' ', '\t']);
    inner.strip_suffix('"').unwrap_or(inner)
}

/// isspace(3) in the locale "C".
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | '\u{B}' | '\u{C}')
}

/// coturn reads a longer line as several.
const LONGEST: usize = 1023;

/// As much is shown of the name of an unknown option, in bytes.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Line {
        let file = File::read(text.as_bytes());
        let [line] = &file.lines[..] else {
            panic!("{file:?}");
        };
        line.clone()
    }

    #[test]
    fn name_and_value_are_told_apart_as_coturn_does() {
        for (text, name, value) in [
            ("realm=example.org", "realm", "example.org"),
            ("realm example.org", "realm", "example.org"),
            ("  realm = \t= example.org  \r", "realm", "example.org"),
            ("realm=\"example.org\"", "realm", "example.org"),
            ("realm=\"example.org", "realm", "example.org"),
            // Only a value that begins with a quotation mark loses one.
            ("realm=example.org\"", "realm", "example.org\""),
            ("realm='example.org'", "realm", "'example.org'"),
            // A comment at the end of a line is a part of the value.
            ("realm=example.org # ours", "realm", "example.org # ours"),
            ("fingerprint", "fingerprint", ""),
            ("static-auth-secret=a=b==", "static-auth-secret", "a=b=="),
            ("realm:example.org", "realm:example.org", ""),
            ("Realm=x", "Realm", "x"),
        ] {
            let line = one(text);
            assert_eq!(
                (line.name.as_str(), line.value.as_str()),
                (name, value),
                "{text}"
            );
        }
    }

    #[test]
    fn empty_lines_and_comments_are_no_lines() {
        assert!(
            File::read(b"\n  \n# realm=x\n   # y\n\t\n")
                .lines
                .is_empty()
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_several() {
        let long = format!("realm={}", "x".repeat(1017)) + "fingerprint";
        let file = File::read(long.as_bytes());
        let names: Vec<_> = file.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["realm", "fingerprint"]);
        assert_eq!(file.lines[1].number, 1);
    }

    #[test]
    fn the_last_line_counts_and_numbers_end_at_the_first_other_character() {
        let file = File::read(b"min-port=1\nmin-port=10000 # the first\nmax-port=x\nverbose=no\n");
        assert_eq!(file.number("min-port"), Some(10_000));
        assert_eq!(file.number("max-port"), Some(0));
        assert_eq!(file.number("user-quota"), None);
        assert!(!file.is_on("verbose"));
        assert!(!file.is_on("mobility"));
    }

    #[test]
    fn a_flag_is_read_by_its_first_letter() {
        for (value, flag) in [
            ("", Some(true)),
            ("yes", Some(true)),
            ("True", Some(true)),
            ("7", Some(true)),
            ("on", Some(true)),
            ("no", Some(false)),
            ("false", Some(false)),
            ("0", Some(false)),
            ("off", Some(false)),
            ("oN", None),
            ("ja", None),
        ] {
            let line = one(&format!("fingerprint={value}"));
            assert_eq!(line.flag().ok(), flag, "{value}");
        }
    }

    #[test]
    fn no_line_shows_a_secret() {
        for (text, shown) in [
            // A secret that stands on a line of its own.
            ("Hidden", "Hi…"),
            ("Hidden==", "Hi…"),
            ("hidden.", "hi…"),
            ("static-auth-secrets", "static-auth-secrets"),
            ("my-own-option=hidden", "my-own-option…"),
            ("static-auth-secret=hidden", "static-auth-secret=***"),
            ("user=alice:hidden", "user=alice:***"),
            ("user=hidden", "user=***"),
            ("cli-password=hidden", "cli-password=***"),
            ("psql-userdb=\"host=db password=hidden\"", "psql-userdb=***"),
            ("static-auth-secrets=hidden", "static-auth-secrets…"),
            ("static-auth-secret:hidden", "static-auth-secret…"),
            ("realm=example.org", "realm=example.org"),
            ("realm  example.org", "realm example.org"),
            ("realm = example.org", "realm=example.org"),
            ("static-auth-secret hidden=", "static-auth-secret ***"),
            ("no-cli # = here", "no-cli # = here"),
            ("realm=a\u{1b}[2J", "realm=a\\u{1b}[2J"),
            ("realm=a\u{202e}b", "realm=a\\u{202e}b"),
        ] {
            assert_eq!(one(text).shown(), shown);
        }
        let long = format!("static-auth-secret={}", "hidden".repeat(400));
        let file = File::read(long.as_bytes());
        let shown: Vec<_> = file.lines.iter().map(Line::shown).collect();
        let rest = "the rest of a long line…";
        assert_eq!(shown, ["static-auth-secret=***", rest, rest]);
        assert!(!file.words.iter().any(|word| word.contains("hidden")));
    }

    #[test]
    fn a_line_that_is_not_utf_8_has_no_value_but_a_flag_has() {
        let file = File::read(b"realm=a\nrealm=b\xfc\nuser=a:b\xfc\nfingerprint=yes # f\xfcr\n");
        assert_eq!(file.text_of("realm"), Some("a"));
        assert_eq!(file.all("user").count(), 0);
        assert!(file.is_on("fingerprint"));
        assert_eq!(file.lines[1].shown(), "realm…");
        assert_eq!(file.lines.len(), 4);
    }
}
