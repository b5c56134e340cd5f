//! Hides secrets in the text of a configuration file before it is shown.
//!
//! Where the file was understood, the parser says where its secrets stand. Where
//! it is not even TOML, every value is taken for a secret unless its key is known
//! to hold none.

use std::ops::Range;

use toml::de::DeTable;

use super::names::holds_a_secret;
use super::table::join;

/// The text with the hidden parts starred out, every byte still in its place.
pub(super) fn mask(text: &str, hidden: &[Range<usize>]) -> String {
    // A file of users has as many parts as users, so each is looked at once.
    let mut hidden: Vec<_> = hidden.iter().map(|part| (part.start, part.end)).collect();
    hidden.sort_unstable();
    let mut hidden = hidden.into_iter().peekable();
    let mut end_of_secret = 0;
    let mut shown = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        while let Some((_, end)) = hidden.next_if(|(start, _)| *start <= at) {
            end_of_secret = end_of_secret.max(end);
        }
        let secret = at < end_of_secret;
        // Quotes and line ends keep the shape of the file readable.
        if secret && !matches!(letter, '"' | '\'' | '\n' | '\r') {
            shown.extend(std::iter::repeat_n('*', letter.len_utf8()));
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The places of all values that are secret, or could be because nobody knows their key.
pub(super) fn secrets(tree: &DeTable<'_>, table: &str, hidden: &mut Vec<Range<usize>>) {
    for (key, value) in tree {
        let path = join(table, key.get_ref());
        let secret = holds_a_secret(table, key.get_ref());
        // One value, or each element of an array.
        let elements = value.get_ref().as_array();
        let alone = elements.is_none().then_some(value);
        for value in alone.into_iter().chain(elements.into_iter().flatten()) {
            if let Some(inner) = value.get_ref().as_table() {
                secrets(inner, &path, hidden);
            } else if secret {
                hidden.push(value.span());
            }
        }
    }
}

/// The parts to hide in a text that is not TOML, found line by line.
pub(super) fn guess(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut table = "";
    let mut secret = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let mut from = start;
        if let Some(header) = header(line) {
            table = header;
            secret = holds_a_secret(table, "");
            from = end;
        } else if let Some((key, value)) = assignment(line).or_else(|| option(line)) {
            secret = holds_a_secret(table, key);
            from = start + value;
        }
        if secret {
            hidden.push(from..end);
        }
        start = end;
    }
    hidden
}

/// The table, the key and the value of the line with a place, in a text that is not TOML.
pub(super) fn assigned(text: &str, at: usize) -> Option<(&str, &str, &str)> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next()?;
    let (key, value) = assignment(line)?;
    let table = text[..start].lines().rev().find_map(header);
    let value = line[value..].split(" #").next().unwrap_or_default().trim();
    Some((table.unwrap_or_default(), key, value))
}

/// Where the name of the line with a place stands first, in a text that is not TOML, and whether it is
/// that of a table.
pub(super) fn first_named(text: &str, at: usize) -> Option<(Range<usize>, bool)> {
    let (wanted, is_table) = named(text, at)?;
    let end = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let (mut table, mut first, mut start) = ("", None, 0);
    for line in text[..end].split_inclusive('\n') {
        let bare = line.split('#').next().unwrap_or_default();
        let name = if let Some(name) = header(bare) {
            table = name;
            // Each entry of an array has keys and tables of its own.
            if bare.trim_start().starts_with("[[") && wanted.starts_with(name) {
                first = None;
            }
            is_table.then(|| name.to_owned())
        } else {
            let key = assignment(line).filter(|_| !is_table);
            key.map(|(key, _)| join(table, key))
        };
        if first.is_none() && name.as_ref() == Some(&wanted) {
            first = Some(start..start + bare.trim_end().len());
        }
        start += line.len();
    }
    Some((first?, is_table))
}

/// The full name that the line with a place has, in a text that is not TOML, and whether it is that
/// of a table.
fn named(text: &str, at: usize) -> Option<(String, bool)> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next()?;
    if let Some(table) = header(line.split('#').next()?) {
        return Some((table.to_owned(), true));
    }
    let (key, _) = assignment(line)?;
    let table = text[..start].lines().rev().find_map(header);
    Some((join(table.unwrap_or_default(), key), false))
}

/// The name in a line such as `[auth.users]`.
fn header(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.trim_matches(['[', ']', ' ']);
    name.chars().all(is_bare).then_some(name)
}

/// The key of a line such as `realm = "x"`, and where its value starts.
fn assignment(line: &str) -> Option<(&str, usize)> {
    let (key, value) = line.split_once('=')?;
    let value = line.len() - value.trim_start().len();
    let key = key.trim();
    (!key.is_empty() && key.chars().all(is_bare)).then_some((key, value))
}

/// The same of a line such as `realm x` or `realm: x`, as other programs have it.
fn option(line: &str) -> Option<(&str, usize)> {
    let start = line.len() - line.trim_start().len();
    let length = line[start..].find(|letter: char| !is_bare(letter))?;
    let end = start + length;
    (length > 0 && line[end..].starts_with([' ', '\t', ':'])).then_some((&line[start..end], end))
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_masked_text_keeps_its_place() {
        let text = "a = \"é\nb\"\n";
        let masked = mask(text, std::slice::from_ref(&(4..10)));
        assert_eq!(masked, "a = \"**\n*\"\n");
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn a_secret_behind_a_blank_or_a_colon_is_hidden_as_well() {
        let text = "user bob:abc\nrealm x\n\tstatic-auth-secret\tabc\nsecrets: [abc]\n# a b\n";
        let shown = mask(text, &guess(text));
        let hidden = "user********\nrealm x\n\tstatic-auth-secret****\nsecrets*******\n";
        assert!(shown.starts_with(hidden), "{shown}");
    }

    #[test]
    fn a_broken_file_shows_only_what_is_known_to_be_no_secret() {
        let text = "realm = \"x\"\n[auth]\nnonce-lifetime = \"10m\"\nsecrets = [\n\"abc\",\n]\n[log]\nlevel = \"info\"\n";
        let shown = mask(text, &guess(text));
        assert_eq!(
            shown,
            "realm = \"x\"\n[auth]\nnonce-lifetime = \"10m\"\nsecrets = *\n\"***\"*\n*\n[log]\nlevel = \"info\"\n"
        );
    }
}
