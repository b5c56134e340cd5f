//! A configuration of coturn in place of ours.

use super::names::known;
use super::remark::Remark;
use super::row::Row;
use super::rows::ROWS;
use crate::coturn;

/// The remark about a text that is coturn's turnserver.conf.
pub(super) fn remark(text: &str) -> Option<Remark> {
    let mut options: Vec<(usize, &str)> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let end = |letter: char| letter == '=' || letter.is_whitespace();
        let option = line.trim_start().split(end).next().unwrap_or_default();
        if option.starts_with('[') {
            return None;
        }
        if !option.is_empty() && !option.starts_with('#') {
            options.push((start + indent, option));
        }
        start += line.len();
    }
    let ours = known("");
    let is_theirs = |option: &str| row(option).is_some() || coturn::find(option).is_some();
    let (theirs, other): (Vec<_>, Vec<_>) = options
        .into_iter()
        .filter(|(_, option)| !ours.contains(option))
        .partition(|(_, option)| is_theirs(option));
    // One alone may be a slip in a file of ours, of which the unknown key is told.
    if theirs.len() < 2 || theirs.len() <= other.len() {
        return None;
    }
    let (mut here, mut nowhere) = (Vec::new(), Vec::new());
    for (_, option) in &theirs {
        let (list, words) = match row(option) {
            Some(row) => (&mut here, format!("`{option}` is `{}`", row.name())),
            None => (&mut nowhere, format!("`{option}`")),
        };
        if !list.contains(&words) {
            list.push(words);
        }
    }
    let mut help = "`hairpin import-coturn` translates it".to_owned();
    let is_not = if nowhere.len() == 1 {
        " is not needed or not there"
    } else {
        " are not needed or not there"
    };
    for (before, list, after) in [("; here ", here, ""), ("; ", nowhere, is_not)] {
        if !list.is_empty() {
            help += &format!("{before}{}{after}", list.join(", "));
        }
    }
    let (at, option) = theirs[0];
    let sentence = "this is a turnserver.conf of coturn, which Hairpin does not read";
    Some(Remark::fault(at..at + option.len(), sentence).help(help))
}

/// The key that stands for an option.
fn row(option: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.coturn.contains(&option))
}

/// Whether coturn has an option of this name, or one with it in its name.
pub(crate) fn is_needless(option: &str) -> bool {
    let option = option.to_lowercase();
    let mut options = coturn::OPTIONS.iter();
    options.any(|other| other.name.to_lowercase().contains(&option))
}
